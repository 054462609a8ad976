"""Regions as text: those people type, and region FASTAs, whose headers are regions.

A region FASTA (headers `>chr10:87000000-91000000`) holds pieces of a source genome. bedtools
writes such headers 0-based half-open, samtools 1-based closed; the record lengths show which,
since the two differ by one base.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from findna.files import BadInput, log, open_bytes
from findna.sequence.tables import need_column, open_table

Integers = npt.NDArray[np.int64]
RegionHeaders = Literal["auto", "off", "0-based", "1-based"]

_REGION = re.compile(r"(?P<chrom>\S+):(?P<start>[\d,]+)-(?P<end>[\d,]+)")
# `bedtools getfasta -name` writes the name of the interval before its coordinates, `-s` the strand
# after them; a reverse-complemented record is not a piece of its genome.
_HEADER = re.compile(rf"(?:\S*::)?{_REGION.pattern}(?:\(\+\))?")
_CUT = re.compile(rf"(?:\S*::)?{_REGION.pattern}(?:\((?P<strand>[+.-])\))?")
_LIKE_REGION = re.compile(r":[\d,]+-[\d,]+")
_TURNED = re.compile(rf"(?:\S*::)?{_REGION.pattern}\(-\)")
# No chromosome is nearly as long; larger coordinates would overflow further on.
_FARTHEST = 1 << 40


@dataclass(frozen=True, slots=True)
class Region:
    """An interval, 0-based half-open."""

    chrom: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Places:
    """Source coordinates of the R records of a FASTA.

    `mapped` is False for an ordinary FASTA, where each record is its own chromosome, from 0.
    """

    chroms: tuple[str, ...]
    starts: Integers
    mapped: bool


def parse_region(text: str) -> Region:
    """`chr7:1,001-2,000`, 1-based closed as samtools writes it, as a `Region`."""
    match = _REGION.fullmatch(text.strip())
    remedy = "write a region as chr7:1,001-2,000, 1-based, both ends included"
    if match is None:
        raise BadInput(f"{text!r} is not a region", remedy=remedy)
    region = _as_region(match)
    if region.start < 1:
        raise BadInput(f"the region {text!r} starts before the first base, 1", remedy=remedy)
    if region.end < region.start:
        raise BadInput(f"the region {text!r} ends before it starts", remedy=remedy)
    return Region(region.chrom, region.start - 1, region.end)


def refuse_far(
    end: int, *, file: str | Path | None = None, record: str | None = None, line: int | None = None
) -> None:
    """`BadInput` if an interval ends where no chromosome can."""
    if end > _FARTHEST:
        raise BadInput(
            f"no chromosome is as long as {end:,}",
            file=file,
            record=record,
            line=line,
            remedy="check the number; positions are in bases",
        )


def _as_region(match: re.Match[str]) -> Region:
    """The two numbers as written, 0-based or 1-based."""
    start, end = (int(match[key].replace(",", "") or -1) for key in ("start", "end"))
    return Region(match["chrom"], start, end)


def place_records(
    names: Sequence[str], lengths: Integers, regions: RegionHeaders | Path, source: str
) -> Places:
    """Map records to source coordinates by their headers, by a table, or not at all.

    "auto" trusts headers only if all parse and fit the lengths of their records in one of the two
    conventions; "0-based" and "1-based" require it, and a path is a table (see `_read_table`).
    Two records with the same coordinates are refused.
    """
    if isinstance(regions, Path):
        places = _from_table(regions, names, lengths)
    elif regions == "off":
        places = _plain(names)
    elif regions == "auto":
        places = _guess(names, lengths, source)
    else:
        places = _insist(names, lengths, 0 if regions == "0-based" else 1, source)
    if places.mapped:
        _refuse_twins(places, names, lengths, source)
    return places


def stranded_regions(
    names: Sequence[str], lengths: Sequence[int]
) -> list[tuple[Region, str]] | None:
    """Place and strand ("+", "-" or ".") of cut sequences by their names, as `bedtools getfasta`
    (also with -s) and `samtools faidx` write them. None unless all names fit the lengths one way.
    """
    matches = [match for match in map(_CUT.fullmatch, names) if match]
    if len(matches) < len(names):
        return None
    written = [_as_region(match) for match in matches]
    for base in (0, 1):
        if all(_fits(*pair, base) for pair in zip(written, lengths, strict=True)):
            placed = [Region(one.chrom, one.start - base, one.end) for one in written]
            return list(zip(placed, [match["strand"] or "." for match in matches], strict=True))
    return None


def _plain(names: Sequence[str]) -> Places:
    return Places(tuple(names), np.zeros(len(names), dtype=np.int64), mapped=False)


def _headers(names: Sequence[str]) -> list[Region]:
    """The headers read as regions; none if one of them is not."""
    matches = [match for match in map(_HEADER.fullmatch, names) if match]
    return list(map(_as_region, matches)) if len(matches) == len(names) else []


def _fits(region: Region, length: int, base: int) -> bool:
    return region.start >= base and region.end - region.start + base == length


def _mapped(
    regions: Sequence[Region], base: int, names: Sequence[str], source: str | Path
) -> Places:
    for region, name in zip(regions, names, strict=True):
        refuse_far(region.end, file=source, record=name)
    starts = np.array([region.start - base for region in regions], dtype=np.int64)
    return Places(tuple(region.chrom for region in regions), starts, mapped=True)


def _guess(names: Sequence[str], lengths: Integers, source: str) -> Places:
    headers = _headers(names)
    for base in (0, 1) if headers else ():
        if all(_fits(*pair, base) for pair in zip(headers, lengths.tolist(), strict=True)):
            how = "1-based closed" if base else "0-based half-open"
            log.info(
                "%s: the %d records are regions, named %s; coordinates are those of the source"
                " genome",
                source,
                len(names),
                how,
            )
            return _mapped(headers, base, names, source)
    turned = sum(map(bool, map(_TURNED.fullmatch, names)))
    if turned:
        log.warning(
            "%s: %d of %d records are on the minus strand and so not pieces of a genome; each"
            " record is read as a chromosome of its own (bedtools getfasta without -s would give"
            " them coordinates)",
            source, turned, len(names),
        )  # fmt: skip
    elif all(_LIKE_REGION.search(name) for name in names):
        log.warning(
            "%s: the names look like regions, but no convention makes end − start fit the"
            " lengths; each record is read as a chromosome of its own (a table of regions would"
            " give them coordinates)",
            source,
        )
    return _plain(names)


def _insist(names: Sequence[str], lengths: Integers, base: int, source: str) -> Places:
    regions = []
    for name, length in zip(names, lengths.tolist(), strict=True):
        match = _HEADER.fullmatch(name)
        if match is None:
            raise BadInput("the name is not chrom:start-end", file=source, record=name)
        regions.append(_as_region(match))
        if not _fits(regions[-1], length, base):
            counted = "1-based closed" if base else "0-based half-open"
            raise BadInput(
                f"the name, {counted}, does not fit the length of {length:,} bases",
                file=source,
                record=name,
                remedy="give a table of regions, or regions off",
            )
    return _mapped(regions, base, names, source)


def _from_table(path: Path, names: Sequence[str], lengths: Integers) -> Places:
    """Places from a table with columns chrom, start, end, and name unless in record order."""
    rows = _read_table(path)
    if rows and rows[0][1] is not None:
        rows = _in_order(rows, names, path)
    elif len(rows) != len(names):
        raise BadInput(
            f"has {len(rows):,} rows for {len(names):,} records",
            file=path,
            remedy="add a column name, or give one row per record, in the order of the FASTA",
        )
    for (line, _, region), name, length in zip(rows, names, lengths.tolist(), strict=True):
        if region.end - region.start != length:
            raise BadInput(
                f"end − start is {region.end - region.start:,}, but the record has {length:,} "
                "bases",
                file=path,
                record=name,
                line=line,
            )
    return _mapped([region for _, _, region in rows], 0, names, path)


_Row = tuple[int, str | None, Region]


def _in_order(rows: list[_Row], names: Sequence[str], path: Path) -> list[_Row]:
    """The row of each record; the number of other rows is logged."""
    by_name: dict[str | None, _Row] = {}
    for row in rows:
        line, name, _ = row
        if by_name.setdefault(name, row) is not row:
            raise BadInput(
                "this record has two rows", file=path, record=name, line=line, remedy="remove one"
            )
    missing = [name for name in names if name not in by_name]
    if missing:
        raise BadInput(f"has no row for record {missing[0]}", file=path)
    if len(rows) > len(names):
        log.info("%s: %d rows match no record", path, len(rows) - len(names))
    return [by_name[name] for name in names]


def _read_table(path: Path) -> list[_Row]:
    """(line, name or None, 0-based half-open region) of every row of a table."""
    with open_bytes(path) as stream, open_table(stream, path) as table:
        at = [need_column(table.columns, name, path) for name in ("chrom", "start", "end")]
        named = table.columns.index("name") if "name" in table.columns else None
        return [
            (line, None if named is None else cells[named], _region(cells, at, line, path))
            for line, cells in table.rows
        ]


def _region(cells: Sequence[str], at: Sequence[int], line: int, path: Path) -> Region:
    chrom, start, end = (cells[column].strip() for column in at)
    if not (start.isdecimal() and end.isdecimal()):
        raise BadInput(
            f"start and end must be whole numbers from 0 upwards, not {start!r} and {end!r}",
            file=path,
            record=chrom,
            line=line,
        )
    return Region(chrom, int(start), int(end))


def _refuse_twins(places: Places, names: Sequence[str], lengths: Integers, source: str) -> None:
    seen: dict[tuple[str, int, int], str] = {}
    for chrom, start, length, name in zip(
        places.chroms, places.starts.tolist(), lengths.tolist(), names, strict=True
    ):
        other = seen.setdefault((chrom, start, start + length), name)
        if other is not name:
            raise BadInput(
                f"two records, {other} and {name}, have the same coordinates",
                file=source,
                record=name,
                remedy="remove one of them",
            )
