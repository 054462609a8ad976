"""The folder of a mutagenesis: a table of all bases, arrays for TF-MoDISco, a track.

The table is written while records stream by, one row group per record, and everything else is made
from it: memory holds one record (for the track, those that overlap).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from findna.files import command_line, log, write_json
from findna.inference.attribution.effects import Attribution, centred, substituted
from findna.inference.windowed import track_sizes
from findna.sequence.alphabet import BASES, Codes, decode, encode
from findna.sequence.genome import Genome
from findna.sequence.tracks import TrackPiece, write_track

EFFECTS, FACTS, AGREEMENT_TABLE = "effects.parquet", "mutagenesis.json", "agreement.tsv"
ONE_HOT, WORTH, GRADIENT = "ohe.npz", "attr.npz", "gradient.npz"
LETTERS = "ACGT"

Floats = NDArray[np.float32]

_SCHEMA = pa.schema(
    [
        ("record", pa.int64()),
        ("id", pa.string()),
        ("offset", pa.int64()),
        ("chrom", pa.string()),
        ("pos", pa.int64()),
        ("strand", pa.string()),
        ("ref", pa.string()),
        *((letter, pa.float32()) for letter in LETTERS),
        *((f"contribution_{letter}", pa.float32()) for letter in LETTERS),
    ]
)


# ---------------------------------------------------------------- the table


def base_table(one: Attribution, number: int) -> pd.DataFrame:
    """One row per base: record, id, offset (0-based, as read), chrom, pos (1-based), strand, ref,
    effects A C G T and contributions.

    Bases are those of the reading direction; `pos` decreases if the strand is "-".
    """
    record, length = one.record, len(one.codes)
    offset = np.arange(length)
    columns: dict[str, Any] = {"record": number, "id": record.id, "offset": offset}
    columns |= {"chrom": record.chrom, "pos": None, "strand": record.strand}
    if record.start is not None and record.end is not None:
        backward = record.strand == "-"
        columns["pos"] = record.end - offset if backward else record.start + offset + 1
    columns["ref"] = list(decode(one.codes))
    for at, letter in enumerate(LETTERS):
        columns[letter] = one.effects[:, at].astype(np.float32)
    for at, letter in enumerate(LETTERS):
        columns[f"contribution_{letter}"] = one.contributions[:, at].astype(np.float32)
    return pd.DataFrame(columns, index=range(length))


def no_bases() -> pd.DataFrame:
    """The columns of `base_table` without a row."""
    return pd.DataFrame(_SCHEMA.empty_table().to_pandas())


def write_effects(
    folder: Path, answers: Iterable[Attribution]
) -> list[tuple[str, int, float, float]]:
    """Write `effects.parquet`; id, length and agreement of strands and models of every record."""
    rows = []
    with pq.ParquetWriter(folder / EFFECTS, _SCHEMA) as writer:
        for number, one in enumerate(answers, 1):
            table = pa.Table.from_pandas(base_table(one, number), _SCHEMA, preserve_index=False)
            writer.write_table(table.replace_schema_metadata(), row_group_size=len(one.codes))
            rows.append((one.record.id, len(one.codes), one.strands, one.models))
    return rows


@dataclass(frozen=True, slots=True)
class BaseRows:
    """The rows of one record as arrays: codes (L,), effects and contributions (L, 4)."""

    codes: Codes
    effects: Floats
    contributions: Floats


def read_bases(folder: Path) -> Iterator[BaseRows]:
    """The records of `effects.parquet`, one after another."""
    with pq.ParquetFile(folder / EFFECTS) as file:
        for group in range(file.num_row_groups):
            yield _read_group(file, group)


def _read_group(file: pq.ParquetFile, group: int) -> BaseRows:
    table = file.read_row_group(group).to_pandas()
    effects = table[list(LETTERS)].to_numpy(np.float32)
    contributions = table[[f"contribution_{letter}" for letter in LETTERS]].to_numpy(np.float32)
    return BaseRows(encode("".join(table["ref"])), effects, contributions)


# ---------------------------------------------------------------- arrays


def write_arrays(folder: Path, lengths: Sequence[int], gradient: bool) -> None:
    """Write `ohe.npz` and `attr.npz`, arrays `arr_0` (n, 4, longest) float32 of A C G T.

    `attr.npz` holds effects centred over the four bases, the hypothetical contributions of
    mutagenesis; with `gradient` those of gradient × input go to `gradient.npz`. Values at N and
    after records shorter than the longest are 0, the latter with a warning.
    """
    longest = max(lengths, default=0)
    short = sum(length < longest for length in lengths)
    if short:
        log.warning(
            "%d of %d records are shorter than %s bp: they are padded with zeros in the .npz files",
            short,
            len(lengths),
            f"{longest:,}",
        )
    shape = (len(lengths), BASES, longest)
    one_hot = ((rows.codes[:, None] == np.arange(BASES)).T for rows in read_bases(folder))
    _write_stack(folder / ONE_HOT, shape, one_hot)
    _write_stack(
        folder / WORTH, shape, (centred(r.effects.astype(float)).T for r in read_bases(folder))
    )
    if gradient:
        slopes = (rows.contributions.T for rows in read_bases(folder))
        _write_stack(folder / GRADIENT, shape, slopes)


def _write_stack(
    path: Path, shape: tuple[int, int, int], rows: Iterable[NDArray[np.generic]]
) -> None:
    """An `.npz` of one array, from its rows (4, l) with l up to the last of `shape`."""
    member = ZipInfo("arr_0.npy")  # dated 1980, so that the same numbers give the same bytes
    member.compress_type = ZIP_DEFLATED
    with ZipFile(path, "w") as archive, archive.open(member, "w", force_zip64=True) as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for row in rows:
            padded = np.zeros(shape[1:], "<f4")
            padded[:, : row.shape[1]] = np.nan_to_num(row.astype(np.float32))
            file.write(padded.tobytes())


# ---------------------------------------------------------------- the track


@dataclass(frozen=True, slots=True)
class _Place:
    rank: int
    start: int
    end: int
    chrom: str
    backward: bool
    group: int


def write_effect_track(folder: Path, genome: Genome | None) -> None:
    """Write `effects.bw`: mean absolute effect of the three substitutions of each base.

    Where records overlap it is their mean. Without a genome, or with a record without coordinates,
    there is no track; without figwig it is `effects.bedgraph.gz`.
    """
    with pq.ParquetFile(folder / EFFECTS) as file:
        sizes = {} if genome is None else track_sizes(genome)
        places = [] if genome is None else _places(file, genome, list(sizes))
        if not places:
            return
        name = "effects.bw" if find_spec("figwig") else "effects.bedgraph.gz"
        pieces = (_piece(file, together) for together in _overlapping(places))
        write_track(folder / name, sizes, pieces)


def _places(file: pq.ParquetFile, genome: Genome, chroms: list[str]) -> list[_Place]:
    """Coordinates of all records in the order of the genome; none if one of them has none."""
    ranks = {chrom: rank for rank, chrom in enumerate(chroms)}
    places = []
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group, ["chrom", "pos", "strand"])
        named, pos = rows["chrom"][0].as_py(), rows["pos"]
        if named is None:
            return []
        chrom = genome.resolve(named)
        ends = sorted((pos[0].as_py(), pos[-1].as_py()))
        backward = rows["strand"][0].as_py() == "-"
        places.append(_Place(ranks[chrom], ends[0] - 1, ends[1], chrom, backward, group))
    return sorted(places, key=lambda place: (place.rank, place.start, place.end))


def _overlapping(places: Sequence[_Place]) -> Iterator[list[_Place]]:
    """Clusters of overlapping records, from sorted ones."""
    run: list[_Place] = []
    reach = 0
    for place in places:
        if run and (place.rank != run[0].rank or place.start >= reach):
            yield run
            run, reach = [], 0
        run.append(place)
        reach = max(reach, place.end)
    yield run


def _piece(file: pq.ParquetFile, together: Sequence[_Place]) -> TrackPiece:
    start, end = together[0].start, max(place.end for place in together)
    total, count = np.zeros(end - start), np.zeros(end - start)
    for place in together:
        rows = _read_group(file, place.group)
        values = mean_effects(rows.effects, rows.codes)
        values = values[::-1] if place.backward else values
        here = slice(place.start - start, place.end - start)
        known = ~np.isnan(values)
        total[here][known] += values[known]
        count[here][known] += 1
    at = np.flatnonzero(count)
    return TrackPiece(together[0].chrom, at + start, at + start + 1, total[at] / count[at])


def mean_effects(effects: NDArray[np.floating[Any]], codes: Codes) -> NDArray[np.float64]:
    """Mean absolute effect (L,) of the three substitutions of each base; NaN at N."""
    asked = np.where(substituted(codes), np.abs(effects), 0.0)
    return np.where(codes < BASES, asked.sum(1) / (BASES - 1), np.nan)


# ---------------------------------------------------------------- what was done


def write_facts(folder: Path, table: pd.DataFrame, facts: dict[str, Any]) -> None:
    """Write `agreement.tsv` and `mutagenesis.json`, with the command that made the folder."""
    table.to_csv(folder / AGREEMENT_TABLE, sep="\t", index=False, float_format="%.6g", na_rep="NA")
    write_json(folder / FACTS, {**facts, "command": command_line()})
