"""Variants: the rows of a VCF against the genome, one alternative allele at a time.

An allele is either a `Variant`, or a word for the reason why it is not one (`REASONS`). REF is
always compared with the genome: in a VCF of another build it is wrong everywhere, and every score
would be meaningless.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from findna.files import BadInput
from findna.sequence.alphabet import decode
from findna.sequence.genome import Genome

_BASES = frozenset("ACGT")
_ALLELE = re.compile("[ACGT]+")

# Why an allele has no score: the words in output files, and what they mean.
REASONS = {
    "contig_missing": "the genome has no such chromosome",
    "position_0": "POS is 0: before the first base",
    "off_the_end": "REF extends past the end of the chromosome",
    "outside_regions": "REF lies outside the regions that the genome consists of",
    "ref_not_acgt": "REF, or the genome there, is not all A, C, G, T",
    "ref_mismatch": "REF differs from the genome",
    "no_alt": "there is no alternative allele",
    "star": "the allele * stands for a deletion in another row",
    "symbolic": "an allele in angle brackets has no sequence",
    "breakend": "a breakend joins two positions",
    "alt_not_acgt": "ALT is not all A, C, G, T",
    "same_as_ref": "ALT is REF",
}
# Reasons with which REF was not compared.
_UNCHECKED = frozenset(
    ("contig_missing", "position_0", "off_the_end", "outside_regions", "ref_not_acgt")
)
SCORED = "."

# With fewer compared rows, the build is not judged.
LEAST_CHECKED = 20
_MOST_MISMATCHES = 0.1
WRONG_BUILD = "wrong genome build? give the FASTA that the variants were called on"


@dataclass(frozen=True, slots=True)
class Variant:
    """`ref` of the genome replaced by `alt`.

    `chrom` is the genome's own name, `start` the 0-based position of the first base of `ref`;
    alleles are upper-case A C G T N.
    """

    chrom: str
    start: int
    ref: str
    alt: str

    @property
    def end(self) -> int:
        """Where `ref` ends, exclusive."""
        return self.start + len(self.ref)


# The alleles of a row: variants, or the reason why not.
Alleles = list[Variant | str]


def words(alleles: Alleles) -> list[str]:
    """The reason for each allele, `SCORED` for a variant."""
    return [allele if isinstance(allele, str) else SCORED for allele in alleles]


class AlleleReader:
    """Turns the first columns of VCF rows into variants of a genome, or into reasons."""

    def __init__(self, genome: Genome, *, lacking: Iterable[str] = ()) -> None:
        """Chromosome names are matched as `Genome.resolve` does, each once; the genome is taken to
        lack those of `lacking`.
        """
        self._genome = genome
        self._names: dict[str, str | None] = dict.fromkeys(lacking)

    def read(self, chrom: str, pos: int, ref: str, alts: Sequence[str]) -> Alleles:
        """One entry for each of `alts`, a single one if there are none; `pos` is 1-based."""
        name = self._name(chrom)
        reason = self._row_reason(name, pos - 1, ref.upper())
        if name is None or reason is not None:
            return [reason or "contig_missing"] * max(1, len(alts))
        if not alts:
            return ["no_alt"]
        return [_allele(name, pos - 1, ref.upper(), alt.upper()) for alt in alts]

    def _name(self, chrom: str) -> str | None:
        if chrom not in self._names:
            try:
                self._names[chrom] = self._genome.resolve(chrom)
            except BadInput:
                self._names[chrom] = None
        return self._names[chrom]

    def _row_reason(self, chrom: str | None, start: int, ref: str) -> str | None:
        """Why no allele of a row can be scored."""
        if chrom is None:
            return "contig_missing"
        if start < 0:
            return "position_0"
        here = self._genome.fetch(chrom, start, start + len(ref))
        if not here.inside.all():
            return "outside_regions" if self._genome.mapped else "off_the_end"
        return _disagreement(ref, decode(here.codes))


def _disagreement(ref: str, here: str) -> str | None:
    known = [(r, h) for r, h in zip(ref, here, strict=True) if r in _BASES and h in _BASES]
    if any(r != h for r, h in known):
        return "ref_mismatch"
    return None if known and len(known) == len(ref) else "ref_not_acgt"


def _allele(chrom: str, start: int, ref: str, alt: str) -> Variant | str:
    if alt in (".", ""):
        return "no_alt"
    if alt == "*":
        return "star"
    if alt.startswith("<"):
        return "symbolic"
    # `A[2:321682[` joins two positions; `G.` and `.G` are breakends with an unknown mate.
    if "[" in alt or "]" in alt or alt.startswith(".") or alt.endswith("."):
        return "breakend"
    if not _ALLELE.fullmatch(alt):
        return "alt_not_acgt"
    return Variant(chrom, start, ref, alt) if alt != ref else "same_as_ref"


class Tally:
    """Counts of rows and alleles by reason, and whether the genome is of their build."""

    def __init__(self) -> None:
        """All counts are 0."""
        self.rows = self.checked = self.mismatched = self.missing = 0
        self.reasons: Counter[str] = Counter()
        self.missing_names: dict[str, None] = {}

    def add(self, chrom: str, reasons: Iterable[str]) -> None:
        """Count one row; `reasons` has one word, or `SCORED`, per allele."""
        words = list(reasons)
        self.rows += 1
        self.reasons.update(words)
        self.checked += words[0] not in _UNCHECKED
        self.mismatched += words[0] == "ref_mismatch"
        if words[0] == "contig_missing":
            self.missing += 1
            if len(self.missing_names) < 6:
                self.missing_names[chrom] = None

    @property
    def wrong_build(self) -> bool:
        """Whether more than 10 % of at least 20 compared rows disagree with the genome."""
        enough = self.checked >= LEAST_CHECKED
        return enough and self.mismatched > _MOST_MISMATCHES * self.checked

    def refuse_wrong_build(self, source: str) -> None:
        """`BadInput` if the rows are of another build."""
        if self.wrong_build:
            share = f"{self.mismatched:,} of {self.checked:,} REF alleles compared"
            raise BadInput(f"{share} differ from the genome", file=source, remedy=WRONG_BUILD)

    @property
    def all_missing(self) -> bool:
        """Whether there are rows, all of them on chromosomes that the genome lacks."""
        return 0 < self.rows == self.missing

    def summary(self) -> str:
        """One line: alleles scored, and counts of the others by reason."""
        total, scored = self.reasons.total(), self.reasons[SCORED]
        said = f"scored {scored:,} of {total:,} alternative alleles in {self.rows:,} rows"
        others = [f"{n:,} {word}" for word, n in self.reasons.most_common() if word != SCORED]
        return f"{said}; not scored: {', '.join(others)}" if others else said
