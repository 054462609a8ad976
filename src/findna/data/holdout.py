"""Held-out DNA, never trained on: named chromosomes, whole contigs, or blocks of the genome.

Contigs and blocks are chosen by a hash of their name and position: a model trained further with
the same settings never sees its validation data.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from findna.data.sampling import (
    LEAST_HELD_OUT,
    MOST_HELD_OUT,
    Offsets,
    Runs,
    SamplingSettings,
    sizes_of,
    usable_runs,
)
from findna.files import BadInput, first_of, log
from findna.sequence.genome import Genome
from findna.sequence.intervals import bases_in, subtract

_ENOUGH_CONTIGS = 20
# Blocks in a genome, at least, unless a window is larger than such a block.
_BLOCKS = 200


@dataclass(frozen=True)
class Split:
    """Training and validation parts of a genome, as runs (K, 2) of store offsets.

    `how` is "named", "contigs" or "blocks"; `fraction` the share of usable bases held out;
    `validation_chroms` the held-out chromosomes, empty for blocks; `text` a one-line summary.
    """

    train: Runs
    validation: Runs
    how: Literal["named", "contigs", "blocks"]
    fraction: float
    validation_chroms: tuple[str, ...]
    text: str


def split_genome(genome: Genome, settings: SamplingSettings, seed: int = 0) -> Split:
    """Hold bases out for validation: named chromosomes, else contigs, else blocks with a guard.

    Without names, whole source chromosomes are held out if at least 20 are long enough, in the
    order of a hash of their names; else blocks of a fixed grid in source coordinates, with one
    window on either side in neither part. Both hold out 2 to 10 % of the usable bases, and depend
    on names, coordinates and `seed`, never on the order of the records.
    """
    runs = usable_runs(genome, settings)
    if settings.validation_chroms is not None:
        return _split_named(genome, runs, settings)
    return _split_contigs(genome, runs, settings, seed) or _split_blocks(
        genome, runs, settings, seed
    )


def _split_named(genome: Genome, runs: Runs, settings: SamplingSettings) -> Split:
    assert settings.validation_chroms is not None
    named = tuple(dict.fromkeys(genome.resolve(chrom) for chrom in settings.validation_chroms))
    held = np.isin(_chroms_of(genome, runs), named)
    for part, what in ((runs[held], "for validation"), (runs[~held], "for training")):
        if sizes_of(part).max(initial=0) < settings.window:
            raise BadInput(
                f"holding out {', '.join(named)} leaves no stretch of {settings.window:,} bp"
                f" {what}",
                file=genome.source,
                remedy="name other --validation-chroms, or none",
            )
    split = _split(
        genome,
        "named",
        runs[~held],
        runs[held],
        bases_in(runs),
        f"held out by name: {first_of(named)}",
        named,
    )
    if not LEAST_HELD_OUT <= split.fraction <= MOST_HELD_OUT:
        log.warning(
            "%s holds %.2g %% of the usable bases; 2 to 10 %% is usual for validation",
            first_of(named),
            100 * split.fraction,
        )
    return split


def _split_contigs(
    genome: Genome, runs: Runs, settings: SamplingSettings, seed: int
) -> Split | None:
    """Whole source chromosomes; None if there are too few, or no set of them has 2 to 10 %."""
    chroms, which = np.unique(_chroms_of(genome, runs), return_inverse=True)
    bases = np.bincount(which, weights=sizes_of(runs)).astype(np.int64)
    longest = np.zeros(len(chroms), dtype=np.int64)
    np.maximum.at(longest, which, sizes_of(runs))
    able = np.flatnonzero(longest >= settings.window)
    if len(able) < _ENOUGH_CONTIGS:
        return None
    order = sorted(able.tolist(), key=lambda i: _name_hash(seed, str(chroms[i])))
    usable = int(bases.sum())
    chosen = _fill(order, bases, settings.validation_fraction, usable)
    if len(chosen) == len(order):
        # Most contigs are shorter than a window: half of the others are left to train on.
        chosen = chosen[: len(chosen) // 2]
    if bases[chosen].sum() < LEAST_HELD_OUT * usable:
        return None
    held = np.isin(which, chosen)
    names = tuple(str(chroms[i]) for i in chosen)
    return _split(
        genome,
        "contigs",
        runs[~held],
        runs[held],
        usable,
        f"held out {len(names)} of {len(chroms):,} contigs by a hash of names: {first_of(names)}",
        names,
    )


def _split_blocks(genome: Genome, runs: Runs, settings: SamplingSettings, seed: int) -> Split:
    """Blocks of a grid in source coordinates, chosen by a hash of chromosome and block number."""
    window, usable = settings.window, bases_in(runs)
    size = window << max(0, (usable // (_BLOCKS * window)).bit_length() - 1)
    chroms, chrom = np.unique(_chroms_of(genome, runs), return_inverse=True)
    pieces, run, block = _grid_pieces(genome, runs, size)
    able = sizes_of(pieces) >= window
    pieces, places = pieces[able], np.stack([chrom[run], block], axis=1)[able]
    blocks, which = np.unique(places, axis=0, return_inverse=True)
    bases = np.bincount(which, weights=sizes_of(pieces), minlength=len(blocks)).astype(np.int64)
    order = sorted(
        range(len(blocks)),
        key=lambda i: _name_hash(seed, str(chroms[blocks[i, 0]]), int(blocks[i, 1])),
    )
    chosen = _fill(order, bases, settings.validation_fraction, usable)
    guarded = [
        _spans(genome, str(chroms[c]), k * size - window, (k + 1) * size + window)
        for c, k in blocks[chosen].tolist()
    ]
    train = subtract(runs, np.concatenate(guarded)) if guarded else runs
    train = train[sizes_of(train) >= settings.shortest]
    too_little = bases[chosen].sum() < LEAST_HELD_OUT * usable
    if too_little or sizes_of(train).max(initial=0) < window:
        raise BadInput(
            f"{usable:,} usable bases are too few to hold out 2 to 10 % of them in windows of"
            f" {window:,} bp",
            file=genome.source,
            remedy="use a smaller --window, or name --validation-chroms",
        )
    how = (
        f"held out {len(chosen)} blocks of {size:,} bp by a hash of their positions, one window"
        " apart"
    )
    return _split(genome, "blocks", train, pieces[np.isin(which, chosen)], usable, how, ())


def _fill(order: list[int], bases: Offsets, fraction: float, usable: int) -> list[int]:
    """As many of `order` as reach `fraction` of the usable bases, skipping what would exceed a
    tenth.
    """
    chosen: list[int] = []
    held = 0
    for i in order:
        if held >= fraction * usable:
            break
        if held + bases[i] <= MOST_HELD_OUT * usable:
            chosen.append(i)
            held += int(bases[i])
    return chosen


def _split(
    genome: Genome,
    how: Literal["named", "contigs", "blocks"],
    train: Runs,
    validation: Runs,
    usable: int,
    said: str,
    chroms: tuple[str, ...],
) -> Split:
    held = bases_in(validation)
    text = (
        f"{usable:,} of {genome.total:,} bases are usable; {said}: "
        f"{held:,} bases, {100 * held / usable:.1f} %"
    )
    return Split(train, validation, how, held / usable, chroms, text)


def _chroms_of(genome: Genome, runs: Runs) -> NDArray[np.str_]:
    """Source chromosome (K,) of each run."""
    return np.array(genome.chroms, dtype=np.str_)[genome.record_at(runs[:, 0])]


def _grid_pieces(
    genome: Genome, runs: Runs, size: int
) -> tuple[Runs, NDArray[np.int64], NDArray[np.int64]]:
    """Runs cut at the multiples of `size` in source coordinates: pieces, and run and block number
    of each.
    """
    record = genome.record_at(runs[:, 0])
    shift = genome.shifts[record]
    first = (runs[:, 0] + shift) // size
    counts = (runs[:, 1] + shift - 1) // size - first + 1
    run = np.repeat(np.arange(len(runs)), counts)
    block = first[run] + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    low = np.maximum(runs[run, 0], block * size - shift[run])
    high = np.minimum(runs[run, 1], (block + 1) * size - shift[run])
    return np.stack([low, high], axis=1), run, block


def _spans(genome: Genome, chrom: str, start: int, end: int) -> Runs:
    """Store runs of [start, end) of a source chromosome, one per record, empty outside it."""
    records = genome.records_of(chrom)
    here = np.clip([[start, end]], genome.starts[records, None], genome.ends[records, None])
    return np.asarray(here + (genome.offsets - genome.starts)[records, None])


def _name_hash(seed: int, name: str, number: int = 0) -> bytes:
    """Sort key for a random order that does not depend on the order of the file."""
    return hashlib.blake2b(f"{seed}:{name}:{number}".encode(), digest_size=8).digest()
