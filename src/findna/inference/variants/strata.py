"""Strata of variants, and random variants of a genome to compare them with.

A stratum is an SNV's substitution (on the strand where REF is a pyrimidine) and whether its REF
base is in a CpG; an MNV's number of changed bases and CpG; an indel's kind and length, in doubling
bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from findna.data.randomness import Purpose, integers, row_hash, uniform
from findna.inference.variants.scores import VariantScorer
from findna.inference.variants.windows import Circles, Ints, bases_at, trimmed
from findna.sequence.alphabet import decode, reverse_complement
from findna.sequence.genome import Genome, by_chromosome
from findna.sequence.variants import Variant

# Random variants per stratum. An indel costs some twenty windows, a substitution three.
SUBSTITUTIONS, INDELS = 500, 200
_BLOCK, _MOST_BLOCKS = 2048, 128
_PURPOSES = [
    Purpose.WINDOW_START,
    Purpose.INSERTION_PLACE,
    Purpose.DELETION_LENGTH,
    Purpose.INSERTION_LENGTH,
]


class Stratum(NamedTuple):
    """Variants that are compared with one another.

    kind: SNV, MNV, insertion, deletion or delins. change: "C>T", or the doubling bin of the length
    of ALT or REF ("5-8"), of both for a delins ("2>5-8"). cpg: a changed REF base is in a CpG;
    never for indels.
    """

    kind: str
    change: str
    cpg: bool = False

    def __str__(self) -> str:
        """Such as "SNV C>T in CpG"."""
        return f"{self.kind} {self.change}{' in CpG' if self.cpg else ''}"

    @property
    def group(self) -> Stratum:
        """The strata that are drawn and scored together: the three ALTs of an SNV share windows."""
        return self._replace(change=self.change[0]) if self.kind == "SNV" else self

    @property
    def members(self) -> list[Stratum]:
        """The strata of a group."""
        if self.kind != "SNV":
            return [self]
        alts = [base for base in "ACGT" if base != self.change]
        return [self._replace(change=f"{self.change}>{alt}") for alt in alts]


def strata_of(genome: Genome, variants: Sequence[Variant], circles: Circles) -> list[Stratum]:
    """The stratum of each variant, independent of its representation."""
    cores = [trimmed(variant) for variant in variants]
    around: list[str] = [""] * len(cores)
    for chrom, rows in by_chromosome(core.chrom for core in cores).items():
        sides = np.array([(cores[row].start - 1, cores[row].end) for row in rows], np.int64)
        bases = decode(bases_at(genome, chrom, sides, circles).ravel())
        for k, row in enumerate(rows.tolist()):
            around[row] = bases[2 * k : 2 * k + 2]
    return [_stratum(core, beside) for core, beside in zip(cores, around, strict=True)]


def _stratum(core: Variant, around: str) -> Stratum:
    """`around`: the base before and the one after REF."""
    ref, alt = core.ref, core.alt
    if not ref:
        return Stratum("insertion", _bin(len(alt)))
    if not alt:
        return Stratum("deletion", _bin(len(ref)))
    if len(ref) != len(alt):
        return Stratum("delins", f"{_bin(len(ref))}>{_bin(len(alt))}")
    context = around[0] + ref + around[1]
    cpg = any(
        "CG" in (context[i : i + 2], context[i + 1 : i + 3])
        for i in range(len(ref))
        if ref[i] != alt[i]
    )
    if len(ref) > 1:
        return Stratum("MNV", _bin(sum(a != b for a, b in zip(ref, alt, strict=True))), cpg)
    if ref in "AG":
        ref, alt = reverse_complement(ref), reverse_complement(alt)
    return Stratum("SNV", f"{ref}>{alt}", cpg)


def _bin(length: int) -> str:
    """The doubling bin of a length: 1, 2, 3-4, 5-8, 9-16, ..."""
    high = 1 << (length - 1).bit_length()
    return str(high) if high < 4 else f"{high // 2 + 1}-{high}"


# ---------------------------------------------------------------- drawing


def random_variants(
    scorer: VariantScorer, group: Stratum, seed: int
) -> dict[Stratum, list[Variant]]:
    """Random variants that can be scored, by stratum of a group; fewer if the genome has no more.

    Positions are drawn over the known bases of all contigs, in proportion to their length.
    """
    wanted = SUBSTITUTIONS if group.kind in ("SNV", "MNV") else INDELS
    found: dict[Stratum, dict[Variant, None]] = {stratum: {} for stratum in group.members}
    for block in range(_MOST_BLOCKS):
        made = list(_candidates(scorer, group, seed, block))
        strata = strata_of(scorer.genome, made, scorer.circles)
        for variant, stratum in zip(made, strata, strict=True):
            known = found.get(stratum)
            if known is not None and len(known) < wanted and scorer.reason(variant) is None:
                known[variant] = None
        if all(len(known) == wanted for known in found.values()):
            break
    return {stratum: list(known) for stratum, known in found.items()}


def _candidates(scorer: VariantScorer, group: Stratum, seed: int, block: int) -> Iterator[Variant]:
    """Variants at a block of random positions; some turn out to be of another stratum.

    Inserted or substituted bases are copied from another random position, so that their composition
    is that of the genome. An MNV takes the complement where that base is the same.
    """
    genome, samples = scorer.genome, np.arange(block * _BLOCK, (block + 1) * _BLOCK)
    at, other, *lengths = row_hash(seed, 0, samples, _PURPOSES)
    ref_lengths, alt_lengths = _lengths(group, lengths, scorer.window // 2)
    refs = _pieces(genome, at, ref_lengths)
    drawn = _pieces(genome, other, alt_lengths)
    for (chrom, start, ref), (_, _, alt) in zip(refs, drawn, strict=True):
        if "N" in ref or "N" in alt:
            continue
        if group.kind == "SNV":
            yield from (Variant(chrom, start, ref, letter) for letter in "ACGT" if letter != ref)
        elif group.kind == "MNV":
            pairs = zip(ref, alt, strict=True)
            changed = "".join(a if a != r else reverse_complement(r) for r, a in pairs)
            yield Variant(chrom, start, ref, changed)
        elif group.kind == "insertion":
            yield Variant(chrom, start, "", alt)
        else:
            yield Variant(chrom, start, ref, alt)


def _lengths(group: Stratum, bits: Sequence[NDArray[np.uint64]], most: int) -> tuple[Ints, Ints]:
    """Lengths of REF and of ALT of each candidate, (B,) each; for an insertion, the base after it
    counts as REF, so that none is put among N.
    """
    none = np.zeros(len(bits[0]), np.int64)
    if group.kind == "SNV":
        return none + 1, none
    one, _, second = group.change.partition(">")
    first = _drawn_lengths(one, bits[0], most)
    if group.kind == "delins":
        return first, _drawn_lengths(second, bits[1], most)
    return {"MNV": (first, first), "deletion": (first, none), "insertion": (none + 1, first)}[
        group.kind
    ]


def _drawn_lengths(bin_name: str, bits: NDArray[np.uint64], most: int) -> Ints:
    low, _, high = bin_name.partition("-")
    return int(low) + integers(bits, min(int(high or low), most) - int(low) + 1)


def _pieces(
    genome: Genome, bits: NDArray[np.uint64], lengths: Ints
) -> Iterator[tuple[str, int, str]]:
    """A random position for each row of bits (B,): chromosome, start, and the bases there."""
    offsets = (uniform(bits) * genome.total).astype(np.int64)
    records = genome.record_at(offsets)
    starts = offsets + genome.shifts[records]
    for record, start, length in zip(records, starts.tolist(), lengths.tolist(), strict=True):
        chrom = genome.chroms[record]
        yield chrom, start, decode(genome.fetch(chrom, start, start + length).codes)
