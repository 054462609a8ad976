"""Sliding windows over requested parts of a genome, and their composition.

The grid of windows is fixed by the record, not by the request: a scan of a region reads the same
windows, and gives the same values, as that part of a scan of the whole genome. Positions are
offsets in the genome's store until a track is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from findna.files import BadInput, log
from findna.inference.tiles import tile
from findna.sequence.alphabet import C, Codes, G, N, codes_of, soft_of
from findna.sequence.genome import Genome
from findna.sequence.intervals import is_region, read_bed, regions_bed, to_store
from findna.sequence.regions import Integers
from findna.sequence.tracks import TrackPiece

Floats = NDArray[np.float64]
Numbers = NDArray[np.floating[Any]]
Regions = str | Path | Sequence[str] | None

_CHUNK_BASES = 1 << 20


class Windows(NamedTuple):
    """n windows in the order of a track; int64 (n,), offsets in the store of a genome.

    Window i is read from `starts` to `ends`, and its values apply to [keep_starts, keep_ends),
    which no other window overlaps.
    """

    starts: Integers
    ends: Integers
    keep_starts: Integers
    keep_ends: Integers


class Composition(NamedTuple):
    """Base composition of n stretches of DNA, float64 (n,); NaN if there is no base to count.

    `gc` is the share of G and C among known bases, `lower_case` and `n` those among all bases.
    """

    gc: Floats
    lower_case: Floats
    n: Floats


# ---------------------------------------------------------------- what is asked


def asked_runs(genome: Genome, regions: Regions) -> Integers:
    """Runs (K, 2) of store offsets of a BED, of regions, or of the whole genome (None).

    They are in track order (chromosomes as in the FASTA, then by start) and do not overlap in
    source coordinates: where records overlap, the first one counts.

    Raises:
        BadInput: as `read_bed`, `parse_region` and `to_store`.
    """
    if regions is None:
        runs = genome.runs
    else:
        asked, source = _as_bed(regions)
        if asked.empty:
            return np.empty((0, 2), np.int64)
        runs = to_store(genome, asked, source=source)
        if not len(runs):
            log.warning("%s: no part of it is in %s", source, genome.source)
    return _track_order(genome, runs)


def _as_bed(regions: str | Path | Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Regions as a data frame like that of a BED, and their name for messages."""
    if isinstance(regions, str | Path):
        if not is_region(regions):
            return read_bed(regions), str(regions)
        regions = [str(regions)]
    regions = list(regions)
    files = [text for text in regions if not is_region(text) and Path(text).exists()]
    if files:
        raise BadInput(
            f"{files[0]} is one of {len(regions)} regions, but a BED must be given alone",
            remedy="join them in one BED",
        )
    return regions_bed(regions), "the regions"


def _track_order(genome: Genome, runs: Integers) -> Integers:
    record = genome.record_at(runs[:, 0])
    ranks = {chrom: rank for rank, chrom in enumerate(dict.fromkeys(genome.chroms))}
    rank = np.array([ranks[genome.chroms[r]] for r in record.tolist()], np.int64)
    # Chromosome and position in one number, so that one running maximum serves all chromosomes.
    shift = genome.shifts[record] + (rank << 40)
    order = np.lexsort((runs[:, 1] + shift, runs[:, 0] + shift))
    runs, shift = runs[order], shift[order]
    reach = np.maximum.accumulate(np.append(0, runs[:, 1] + shift))[:-1]
    starts = np.maximum(runs[:, 0], reach - shift)
    trimmed: Integers = np.stack([starts, runs[:, 1]], axis=1)
    return np.compress(starts < runs[:, 1], trimmed, axis=0)


# ---------------------------------------------------------------- windows


def slide(genome: Genome, asked: Integers, window: int, flank: int) -> Iterator[Windows]:
    """The windows with values in the runs `asked` (K, 2), in chunks of bounded size.

    Windows are those of `tiles.tile` over each whole record; small records share a chunk.
    """
    rows = max(1, _CHUNK_BASES // window)
    waiting: list[Windows] = []
    held = 0
    for part in _parts(genome, asked, window, flank, rows):
        waiting.append(part)
        held += len(part.starts)
        if held >= rows:
            yield _joined(waiting)
            waiting, held = [], 0
    if waiting:
        yield _joined(waiting)


def count_windows(genome: Genome, asked: Integers, window: int, flank: int) -> int:
    """Number of windows of `slide`."""
    return sum(len(part.starts) for part in _parts(genome, asked, window, flank, 1 << 62))


def _parts(
    genome: Genome, asked: Integers, window: int, flank: int, rows: int
) -> Iterator[Windows]:
    """Windows of one run at a time, at most `rows` of them, clipped to `asked`."""
    last, tiles = -1, None
    for start, end in asked.tolist():
        record = int(genome.record_at(np.array([start]))[0])
        offset = int(genome.offsets[record])
        if tiles is None or record != last:
            tiles, last = tile(int(genome.lengths[record]), window, flank), record
        low = int(np.searchsorted(tiles.keep_ends, start - offset, side="right"))
        high = int(np.searchsorted(tiles.keep_starts, end - offset, side="left"))
        for at in range(low, high, rows):
            found = Windows(*(places[at : min(at + rows, high)] + offset for places in tiles))
            yield found._replace(
                keep_starts=np.maximum(found.keep_starts, start),
                keep_ends=np.minimum(found.keep_ends, end),
            )


def _joined(parts: Sequence[Windows]) -> Windows:
    return Windows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def letters(genome: Genome, starts: Integers, ends: Integers) -> Iterator[tuple[Integers, Codes]]:
    """Row numbers (k,) and store bytes uint8 (k, L), for the stretches of each length."""
    lengths = ends - starts
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        yield rows, np.asarray(genome.store[starts[rows, None] + np.arange(length)])


def composition(genome: Genome, starts: Integers, ends: Integers) -> Composition:
    """Composition of n stretches of a genome's store."""
    gc, lower_case, n = (np.full(len(starts), np.nan) for _ in range(3))
    for rows, stored in letters(genome, starts, ends):
        codes = codes_of(stored)
        known = (codes < N).sum(1)
        strong = ((codes == C) | (codes == G)).sum(1)
        gc[rows] = np.divide(strong, known, out=np.full(len(rows), np.nan), where=known > 0)
        lower_case[rows], n[rows] = soft_of(stored).mean(1), 1 - known / stored.shape[1]
    return Composition(gc, lower_case, n)


# ---------------------------------------------------------------- from offsets to places


def by_chrom(genome: Genome, offsets: Integers) -> Iterator[tuple[str, slice, int]]:
    """For `offsets` (n,) in track order, each stretch in one record: its chromosome, rows, and
    shift to source coordinates.
    """
    record = genome.record_at(offsets)
    borders = np.flatnonzero(np.diff(record)) + 1
    edges = [0, *borders.tolist(), len(record)] if len(record) else []
    for low, high in pairwise(edges):
        here = int(record[low])
        shift = int(genome.shifts[here])
        yield genome.chroms[here], slice(low, high), shift


class Bins:
    """Means of the values of single bases over bins that begin at multiples of their width.

    An incomplete bin waits for more bases, so the result does not depend on the pieces.
    """

    def __init__(self, width: int) -> None:
        """`width` in bases; 1 leaves the values as they are."""
        self.width = width
        self.held: TrackPiece | None = None

    def add(self, chrom: str, places: Integers, values: Numbers) -> Iterator[TrackPiece]:
        """The bins that are complete after more bases (n,) of a chromosome, ascending."""
        single = TrackPiece(chrom, places, places + 1, values)
        if self.width == 1:
            yield single
            return
        if self.held is not None and self.held.chrom != chrom:
            yield from self.rest()
        if self.held is not None:
            single = TrackPiece(
                chrom,
                *(np.concatenate(pair) for pair in zip(self.held[1:], single[1:], strict=True)),
            )
        if not len(single.starts):
            return
        waits = single.starts // self.width == single.starts[-1] // self.width
        self.held = TrackPiece(chrom, *(part[waits] for part in single[1:]))
        yield self._binned(TrackPiece(chrom, *(part[~waits] for part in single[1:])))

    def rest(self) -> Iterator[TrackPiece]:
        """The last, incomplete bin."""
        if self.held is not None:
            yield self._binned(self.held)
            self.held = None

    def _binned(self, piece: TrackPiece) -> TrackPiece:
        if not len(piece.starts):
            return piece
        # A gap in the request splits a bin: bases outside it must have no value.
        gaps = np.append(True, piece.starts[1:] != piece.ends[:-1])
        firsts = np.flatnonzero(gaps | (np.diff(piece.starts // self.width, prepend=-1) != 0))
        lasts = np.append(firsts[1:], len(piece.starts)) - 1
        means = means_of_known(piece.values, firsts)
        return TrackPiece(piece.chrom, piece.starts[firsts], piece.ends[lasts], means)


def means_of_known(values: Numbers, firsts: Integers) -> Floats:
    """Means (k,) of the values that are not NaN, over runs that begin at `firsts` (k,), each up to
    the next; NaN for a run without any.
    """
    known = ~np.isnan(values)
    sums = np.add.reduceat(np.where(known, values, 0.0).astype(np.float64), firsts)
    counts = np.add.reduceat(known.astype(np.int64), firsts)
    means: Floats = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return means


def flank_of(window: int, step: int) -> int:
    """Context on either side of the `step` bases that each window gives values for.

    Raises:
        BadInput: windows that leave bases out, or that cannot be centred on their step.
    """
    if not 1 <= step <= window:
        raise BadInput(
            f"a step of {step} does not fit a window of {window}",
            remedy="a step is at least 1 and at most the window, or bases are skipped",
        )
    if (window - step) % 2:
        raise BadInput(
            f"a step of {step} cannot be centred in a window of {window}",
            remedy="window - step must be even: change one of them by 1",
        )
    return (window - step) // 2
