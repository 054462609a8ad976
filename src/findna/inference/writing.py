"""Tables of answers on their way to a file: TSV, CSV or parquet, whole or not at all."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from findna.files import STDIN, BadInput, atomic_file

_ENDINGS = (".tsv", ".csv", ".parquet")


class _Sink(Protocol):
    def write(self, table: pd.DataFrame) -> None: ...


class _Text:
    """Rows as text with one header line; floats with six significant digits, gaps as NA."""

    def __init__(self, stream: IO[str], separator: str) -> None:
        self.stream, self.separator, self.first = stream, separator, True

    def write(self, table: pd.DataFrame) -> None:
        table.to_csv(
            self.stream,
            sep=self.separator,
            index=False,
            header=self.first,
            float_format="%.6g",
            na_rep="NA",
            lineterminator="\n",
        )
        self.first = False


class _Parquet:
    """One row group a chunk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: pq.ParquetWriter | None = None

    def write(self, table: pd.DataFrame) -> None:
        rows = pa.Table.from_pandas(table, preserve_index=False)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, rows.schema)
        self.writer.write_table(rows)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def write_tables(tables: Iterator[pd.DataFrame], output: str | Path, overwrite: bool) -> int:
    """Write tables of the same columns one behind the other; the number of rows.

    `output` ends in `.tsv`, `.csv` (either may end in `.gz`) or `.parquet`; "-" is a TSV on
    standard output. Raises `BadInput` for another ending or an output that exists.
    """
    if str(output) == STDIN:
        return _pour(tables, _Text(sys.stdout, "\t"))
    ending = _ending(Path(output))
    with atomic_file(output, overwrite) as made, _sink(made, ending, Path(output)) as sink:
        return _pour(tables, sink)


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
            "the name does not say which format to write",
            file=output,
            remedy="end it in .tsv, .csv, .tsv.gz, .csv.gz or .parquet",
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
    opener = gzip.open if output.name.lower().endswith(".gz") else open
    with opener(made, "wt", encoding="utf-8", newline="") as stream:
        yield _Text(cast(IO[str], stream), "," if ending == ".csv" else "\t")
