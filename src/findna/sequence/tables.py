"""Tables: CSV, TSV and parquet, read as strings, row by row, with line numbers.

Separator, byte-order mark and encoding are detected; cells stay strings for the caller to
interpret, so that "007" does not become 7, nor an empty cell NaN.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from findna.files import BadInput, log, open_bytes

PARQUET_MAGIC = b"PAR1"
# What programs write into an empty cell.
MISSING = frozenset(("", "NA", "N/A", "NaN", "nan", "<NA>", "NULL", "null"))
_SEQUENCE_COLUMNS = ("sequence", "seq", "dna", "dna_sequence", "rna", "sequences", "read")
_ID_COLUMNS = ("id", "name", "seq_id", "sequence_id", "record", "identifier", "seqname")
_SEPARATORS = "\t;,"
_LOOKS_LIKE_DNA = re.compile(r"[ACGTUN]{10,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and an iterator of (line, cells); for parquet the line is the row number, from 1."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]


def read_table(path: str | Path) -> pd.DataFrame:
    """A whole CSV, TSV or parquet file ("-": standard input), every cell a str.

    `BadInput` for a spreadsheet, a file without header, a row of another width.
    """
    with open_bytes(path) as stream, open_table(stream, path) as table:
        cells = [row for _, row in table.rows]
        return pd.DataFrame(cells, columns=list(table.columns), dtype="str")


def names_sequences(header: str) -> bool:
    """Whether a header line has a column with one of the usual names for sequences."""
    cells = re.split(r"[\t;,]", header.lstrip("#").lower())
    return any(cell.strip().strip('"') in _SEQUENCE_COLUMNS for cell in cells)


@contextmanager
def open_table(stream: io.BufferedReader, source: str | Path) -> Iterator[Table]:
    """A table over an open stream, to be read row by row."""
    if stream.peek(4).startswith(PARQUET_MAGIC):
        yield _parquet(stream, source)
        return
    start = stream.peek(4)
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = io.TextIOWrapper(stream, encoding="utf-16" if wide else "utf-8-sig", newline="")
    try:
        yield _separated(text, source)
    except UnicodeDecodeError:
        raise BadInput(
            "is not UTF-8 text", file=source, remedy="save it as CSV UTF-8 (or: iconv -t utf-8)"
        ) from None
    finally:
        text.detach()


def _separated(text: io.TextIOWrapper, source: str | Path) -> Table:
    header, before, lines = _header(text)
    if not header.strip():
        raise BadInput(
            "is empty, or its first line is",
            file=source,
            line=1,
            remedy="begin with a line of column names, such as sequence,label",
        )
    separator = max(_SEPARATORS, key=header.count)
    columns = next(csv.reader([header], delimiter=separator))
    columns = [name.strip() for name in columns]
    columns[0] = columns[0].lstrip("#").lstrip()
    _refuse_header(columns, source, before + 1)
    rows = _separated_rows(lines, separator, len(columns), source, before + 1)
    return Table(tuple(columns), rows)


def _header(text: io.TextIOWrapper) -> tuple[str, int, Iterator[str]]:
    """The header, the number of comment lines before it, and the lines after it. A comment begins
    with # and does not have as many separators as the next line.
    """
    header, before = text.readline(), 0
    while header.startswith("#") and not names_sequences(header):
        behind = text.readline()
        cut = max(_SEPARATORS, key=header.count)
        marks = cut if cut in header else _SEPARATORS
        alike = all(header.count(mark) == behind.count(mark) for mark in marks)
        if not behind or (alike and not names_sequences(behind)):
            return header, before, chain([behind], text)
        header, before = behind, before + 1
    return header, before, text


def _refuse_header(columns: Sequence[str], source: str | Path, line: int) -> None:
    if any(_LOOKS_LIKE_DNA.fullmatch(name) for name in columns):
        raise BadInput(
            "the first line already holds a sequence: there is no header",
            file=source,
            line=line,
            remedy="insert a line of column names first, such as sequence,label",
        )
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise BadInput(
            f"two columns are named {twice[0]!r}", file=source, line=line, remedy="rename one"
        )


def _separated_rows(
    lines: Iterator[str], separator: str, width: int, source: str | Path, before: int
) -> Iterator[tuple[int, list[str]]]:
    """Rows after `before` lines of comments and header."""
    # The default limit of the csv module, 131,072 characters, is too short for sequences.
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for cells in reader:
            line = reader.line_num + before
            if len(cells) == width:
                yield line, cells
            elif any(cell.strip() for cell in cells):
                raise BadInput(
                    f"has {len(cells)} cells where the header has {width}",
                    file=source,
                    line=line,
                    remedy="put a cell that contains the separator in double quotes",
                )
    except csv.Error as error:
        raise BadInput(
            str(error),
            file=source,
            line=reader.line_num + before,
            remedy="look for a double quote that is not closed",
        ) from None


def _parquet(stream: io.BufferedReader, source: str | Path) -> Table:
    # The index of a parquet file is at its end: a stream that cannot seek is read whole.
    seekable = stream if _can_seek(stream) else pa.BufferReader(stream.read())
    try:
        file = pq.ParquetFile(seekable)
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken_parquet(error, source) from None
    return Table(tuple(map(str, file.schema_arrow.names)), _parquet_rows(file, source))


def _broken_parquet(error: Exception, source: str | Path) -> BadInput:
    return BadInput(
        f"is not a complete parquet file: {error}", file=source, remedy="write or copy it again"
    )


def _can_seek(stream: io.BufferedReader) -> bool:
    return isinstance(stream.raw, io.FileIO) and stream.seekable()


def _parquet_rows(file: pq.ParquetFile, source: str | Path) -> Iterator[tuple[int, list[str]]]:
    row = 0
    try:
        for batch in file.iter_batches(batch_size=1024):
            columns = [batch.column(i).to_pylist() for i in range(batch.num_columns)]
            for cells in zip(*columns, strict=True):
                row += 1
                yield row, [_word(cell, source, row) for cell in cells]
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken_parquet(error, source) from None


def _word(cell: object, source: str | Path, row: int) -> str:
    """A cell as text; some writers do not declare that bytes are text."""
    try:
        return "" if cell is None else cell.decode() if isinstance(cell, bytes) else str(cell)
    except UnicodeDecodeError:
        problem = "holds bytes that are not UTF-8 text"
        raise BadInput(problem, file=source, record=str(row), remedy="write text") from None


# Columns --------------------------------------------------------------------------------------


def need_column(columns: Sequence[str], name: str, source: str | Path) -> int:
    """Index of the column `name`; `BadInput` lists the columns if there is none."""
    if name in columns:
        return list(columns).index(name)
    close = difflib.get_close_matches(name, columns, n=1)
    raise BadInput(
        f"has no column {name!r}; it has {', '.join(columns)}",
        file=source,
        remedy=f"did you mean {close[0]}?" if close else "name one of these",
    )


def find_sequence_column(columns: Sequence[str], wanted: str | None, source: str | Path) -> int:
    """Index of the sequence column: `wanted`, or the one with a usual name, which is logged."""
    if wanted is not None:
        return need_column(columns, wanted, source)
    index = usual_sequence_column(columns)
    if index is None:
        raise BadInput(
            f"which column holds the sequences? There are {', '.join(columns)}",
            file=source,
            remedy="name it with --sequence-column; coordinates need the FASTA of their genome"
            " (-g)",
        )
    log.info("%s: sequences are read from column %s", source, columns[index])
    return index


def usual_sequence_column(columns: Sequence[str]) -> int | None:
    """Index of the column with a usual name for sequences, or None."""
    return _usual(columns, _SEQUENCE_COLUMNS)


def first_named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The column whose name, in lower case, comes first in `names`."""
    lower = {c.lower(): c for c in columns}
    return next((lower[name] for name in names if name in lower), None)


def find_id_column(columns: Sequence[str], wanted: str | None, source: str | Path) -> int | None:
    """Index of the id column: `wanted`, or one with a usual name, or None."""
    if wanted is not None:
        return need_column(columns, wanted, source)
    return _usual(columns, _ID_COLUMNS)


def _usual(columns: Sequence[str], names: Sequence[str]) -> int | None:
    lower = [column.lower() for column in columns]
    return next((lower.index(name) for name in names if name in lower), None)
