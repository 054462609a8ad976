"""Chromosomes from elements: where genes, repeats and islands lie, and how composition drifts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from findna.sequence.alphabet import N
from findna.sequence.simulate.elements import (
    Codes,
    CodonUse,
    Feature,
    Piece,
    RepeatFamily,
    Rng,
    background,
    codon_use,
    gene,
    island,
    join,
    microsatellite,
    plant_loners,
    repeat_families,
)

# Three megabases: small enough to be written and trained on within minutes, large enough that a
# task cut from whole chromosomes has hundreds of rows in each split.
LENGTHS = {
    "chr1": 620_000,
    "chr2": 540_000,
    "chr3": 460_000,
    "chr4": 380_000,
    "chr5": 300_000,
    "chr6": 880_000,
}
GAP = 500  # bases of N, one assembly gap a chromosome
LONERS_PER_BASE = 1 / 220
DRIFT_STEP = 5_000


@dataclass(frozen=True, slots=True)
class Chromosome:
    """Name, codes (L,), and features sorted by start."""

    name: str
    codes: Codes
    features: tuple[Feature, ...]

    def of_kind(self, kind: str) -> list[Feature]:
        """Its features of one kind, by start."""
        return [feature for feature in self.features if feature.kind == kind]


def chromosomes(seed: int) -> list[Chromosome]:
    """The simulated genome of a seed; each chromosome has a generator of its own."""
    families = repeat_families(np.random.default_rng([seed, 1]))
    use = codon_use(np.random.default_rng([seed, 2]))
    return [
        _chromosome(np.random.default_rng([seed, 3, i]), name, length, families, use)
        for i, (name, length) in enumerate(LENGTHS.items())
    ]


def _chromosome(
    rng: Rng, name: str, length: int, families: list[RepeatFamily], use: CodonUse
) -> Chromosome:
    drift = _drift(rng, length)
    pieces: list[Piece] = []
    position = genes = 0
    while position < length:
        gc = float(drift[min(position // DRIFT_STEP, len(drift) - 1)])
        spacer = _intergenic(rng, gc, families)
        genes += 1
        unit = gene(rng, f"{name}-g{genes:04d}", gc, use)
        pieces += [spacer, unit if rng.random() < 0.5 else unit.reversed()]
        position += len(spacer.codes) + len(unit.codes)
    whole = join(_with_gap(pieces))
    return Chromosome(name, *_cut(whole, length))


def _drift(rng: Rng, length: int) -> NDArray[np.float64]:
    """GC share every `DRIFT_STEP` bases: a random walk held between 0.34 and 0.52."""
    walk = np.cumsum(rng.normal(0.0, 0.02, length // DRIFT_STEP + 1)) + rng.uniform(0.3, 0.6)
    return 0.43 + 0.09 * np.sin(walk * 3.0)


def _intergenic(rng: Rng, gc: float, families: list[RepeatFamily]) -> Piece:
    """Background with lonely motifs, old repeats, microsatellites and islands without a gene."""
    pieces = [_plain(rng, gc, 120)]
    for _ in range(int(rng.poisson(1.6))):
        family = families[rng.integers(len(families))]
        pieces += [family.copy(rng), _plain(rng, gc, 90)]
    if rng.random() < 0.12:
        pieces += [microsatellite(rng), _plain(rng, gc, 60)]
    if rng.random() < 0.3:
        pieces += [_orphan_island(rng), _plain(rng, gc, 60)]
    return join(pieces)


def _plain(rng: Rng, gc: float, mean: float) -> Piece:
    codes = background(rng, 20 + int(rng.exponential(mean)), gc)
    return Piece(codes, tuple(plant_loners(rng, codes, LONERS_PER_BASE)))


def _orphan_island(rng: Rng) -> Piece:
    codes = island(rng, int(rng.integers(300, 900)))
    loners = plant_loners(rng, codes, LONERS_PER_BASE)
    return Piece(codes, (Feature("cpg_island", "orphan", 0, len(codes)), *loners))


def _with_gap(pieces: list[Piece]) -> list[Piece]:
    """Insert the assembly gap between two units in the middle of the chromosome."""
    middle = len(pieces) // 4 * 2
    gap = Piece(np.full(GAP, N, dtype=np.uint8), (Feature("gap", "gap", 0, GAP),))
    return [*pieces[:middle], gap, *pieces[middle:]]


def _cut(whole: Piece, length: int) -> tuple[Codes, tuple[Feature, ...]]:
    """The first `length` bases; a gene or repeat that would be cut loses its annotation."""
    cut_genes = {f.owner for f in whole.features if f.owner and f.end > length}
    kept = [f for f in whole.features if f.end <= length and f.owner not in cut_genes]
    return whole.codes[:length], tuple(sorted(kept, key=lambda f: (f.start, f.end)))
