"""Files of predictions: tables (TSV, CSV, parquet) and tracks, written whole or not at all."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol, TypeVar, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from findna.files import STDIN, BadInput, atomic_file, refuse_existing
from findna.inference.answers import with_whole_values
from findna.inference.windowed import Piece
from findna.sequence.tracks import TrackPiece, track_format, track_writer

_ENDINGS = (".tsv", ".csv", ".parquet")

_Held = TypeVar("_Held")
_Quoting = Literal[0, 3]  # minimal, none


class _Sink(Protocol):
    def write(self, table: pd.DataFrame) -> None: ...


class _Text:
    """Rows as text with one header line, or none; floats with six significant digits, regression
    values with all digits, missing values as NA.
    """

    def __init__(
        self,
        stream: IO[str],
        separator: str,
        quoting: _Quoting = csv.QUOTE_MINIMAL,
        header: bool = True,
    ) -> None:
        self.stream, self.separator, self.quoting, self.first = stream, separator, quoting, header

    def write(self, table: pd.DataFrame) -> None:
        with_whole_values(table).to_csv(
            self.stream,
            sep=self.separator,
            index=False,
            header=self.first,
            float_format="%.6g",
            na_rep="NA",
            lineterminator="\n",
            quoting=self.quoting,
        )
        self.first = False


class _Parquet:
    """One row group per chunk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: pq.ParquetWriter | None = None

    def write(self, table: pd.DataFrame) -> None:
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, _schema_of(table))
        rows = pa.Table.from_pandas(table, self.writer.schema, preserve_index=False)
        self.writer.write_table(rows)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _schema_of(table: pd.DataFrame) -> pa.Schema:
    """The types of a table; a column that is empty so far is text, as values may still come."""
    fields = pa.Schema.from_pandas(table, preserve_index=False)
    typed = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in fields]
    return pa.schema(typed, metadata=fields.metadata)


def held(value: _Held | None, what: str) -> _Held:
    """The content of a result; `ValueError` if it was written to an output instead."""
    if value is None:
        raise ValueError(f"{what} went to the given output; give no output to get them here")
    return value


def refuse_table(output: str | Path, overwrite: bool) -> None:
    """Refuse what `write_tables` would refuse, before any work."""
    if str(output) != STDIN:
        _ending(Path(output))
        refuse_existing(output, overwrite)


def write_tables(tables: Iterator[pd.DataFrame], output: str | Path, overwrite: bool) -> int:
    """Write tables of the same columns one after another; the number of rows.

    `output` ends in `.tsv`, `.csv` (either may end in `.gz`) or `.parquet`; "-" is a TSV on
    standard output. Raises `BadInput` for another ending or an output that exists.
    """
    if str(output) == STDIN:
        return _pour(tables, _Text(sys.stdout, "\t"))
    ending = _ending(Path(output))
    with atomic_file(output, overwrite) as made, _sink(made, ending, Path(output)) as sink:
        return _pour(tables, sink)


def write_bed(
    tables: Iterator[pd.DataFrame], output: str | Path, overwrite: bool, *, header: bool = True
) -> int:
    """Write tables as `write_tables` does, as a BED: without quotes, which its readers do not
    understand, and with a blank for a tab or a line break in a cell.
    """
    bare = (table.replace(r"[\t\r\n]", " ", regex=True) for table in tables)
    if str(output) == STDIN:
        return _pour(bare, _Text(sys.stdout, "\t", csv.QUOTE_NONE, header))
    with (
        atomic_file(output, overwrite) as made,
        made.open("w", encoding="utf-8", newline="") as text,
    ):
        return _pour(bare, _Text(text, "\t", csv.QUOTE_NONE, header))


def _pour(tables: Iterator[pd.DataFrame], sink: _Sink) -> int:
    rows = 0
    for table in tables:
        sink.write(table)
        rows += len(table)
    return rows


def _ending(output: Path) -> str:
    ending = Path(output.name.lower().removesuffix(".gz")).suffix
    if ending not in _ENDINGS or (ending == ".parquet" and output.suffix == ".gz"):
        raise BadInput(
            "the file name does not say which format to write",
            file=output,
            remedy="end it in .tsv, .csv, .tsv.gz, .csv.gz or .parquet, a track in .bw or"
            " .bedgraph",
        )
    return ending


@contextmanager
def _sink(made: Path, ending: str, output: Path) -> Iterator[_Sink]:
    if ending == ".parquet":
        sink = _Parquet(made)
        try:
            yield sink
        finally:
            sink.close()
        return
    with ExitStack() as stack:
        binary: IO[bytes] = stack.enter_context(open(made, "wb"))
        if output.name.lower().endswith(".gz"):
            # Without the temporary name and the time, which gzip would store.
            packed = gzip.GzipFile("", "wb", fileobj=binary, mtime=0)
            binary = cast(IO[bytes], stack.enter_context(packed))
        text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
        yield _Text(stack.enter_context(text), "," if ending == ".csv" else "\t")


# ---------------------------------------------------------------- tracks


def is_track(output: str | Path) -> bool:
    """Whether a name has the ending of a track."""
    try:
        track_format(output)
    except BadInput:
        return False
    return True


def track_files(output: Path, names: Sequence[str]) -> list[Path]:
    """`output` for a single name, else one file per name: `out.bw` becomes `out.NAME.bw`.

    Characters not allowed in a file name become `_`. `BadInput` if two names are then the same.
    """
    if len(names) == 1:
        return [output]
    ending = "".join(
        output.suffixes[-2:] if output.suffix.lower() == ".gz" else output.suffixes[-1:]
    )
    stem = output.name.removesuffix(ending)
    plain = [re.sub(r"[^\w.+-]", "_", name) for name in names]
    if len(set(plain)) < len(plain):
        raise BadInput(
            f"class names {', '.join(names)} do not give different file names",
            file=output,
            remedy="write a table (.tsv) instead",
        )
    return [output.with_name(f"{stem}.{name}{ending}") for name in plain]


def write_tracks(
    pieces: Iterable[Piece], outputs: Sequence[Path], sizes: Mapping[str, int], overwrite: bool
) -> int:
    """Write column k of the values of all pieces to `outputs[k]`; the number of intervals.

    Raises:
        BadInput: as `sequence.tracks.write_track`, before the first piece is asked for.
    """
    count = 0
    with ExitStack() as stack:
        writers = [
            stack.enter_context(track_writer(path, sizes, overwrite=overwrite)) for path in outputs
        ]
        for chrom, starts, ends, values in pieces:
            count += len(starts)
            for write, column in zip(writers, values.T, strict=True):
                write(TrackPiece(chrom, starts, ends, column))
    return count
