"""Tables whose rows are intervals of a genome, with columns of chromosome, start and end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from findna.files import BadInput
from findna.sequence.intervals import LINE
from findna.sequence.regions import refuse_far
from findna.sequence.tables import first_named

_CHROM_NAMES = ("chrom", "chr", "chromosome", "region")


def place_columns(columns: Sequence[str]) -> tuple[str, str, str] | None:
    """The columns of chromosome, start and end, or None if one is missing."""
    chrom = first_named(columns, _CHROM_NAMES)
    start, end = first_named(columns, ("start",)), first_named(columns, ("end",))
    return (chrom, start, end) if chrom and start and end else None


def strand_words(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    ids: Sequence[str],
    lines: Sequence[int],
    source: str | Path,
) -> list[str]:
    """The strand of each row, +, - or "." where it is unknown."""
    column = first_named(columns, ("strand",))
    words = ["."] * len(cells) if column is None else _words(columns, cells, column)
    for word, name, line in zip(words, ids, lines, strict=True):
        if word not in ("+", "-", ".", ""):
            raise BadInput(
                f"column {column} holds {word!r}",
                file=source,
                record=name,
                line=line,
                remedy="write +, - or .",
            )
    return [word or "." for word in words]


def bed_of_places(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    ids: Sequence[str],
    lines: Sequence[int],
    source: str | Path,
) -> pd.DataFrame:
    """The intervals of rows, chrom, start, end (0-based half-open) and strand, as a data frame like
    that of `read_bed`, named by `ids`.

    Raises:
        BadInput: a row that is not an interval; ValueError if there are no such columns.
    """
    named = place_columns(columns)
    if named is None:
        raise ValueError("no coordinate columns")
    chrom, start, end = (_words(columns, cells, column) for column in named)
    for at, (name, first, last) in enumerate(zip(chrom, start, end, strict=True)):
        where: Any = {"file": source, "record": ids[at], "line": lines[at]}
        if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
            raise BadInput(
                f"{name}:{first}-{last} is not an interval",
                remedy="give a start and an end, 0-based half-open, in every row",
                **where,
            )
        refuse_far(int(last), **where)
    return pd.DataFrame(
        {
            "chrom": chrom,
            "start": list(map(int, start)),
            "end": list(map(int, end)),
            "name": list(ids),
            "strand": strand_words(columns, cells, ids, lines, source),
            LINE: list(lines),
        }
    )


def _words(columns: Sequence[str], cells: Sequence[Sequence[str]], column: str) -> list[str]:
    at = list(columns).index(column)
    return [row[at].strip() for row in cells]
