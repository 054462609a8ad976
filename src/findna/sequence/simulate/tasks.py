"""Labelled tasks and variants cut from a simulated genome.

Whole chromosomes make the splits, so no row of one split overlaps a row of another:
train chr1 to chr4, dev chr5, test chr6.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from findna.sequence.alphabet import C, G, N, decode, reverse_complement
from findna.sequence.simulate.assembly import Chromosome
from findna.sequence.simulate.elements import MOTIFS, UPSTREAM, Codes, Feature, Rng

SPLITS = {
    "train": ("chr1", "chr2", "chr3", "chr4"),
    "dev": ("chr5",),
    "test": ("chr6",),
}
PROMOTER_WINDOW = (-180, 60)  # around the transcription start
ROWS_PER_CLASS = {"train": 400, "dev": 150, "test": 400}


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled window; the sequence is read on `strand`."""

    sequence: str
    label: str
    chrom: str
    start: int
    end: int
    strand: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A single-nucleotide variant; `pos` is 1-based, alleles on the plus strand."""

    chrom: str
    pos: int
    ref: str
    alt: str
    effect: str  # motif_breaking or neutral
    motif: str = ""
    owner: str = ""


Task = dict[str, list[Row]]
_Maker = Callable[[Rng, Chromosome], list[Row]]


def cut_tasks(seed: int, genome: Sequence[Chromosome]) -> dict[str, Task]:
    """The three tasks, each with its train, dev and test rows in random order."""
    makers = {"promoters": _promoters, "coding": _coding, "repeats": _repeats}
    return {
        name: {split: _split(seed, i, split, genome, maker) for split in SPLITS}
        for i, (name, maker) in enumerate(makers.items())
    }


def _split(
    seed: int, task: int, split: str, genome: Sequence[Chromosome], maker: _Maker
) -> list[Row]:
    rng = np.random.default_rng([seed, 4, task, list(SPLITS).index(split)])
    rows = [row for c in genome if c.name in SPLITS[split] for row in maker(rng, c)]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    return _at_most(rows, ROWS_PER_CLASS[split])


def _at_most(rows: Iterable[Row], limit: int) -> list[Row]:
    """The first `limit` rows of each class, order kept."""
    seen: dict[str, int] = {}
    kept = []
    for row in rows:
        seen[row.label] = seen.get(row.label, 0) + 1
        kept += [row] if seen[row.label] <= limit else []
    return kept


def _row(chromosome: Chromosome, start: int, end: int, strand: str, label: str) -> Row:
    codes = chromosome.codes[start:end]
    codes = codes if strand == "+" else reverse_complement(codes)
    return Row(decode(codes), label, chromosome.name, start, end, strand)


# Promoters ----------------------------------------------------------------------------------


def _promoters(rng: Rng, chromosome: Chromosome) -> list[Row]:
    """Promoters in the direction of their gene, and one matched background window for each."""
    windows = [_promoter_window(rng, f) for f in chromosome.of_kind("promoter")]
    windows = [w for w in windows if w[0] >= 0 and w[1] <= len(chromosome.codes)]
    rows = [_row(chromosome, *window, "promoter") for window in windows]
    starts = _matched_background(rng, chromosome, [w[0] for w in windows])
    length = PROMOTER_WINDOW[1] - PROMOTER_WINDOW[0]
    strands = rng.choice(["+", "-"], len(starts))
    others = [
        _row(chromosome, int(s), int(s) + length, str(strand), "background")
        for s, strand in zip(starts, strands, strict=True)
    ]
    return rows + others


def _promoter_window(rng: Rng, feature: Feature) -> tuple[int, int, str]:
    """The window around the start of transcription, up to 10 bases off, as annotations are."""
    before, after = PROMOTER_WINDOW
    slack = int(rng.integers(-10, 11))
    if feature.strand == "+":
        tss = feature.start + UPSTREAM + slack
        return tss + before, tss + after, "+"
    tss = feature.end - UPSTREAM + slack
    return tss - after, tss - before, "-"


def _matched_background(rng: Rng, chromosome: Chromosome, starts: list[int]) -> NDArray[np.int64]:
    """For each window the nearest one, in GC and CpG, off promoters, coding bases and gaps.

    Greedy in random order, without overlap between the windows chosen.
    """
    length = PROMOTER_WINDOW[1] - PROMOTER_WINDOW[0]
    taken = _covered(chromosome, ("promoter", "CDS", "gap"))
    traits = _traits(chromosome.codes, length)
    free = np.flatnonzero(_window_sum(taken, length) == 0)
    free = rng.permutation(free)[: 40 * len(starts)]
    chosen = []
    for start in rng.permutation(starts):
        distance = np.abs(traits[free] - traits[start]).sum(1)
        best = int(free[distance.argmin()])
        chosen.append(best)
        free = free[np.abs(free - best) >= length]
        if not len(free):
            break
    return np.array(chosen, dtype=np.int64)


def _covered(chromosome: Chromosome, kinds: tuple[str, ...]) -> NDArray[np.bool_]:
    covered = np.zeros(len(chromosome.codes), dtype=bool)
    for feature in chromosome.features:
        if feature.kind in kinds:
            covered[feature.start : feature.end] = True
    return covered


def _window_sum(flags: NDArray[np.bool_], length: int) -> NDArray[np.int64]:
    """How many of `length` flags are set from each start on, (L - length + 1,)."""
    total = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    return np.asarray(total[length:] - total[:-length])


def _traits(codes: Codes, length: int) -> NDArray[np.float64]:
    """GC share and CpG per base of each window, in units of their usual spread, (starts, 2)."""
    gc = _window_sum((codes == C) | (codes == G), length) / length
    cpg = np.append((codes[:-1] == C) & (codes[1:] == G), False)
    return np.stack([gc / 0.05, _window_sum(cpg, length) / length / 0.01], axis=1)


# Coding -------------------------------------------------------------------------------------


def _coding(rng: Rng, chromosome: Chromosome) -> list[Row]:
    """Pieces of exons, any frame and strand, against pieces from between the genes."""
    exons = [(f.start, f.end, "coding") for f in chromosome.of_kind("CDS")]
    taken = _covered(chromosome, ("promoter", "gene", "gap"))
    edges = np.flatnonzero(np.diff(np.concatenate([[1], taken, [1]]).astype(np.int8)))
    spaces = [(int(a), int(b), "intergenic") for a, b in edges.reshape(-1, 2)]
    return _pieces_of(rng, chromosome, exons + spaces, (70, 150))


def _repeats(rng: Rng, chromosome: Chromosome) -> list[Row]:
    """A piece of each repeat copy, named by its family."""
    places = [(f.start, f.end, f.name) for f in chromosome.of_kind("repeat")]
    return _pieces_of(rng, chromosome, places, (60, 100))


def _pieces_of(
    rng: Rng,
    chromosome: Chromosome,
    places: Iterable[tuple[int, int, str]],
    lengths: tuple[int, int],
) -> list[Row]:
    """One window of a random length and strand from every (start, end, label) it fits into."""
    rows = []
    for start, end, label in places:
        length = int(rng.integers(lengths[0], lengths[1] + 1))
        if end - start >= length:
            at = int(rng.integers(start, end - length + 1))
            rows.append(_row(chromosome, at, at + length, "+-"[rng.integers(2)], label))
    return rows


# Variants -----------------------------------------------------------------------------------


def cut_variants(
    seed: int, genome: Sequence[Chromosome], per_chromosome: int = 60
) -> list[Variant]:
    """Variants that break a promoter motif and as many neutral ones, by chromosome and place."""
    found: list[Variant] = []
    for i, chromosome in enumerate(genome):
        rng = np.random.default_rng([seed, 5, i])
        breaking = {v.pos: v for v in _breaking(rng, chromosome)}
        chosen = list(breaking.values())[:per_chromosome]
        both = chosen + _neutral(rng, chromosome, len(chosen))
        found += sorted(both, key=lambda v: v.pos)
    return found


def _breaking(rng: Rng, chromosome: Chromosome) -> list[Variant]:
    """For a promoter motif in random order: a fixed base of it replaced by one it forbids."""
    sites = [f for f in chromosome.of_kind("motif") if f.owner]
    found = []
    for i in rng.permutation(len(sites)):
        variant = _break(rng, chromosome, sites[i])
        found += [variant] if variant else []
    return found


def _break(rng: Rng, chromosome: Chromosome, site: Feature) -> Variant | None:
    motif = MOTIFS[site.name]
    codes = chromosome.codes[site.start : site.end]
    sense = codes if site.strand == "+" else reverse_complement(codes)
    intact = [i for i in motif.fixed() if motif.agrees(i, int(sense[i]))]
    if not intact:
        return None
    position = intact[rng.integers(len(intact))]
    at = site.start + position if site.strand == "+" else site.end - 1 - position
    ref, alt = _alleles(rng, chromosome, at)
    return Variant(chromosome.name, at + 1, ref, alt, "motif_breaking", site.name, site.owner)


def _neutral(rng: Rng, chromosome: Chromosome, count: int) -> list[Variant]:
    """Places in no annotated feature."""
    kinds = ("promoter", "gene", "motif", "repeat", "cpg_island", "gap")
    free = np.flatnonzero(~_covered(chromosome, kinds) & (chromosome.codes != N))
    places = rng.choice(free, count, replace=False)
    return [
        Variant(chromosome.name, int(at) + 1, *_alleles(rng, chromosome, int(at)), "neutral")
        for at in places
    ]


def _alleles(rng: Rng, chromosome: Chromosome, at: int) -> tuple[str, str]:
    ref = int(chromosome.codes[at])
    return "ACGT"[ref], "ACGT"[(ref + int(rng.integers(1, 4))) % 4]
