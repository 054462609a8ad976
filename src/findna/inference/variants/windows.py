"""Variants as pairs of equally long windows, with REF and with ALT in the middle.

A variant is first normalised: shared ends of REF and ALT are trimmed, and an insertion or deletion
is left-aligned (Tan et al. 2015, Bioinformatics 31:2202, without the padding base), so that
equivalent representations give the same windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from findna.files import BadInput
from findna.sequence.alphabet import Codes, N, codes_of, decode, encode
from findna.sequence.genome import Genome, by_chromosome
from findna.sequence.variants import Variant

Ints = NDArray[np.int64]
# Length of each circular chromosome.
Circles = Mapping[str, int]

_STEP = 256


@dataclass(frozen=True)
class Haplotypes:
    """n pairs of windows of W bases that differ in the allele only.

    ref, alt: codes (n, W). left: (n,), where the allele begins in both. ref_lengths, alt_lengths:
    (n,), 0 for an empty allele (an insertion has no REF). The bases before the allele are the same
    in both windows, and the same bases follow it.
    """

    ref: Codes
    alt: Codes
    left: Ints
    ref_lengths: Ints
    alt_lengths: Ints

    def __len__(self) -> int:
        """Variants."""
        return len(self.left)

    @property
    def same_length(self) -> NDArray[np.bool_]:
        """Which (n,) are substitutions, with REF and ALT of one length."""
        return np.equal(self.ref_lengths, self.alt_lengths)

    def at(self, rows: Ints | NDArray[np.bool_]) -> Haplotypes:
        """The chosen pairs."""
        return Haplotypes(
            self.ref[rows],
            self.alt[rows],
            self.left[rows],
            self.ref_lengths[rows],
            self.alt_lengths[rows],
        )


def trimmed(variant: Variant) -> Variant:
    """The variant without the bases that REF and ALT share at the right end, then at the left.

    An insertion is left with an empty REF, a deletion with an empty ALT.
    """
    ref, alt = variant.ref, variant.alt
    if len(ref) == len(alt) == 1 and ref != alt:
        return variant
    right = _shared(ref[::-1], alt[::-1])
    ref, alt = ref[: len(ref) - right], alt[: len(alt) - right]
    left = _shared(ref, alt)
    return replace(variant, start=variant.start + left, ref=ref[left:], alt=alt[left:])


def _shared(one: str, other: str) -> int:
    """Length of the common prefix of two strings."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def left_aligned(genome: Genome, variant: Variant, circles: Circles) -> Variant:
    """A trimmed variant, left-aligned; only insertions and deletions move."""
    moving = variant.ref or variant.alt
    if variant.ref and variant.alt:
        return _on_circle(variant, circles)
    steps = _steps_left(genome, variant, moving, circles)
    turn = len(moving) - steps % max(1, len(moving))
    moved = moving[turn:] + moving[:turn]
    ref, alt = (moved, "") if variant.ref else ("", moved)
    return _on_circle(Variant(variant.chrom, variant.start - steps, ref, alt), circles)


def _steps_left(genome: Genome, variant: Variant, moving: str, circles: Circles) -> int:
    """How many bases an insertion or deletion of `moving` can be shifted left.

    A step is possible if the base before the allele is the last one of the allele, which then
    rotates by one. Steps end at N, at the chromosome's start, or after one turn of a circle.
    """
    allele = encode(moving)[::-1]
    circle = circles.get(variant.chrom)
    most = variant.start if circle is None else circle - len(variant.ref)
    steps = 0
    while moving and steps < most:
        ahead = np.arange(steps, min(steps + _STEP, most))
        before = bases_at(genome, variant.chrom, variant.start - 1 - ahead, circles)
        same = before == allele[ahead % len(allele)]
        if not same.all():
            return steps + int(same.argmin())
        steps += len(same)
    return steps


def _on_circle(variant: Variant, circles: Circles) -> Variant:
    circle = circles.get(variant.chrom)
    return variant if circle is None else replace(variant, start=variant.start % circle)


def circles_of(genome: Genome, chroms: Sequence[str]) -> dict[str, int]:
    """Lengths of circular chromosomes, which are read across their origin.

    Raises:
        BadInput: the genome has no such chromosome, or only regions of it.
    """
    lengths = {}
    for chrom in map(genome.resolve, chroms):
        if genome.mapped:
            raise BadInput(
                f"has only regions of {chrom}, which cannot be read across its origin",
                file=genome.source,
                remedy="leave it out of --circular",
            )
        lengths[chrom] = int(genome.lengths[genome.records_of(chrom)[0]])
    return lengths


def bases_at(genome: Genome, chrom: str, places: Ints, circles: Circles) -> Codes:
    """Codes at 0-based positions of a chromosome, any shape; N past its ends and between regions.

    Positions on a circular chromosome wrap around. Where regions overlap, the first one is read, as
    in `Genome.fetch`.
    """
    if chrom in circles:
        places = places % circles[chrom]
    stored = np.full(places.size, N, np.uint8)
    flat = places.ravel()
    order = np.argsort(flat, kind="stable")
    ranked = flat[order]
    free = np.ones(places.size, np.bool_)
    records = genome.records_of(chrom)
    lows = np.searchsorted(ranked, genome.starts[records])
    highs = np.searchsorted(ranked, genome.ends[records])
    shifts = genome.shifts[records]
    for low, high, shift in np.stack([lows, highs, shifts], axis=1).tolist():
        here = order[low:high]
        here = here[free[here]]
        stored[here] = genome.store[flat[here] - shift]
        free[here] = False
    return codes_of(stored).reshape(places.shape)


def check_references(genome: Genome, variants: Sequence[Variant], circles: Circles) -> None:
    """Compare each REF, padding included, with the genome.

    Raises:
        ValueError: one differs.
    """
    for chrom, rows in by_chromosome(v.chrom for v in variants).items():
        lengths = np.array([len(variants[row].ref) for row in rows])
        starts = np.array([variants[row].start for row in rows])
        begins = np.cumsum(lengths) - lengths
        places = np.arange(int(lengths.sum())) + np.repeat(starts - begins, lengths)
        found = bases_at(genome, chrom, places, circles)
        differ = found != encode("".join(variants[row].ref for row in rows))
        if differ.any():
            row = int(np.searchsorted(begins, differ.argmax(), side="right")) - 1
            there = decode(found[begins[row] : begins[row] + lengths[row]])
            raise ValueError(f"{variants[rows[row]]}: the genome has {there} there")


def haplotypes(
    genome: Genome, variants: Sequence[Variant], window: int, circles: Circles
) -> Haplotypes:
    """Windows of trimmed, left-aligned variants, in their order.

    Both windows begin `(window - longer allele) // 2` bases before the allele and are filled with
    reference on the right to the same length.
    """
    ref_lengths = np.array([len(v.ref) for v in variants], np.int64)
    alt_lengths = np.array([len(v.alt) for v in variants], np.int64)
    left = (window - np.maximum(ref_lengths, alt_lengths)) // 2
    starts = np.array([v.start for v in variants], np.int64) - left
    # A deletion needs as many more bases on the right as it deletes.
    reach = window + int((ref_lengths - alt_lengths).max(initial=0))
    read = np.empty((len(variants), reach), np.uint8)
    for chrom, rows in by_chromosome(v.chrom for v in variants).items():
        read[rows] = bases_at(genome, chrom, starts[rows, None] + np.arange(reach), circles)
    alt = read[:, :window].copy()
    for row, variant in enumerate(variants):
        _put(alt[row], read[row], int(left[row]), variant)
    return Haplotypes(read[:, :window], alt, left, ref_lengths, alt_lengths)


def _put(alt: Codes, read: Codes, left: int, variant: Variant) -> None:
    """Write ALT into the window `alt` (W,), and after it what follows REF in `read`."""
    end = left + len(variant.alt)
    alt[left:end] = encode(variant.alt)
    if len(variant.ref) != len(variant.alt):
        follow = left + len(variant.ref)
        alt[end:] = read[follow : follow + len(alt) - end]
