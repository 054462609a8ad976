"""How unusual a score is: percentiles against random variants of the same genome and of like kind.

Like kind is a stratum: an SNV's substitution (on the strand where REF is a pyrimidine) and whether
its REF base is in a CpG; an MNV's number of bases and CpG; an indel's kind and length, in bins that
double. A stratum is drawn by a seed, scored when a variant first asks for it, and kept in the cache
under model, genome and settings: a VCF of SNVs never pays for indels.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from findna.data.randomness import Purpose, integers, row_hash, uniform
from findna.files import BadInput, cache_folder, log, read_json, write_json
from findna.inference.answers import Floats
from findna.inference.variants.scores import PERCENTILE, ScoreField, VariantScorer
from findna.inference.variants.windows import Circles, Ints, bases_at, trimmed
from findna.model.model import software_versions, weights_digest
from findna.sequence.alphabet import decode, reverse_complement
from findna.sequence.genome import Genome
from findna.sequence.variants import Variant

# What the percentiles are made of; another number for another way of drawing or scoring.
FORMAT = 2
# Random variants of a stratum. An indel costs some twenty windows, a substitution three.
SUBSTITUTIONS, INDELS = 500, 200
# A percentile of fewer would say little.
_FEWEST = 50
_BLOCK, _MOST_BLOCKS = 2048, 128
_PURPOSES = [
    Purpose.WINDOW_START,
    Purpose.INSERTION_PLACE,
    Purpose.DELETION_LENGTH,
    Purpose.INSERTION_LENGTH,
]


class Stratum(NamedTuple):
    """Variants that are compared with one another.

    kind: SNV, MNV, insertion, deletion or delins. change: "C>T", or the bases of ALT or REF as the
    doubling bin they fall in ("5-8"), both for a delins ("2>5-8"). cpg: a changed REF base is in a
    CpG; never for indels.
    """

    kind: str
    change: str
    cpg: bool = False

    def __str__(self) -> str:
        """In words, such as "SNV C>T in CpG"."""
        return f"{self.kind} {self.change}{' in CpG' if self.cpg else ''}"

    @property
    def group(self) -> Stratum:
        """What is drawn and scored together: the three ALTs of a place share their windows."""
        return self._replace(change=self.change[0]) if self.kind == "SNV" else self


def strata_of(genome: Genome, variants: Sequence[Variant], circles: Circles) -> list[Stratum]:
    """The stratum of each variant, whatever its spelling."""
    cores = [trimmed(variant) for variant in variants]
    around: list[str] = [""] * len(cores)
    rows: dict[str, list[int]] = {}
    for row, core in enumerate(cores):
        rows.setdefault(core.chrom, []).append(row)
    for chrom, of in rows.items():
        sides = np.array([(cores[row].start - 1, cores[row].end) for row in of], np.int64)
        letters = decode(bases_at(genome, chrom, sides, circles).ravel())
        for k, row in enumerate(of):
            around[row] = letters[2 * k : 2 * k + 2]
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

    Places are drawn over the known bases of all contigs, in proportion to their length.
    """
    wanted = SUBSTITUTIONS if group.kind in ("SNV", "MNV") else INDELS
    found: dict[Stratum, dict[Variant, None]] = {stratum: {} for stratum in _members(group)}
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


def _members(group: Stratum) -> list[Stratum]:
    if group.kind != "SNV":
        return [group]
    alts = [letter for letter in "ACGT" if letter != group.change]
    return [group._replace(change=f"{group.change}>{alt}") for alt in alts]


def _candidates(scorer: VariantScorer, group: Stratum, seed: int, block: int) -> Iterator[Variant]:
    """The variants of a block of random places; some turn out to be of another stratum.

    Bases that are inserted, or that stand in for others, are read at another random place: they
    are composed as the genome is. An MNV takes the complement where that base is the same.
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
    """Bases of REF and of ALT of each candidate, (B,) each; of an insertion, the base behind it
    stands for REF, so that none falls among N.
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
    """A random place for each row of bits (B,): chromosome, start, and the letters there."""
    offsets = (uniform(bits) * genome.total).astype(np.int64)
    records = genome.record_at(offsets)
    starts = offsets + genome.shifts[records]
    for record, start, length in zip(records, starts.tolist(), lengths.tolist(), strict=True):
        chrom = genome.chroms[record]
        yield chrom, start, decode(genome.fetch(chrom, start, start + length).codes)


# ---------------------------------------------------------------- comparing


class Background:
    """Percentiles of the scores of one scorer; make it with `of`.

    Attributes: `fields`, one percentile for each field of the scorer; `folder` in the cache.
    """

    def __init__(self, scorer: VariantScorer, identity: dict[str, Any], folder: Path) -> None:
        """Use `Background.of`."""
        self.scorer, self.identity, self.folder = scorer, identity, folder
        self.fields = tuple(_percentile_field(field) for field in scorer.fields)
        self._known: dict[Stratum, dict[str, Floats]] = {}

    @classmethod
    def of(cls, scorer: VariantScorer, *, seed: int = 0) -> Self:
        """The background of a scorer's model and genome; its variants are drawn by `seed`."""
        identity = {
            "format": FORMAT,
            "findna": software_versions()["findna"],
            "model": weights_digest(scorer.model),
            "config": scorer.model.config.model_dump(mode="json"),
            "genome": scorer.genome.digest,
            "placing": scorer.genome.placing,
            "window": scorer.window,
            "strand": scorer.strand,
            "circular": sorted(scorer.circles),
            "seed": seed,
            "variants": [SUBSTITUTIONS, INDELS],
        }
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        return cls(scorer, identity, cache_folder() / "backgrounds" / key)

    def percentiles(self, variants: Sequence[Variant], scores: pd.DataFrame) -> pd.DataFrame:
        """One row a variant, in order, for the scores (n, fields) that the scorer gave them.

        A percentile is the share, in percent, of the background's scores that are lower, and half
        of those that are equal. NaN where the score is NaN, or where the genome has too few
        variants of the stratum, which is said once.

        Raises:
            BadInput: the cache holds a background of something else under this name, or cannot be
                written.
        """
        table = np.full((len(variants), len(self.fields)), np.nan)
        scored = np.flatnonzero(scores.notna().any(axis=1).to_numpy())
        strata = strata_of(
            self.scorer.genome, [variants[row] for row in scored.tolist()], self.scorer.circles
        )
        for stratum, rows in _rows_of(strata, scored).items():
            known = self._scores_of(stratum)
            for column, field in enumerate(self.scorer.fields):
                asked = scores[field.name].to_numpy(np.float64)[rows]
                table[rows, column] = percentile(known[field.name], asked)
        return pd.DataFrame(table, columns=[field.name for field in self.fields])

    def _scores_of(self, stratum: Stratum) -> dict[str, Floats]:
        """Sorted scores of a stratum by field: from memory, from the cache, or made now."""
        if stratum not in self._known:
            file = self.folder / f"{_file_name(stratum.group)}.json"
            if not file.exists():
                self._make(stratum.group, file)
            self._known |= self._read(stratum.group, file)
        return self._known[stratum]

    def _make(self, group: Stratum, file: Path) -> None:
        began = time.monotonic()
        drawn = random_variants(self.scorer, group, self.identity["seed"])
        count = sum(map(len, drawn.values()))
        log.info(
            "percentiles: scoring %s random variants like %s, once for this model and genome",
            f"{count:,}",
            group,
        )
        # In one call: the ALTs of a place share windows.
        scores = self.scorer.score([variant for of in drawn.values() for variant in of])
        member = np.repeat([str(stratum) for stratum in drawn], [len(of) for of in drawn.values()])
        kept = {
            str(stratum): {
                name: sorted(scores[name][member == str(stratum)].dropna().tolist())
                for name in scores
            }
            for stratum in drawn
        }
        write_json(file, {"identity": self.identity, "scores": kept})
        log.info("percentiles: %s took %.0f s, kept in %s", group, time.monotonic() - began, file)

    def _read(self, group: Stratum, file: Path) -> dict[Stratum, dict[str, Floats]]:
        try:
            described = read_json(file)
        except BadInput as error:
            remedy = "remove it: it is made anew"
            raise BadInput(error.problem, file=file, line=error.line, remedy=remedy) from None
        if not isinstance(described, dict) or described.get("identity") != self.identity:
            raise BadInput(
                "is the background of another model, genome or setting",
                file=file,
                remedy="remove it: it is made anew",
            )
        return {
            stratum: self._enough(stratum, described["scores"][str(stratum)])
            for stratum in _members(group)
        }

    def _enough(self, stratum: Stratum, scores: dict[str, list[float]]) -> dict[str, Floats]:
        count = max(map(len, scores.values()))
        if count < _FEWEST:
            log.warning(
                "no percentiles for %s: %s has %s of the %s that are needed to compare with",
                stratum,
                self.scorer.genome.source,
                count,
                _FEWEST,
            )
        return {
            name: np.array(values if count >= _FEWEST else [], np.float64)
            for name, values in scores.items()
        }


def percentile(background: Floats, scores: Floats) -> Floats:
    """Percent (n,) of the sorted background (m,) below each score, ties counted by half.

    NaN for a score that is NaN, and for an empty background.
    """
    if not len(background):
        return np.full(len(scores), np.nan)
    ranks = [np.searchsorted(background, scores, side) for side in ("left", "right")]
    found = 50.0 * (ranks[0] + ranks[1]) / len(background)
    return np.where(np.isnan(scores), np.nan, found)


def _rows_of(strata: Sequence[Stratum], rows: Ints) -> dict[Stratum, list[int]]:
    found: dict[Stratum, list[int]] = {}
    for stratum, row in zip(strata, rows.tolist(), strict=True):
        found.setdefault(stratum, []).append(row)
    return found


def _file_name(group: Stratum) -> str:
    return str(group).replace(" ", "-").replace(">", "-to-")


def _percentile_field(field: ScoreField) -> ScoreField:
    return ScoreField(
        f"{field.name}{PERCENTILE}",
        f"percentile (0 to 100) of {field.name} among random variants of this genome with the same"
        " substitution and CpG context, or kind and length of indel; ties count by half",
    )
