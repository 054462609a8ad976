"""From windows of a genome to tracks: one prediction per window, one value per base.

Windows are cut from a genome or from the regions of a BED, or are the sorted rows of a BED.
Overlapping neighbours are divided in the middle of their overlap, as in `tiles`. This requires that
no window lies inside another; a BED with nested or repeated rows is refused before anything is
computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from findna.files import BadInput, log, open_bytes, printable
from findna.sequence.alphabet import N
from findna.sequence.genome import Genome
from findna.sequence.inputs import Inputs
from findna.sequence.intervals import (
    LINE,
    bed_from,
    is_region,
    merge,
    refuse_unknown,
    regions_bed,
)
from findna.sequence.records import Record, bed_records, format_of, refuse_without_sequences
from findna.sequence.regions import Integers

Tiling = int | tuple[int, int]
# Chromosome, starts and ends (n,) of n windows or of the bases they give values for, values (n, K).
Piece = tuple[str, Integers, Integers, NDArray[np.float64]]

_TABLE = "write a table (.tsv), or give the regions to --tile, which cuts them into windows"


def track_sizes(genome: Genome) -> dict[str, int]:
    """Bases of every chromosome in file order; in a region FASTA, up to the end of its last
    region.
    """
    sizes: dict[str, int] = {}
    for chrom, end in zip(genome.chroms, genome.ends.tolist(), strict=True):
        sizes[chrom] = max(end, sizes.get(chrom, 0))
    return sizes


def cut_from(
    inputs: Inputs, genome: Genome | None, tile: Tiling
) -> tuple[Genome, Iterator[Record]]:
    """The genome and its windows: `inputs` is the genome, or a BED of regions in `genome`.

    Raises:
        BadInput: as `tiled`; records instead of a file, a FASTA beside a genome.
    """
    if not isinstance(inputs, str | Path):
        raise BadInput(
            "only a file can be cut into windows", remedy="give a FASTA, or a BED and -g"
        )
    if genome is None:
        genome = Genome.open(inputs)
        return genome, tiled(genome, tile)
    return genome, tiled(genome, tile, inputs)


def placed_in(
    inputs: Inputs, genome: Genome | None, window: int
) -> tuple[Genome, Iterator[Record]]:
    """The genome and the rows of a BED in track order.

    Raises:
        BadInput: as `sorted_rows`; no genome, or records instead of a file. The remedy names
            `window`.
    """
    if not isinstance(inputs, str | Path) or genome is None:
        raise BadInput(
            "a track needs positions in a genome, and these sequences have none",
            file=inputs if isinstance(inputs, str | Path) else None,
            remedy=f"give a BED and its genome with -g, or a genome and --tile {window}; a table"
            " (.tsv) needs no positions",
        )
    return genome, sorted_rows(genome, inputs)


def tiled(genome: Genome, tile: Tiling, bed: str | Path | None = None) -> Iterator[Record]:
    """Windows of a genome, or of the regions of a BED, each region cut separately.

    Args:
        genome: the genome to cut.
        tile: window size and step in bases; a single number is both. The last window of a region
            ends at its end; a region shorter than a window is one window.
        bed: a file of regions, or one region such as chr7:1,001-2,000; overlapping and touching
            ones are merged, and strand is ignored. Windows without any base in the genome are
            dropped with a warning.

    Raises:
        BadInput: sizes below 1, and all that is wrong with a BED.
    """
    window, step = (tile, tile) if isinstance(tile, int | np.integer) else tile
    if window < 1 or step < 1:
        raise BadInput(
            f"cannot cut windows of {window} bases every {step}", remedy="both must be at least 1"
        )
    return _inside(_cut(genome, _regions(genome, bed), window, step), genome, bed)


def _cut(
    genome: Genome, regions: Mapping[str, Integers], window: int, step: int
) -> Iterator[tuple[Record, NDArray[np.bool_]]]:
    """Windows, and which of their bases are in the genome."""
    for chrom, spans in regions.items():
        for first, last in spans.tolist():
            for at in range(1 + -(-max(0, last - first - window) // step)):
                start = max(first, min(first + at * step, last - window))
                end = min(start + window, last)
                codes, _, inside = genome.fetch(chrom, start, end)
                yield Record(f"{chrom}:{start}-{end}", codes, chrom, start, end, "+"), inside


def _inside(
    windows: Iterable[tuple[Record, NDArray[np.bool_]]], genome: Genome, bed: str | Path | None
) -> Iterator[Record]:
    """The windows with a base in the genome; the others are counted in a warning."""
    there = outside = partly = 0
    for record, inside in windows:
        if not inside.any():
            outside += 1
            continue
        there += 1
        partly += not inside.all()
        yield record
    if not (outside or partly):
        return
    source = genome.source if bed is None else printable(bed)
    if not there:
        raise BadInput(f"no part of it is in {genome.source}", file=bed)
    if outside:
        log.warning("%s: %s windows lie outside the regions of %s and are left out",
                    source, f"{outside:,}", genome.source)  # fmt: skip
    if partly:
        log.warning("%s: %s windows lie partly outside the regions of %s, where N is read",
                    source, f"{partly:,}", genome.source)  # fmt: skip


def _regions(genome: Genome, bed: str | Path | None) -> dict[str, Integers]:
    """Spans (K, 2) by chromosome, in track order, of a BED or of the whole genome."""
    if bed is None:
        spans = np.stack([genome.starts, genome.ends], axis=1)
        chroms = pd.Series(genome.chroms)
    else:
        rows = _resolved(bed, genome)
        spans, chroms = rows[["start", "end"]].to_numpy(), rows["chrom"]
    parts = chroms.groupby(chroms, sort=False).indices
    order = [chrom for chrom in track_sizes(genome) if chrom in parts]
    return {chrom: merge(spans[parts[chrom]], touching=True) for chrom in order}


def sorted_rows(genome: Genome, bed: str | Path) -> Iterator[Record]:
    """The rows of a BED, sorted in track order.

    Raises:
        BadInput: a repeated or nested row, before the first record; a row without any base in the
            genome, when it is reached.
    """
    rows = _resolved(bed, genome)
    rank = {chrom: number for number, chrom in enumerate(track_sizes(genome))}
    rows = rows.assign(rank=rows["chrom"].map(rank)).sort_values(
        ["rank", "start", "end", LINE], ignore_index=True
    )
    _refuse_nested(rows, bed)
    return bed_records(rows, genome, bed)


def _resolved(bed: str | Path, genome: Genome) -> pd.DataFrame:
    """The rows of a BED, or a region, with the genome's own chromosome names.

    A file is opened only once: standard input and pipes cannot be read again.
    """
    if is_region(bed):
        rows = regions_bed([str(bed)])
    else:
        with open_bytes(bed) as stream:
            kind = format_of(stream, bed)
            refuse_without_sequences(kind, bed)
            if kind == "fasta":
                raise BadInput(
                    "is a FASTA, whose sequences have no position in another genome",
                    file=bed,
                    remedy="give a BED of regions; or leave out -g, to cut the FASTA itself",
                )
            rows = bed_from(stream, bed)
    names = refuse_unknown(genome, rows, bed)
    return rows.assign(chrom=rows["chrom"].map(names))


def _refuse_nested(rows: pd.DataFrame, bed: str | Path) -> None:
    """Refuse sorted rows in which one starts or ends no later than the one before."""
    same = rows["chrom"].to_numpy()[1:] == rows["chrom"].to_numpy()[:-1]
    still = (np.diff(rows["start"]) <= 0) | (np.diff(rows["end"]) <= 0)
    for at in np.flatnonzero(same & still)[:1]:
        one, other = rows.iloc[at], rows.iloc[at + 1]
        twice = one["start"] == other["start"] and one["end"] == other["end"]
        inside = f"and {one['start']}-{one['end']} of line {one[LINE]} lie one inside the other"
        raise BadInput(
            f"{other['chrom']}:{other['start']}-{other['end']} "
            + (f"is also in line {one[LINE]}" if twice else inside)
            + ": a track has one value per base",
            file=bed,
            line=int(other[LINE]),
            remedy=_TABLE,
        )


# ---------------------------------------------------------------- one value a base


def pieces(
    answered: Iterable[tuple[list[Record], NDArray[np.float64]]], sizes: Mapping[str, int]
) -> Iterator[Piece]:
    """Chromosome, starts, ends (n,) and values (n, K) of the bases that each window gives values
    for.

    `answered` has windows in track order with values (n, K). A window of nothing but N is NaN. One
    that extends past `sizes`, the end of a chromosome or of its last region, is clipped.
    """
    held: Piece | None = None
    silent = 0
    for records, values in answered:
        unknown = np.array([bool((record.codes == N).all()) for record in records])
        silent += int(unknown.sum())
        values = np.where(unknown[:, None], np.nan, values)
        for piece in _by_chrom(records, values):
            if held is not None and held[0] != piece[0]:
                yield _within(held, sizes)
                held = None
            done, held = _parted(held, piece)
            yield _within(done, sizes)
    if held is not None:
        yield _within(held, sizes)
    if silent:
        log.warning("%s windows hold nothing but N and get no value", f"{silent:,}")


def _within(piece: Piece, sizes: Mapping[str, int]) -> Piece:
    chrom, starts, ends, values = piece
    ends = np.minimum(ends, sizes[chrom])
    there = starts < ends
    return chrom, starts[there], ends[there], values[there]


def _by_chrom(records: list[Record], values: NDArray[np.float64]) -> Iterator[Piece]:
    chroms = np.array([record.chrom for record in records])
    starts, ends = (np.array([getattr(r, k) for r in records], np.int64) for k in ("start", "end"))
    borders = np.flatnonzero(chroms[1:] != chroms[:-1]) + 1
    for rows in np.split(np.arange(len(records)), borders):
        yield str(chroms[rows[0]]), starts[rows], ends[rows], values[rows]


def _parted(held: Piece | None, piece: Piece) -> tuple[Piece, Piece]:
    """Windows of one chromosome with overlaps divided: all but the last, and the last.

    The last one is held until its right neighbour is known; `held` is the previous one.
    """
    chrom, starts, ends, values = piece
    if held is not None:
        starts, ends = np.append(held[1], starts), np.append(held[2], ends)
        values = np.concatenate([held[3], values])
    middles = np.minimum(ends[:-1], (starts[1:] + ends[:-1]) // 2)
    starts = np.append(starts[:1], np.maximum(starts[1:], middles))
    ends = np.append(middles, ends[-1:])
    done = (chrom, starts[:-1], ends[:-1], values[:-1])
    return done, (chrom, starts[-1:], ends[-1:], values[-1:])
