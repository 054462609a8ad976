"""Tables of numbers by row id, made in any environment: parquet, text, npz.

Nothing is guessed and nothing is filled in: a cell that is no finite number is refused with the ids
of the rows where it stands. No pickle is read.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from findna.files import BadInput, first_of, open_bytes
from findna.sequence.tables import need_column

Floats = NDArray[np.float64]
Embeddings = NDArray[np.float32]

# What `findna embed` says of a sequence beside its vector, and what it calls the vectors.
_DESCRIBING = {"chrom", "start", "end", "strand", "length", "frac_n"}
_VECTORS = "embedding"
# Row numbers, which pandas writes in a column without name, and the labels of `--rows`: both are
# numbers, and may tell the class.
_NO_VECTOR = re.compile(r"Unnamed: |label$|label_")


def read_numbers(path: Path) -> pd.DataFrame:
    """A table with the str column `id` and whatever else the file holds.

    Raises:
        BadInput: no such file or format, no column `id`, no row.
    """
    readers = {".npz": _read_npz, ".parquet": _read_parquet}
    frame = readers.get(path.suffix.lower(), _read_text)(path)
    frame.columns = [str(column) for column in frame.columns]
    need_column(list(frame.columns), "id", path)
    if frame.empty:
        raise BadInput("has no rows", file=path)
    if frame["id"].isna().any():
        raise BadInput(f"{frame['id'].isna().sum():,} of {len(frame):,} rows have no id", file=path)
    return frame.assign(id=frame["id"].astype(str))


def _read_text(path: Path) -> pd.DataFrame:
    with open_bytes(path) as stream:
        header = stream.peek(1 << 16).split(b"\n", 1)[0]
        separator = "\t" if b"\t" in header else ","
        try:
            # Nothing is taken for a gap: "NA" may be an id, and is no number.
            return pd.read_csv(stream, sep=separator, dtype={"id": str}, keep_default_na=False)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise BadInput(f"is not a table of text: {error}", file=path) from None


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with open_bytes(path) as stream:
            frame: pd.DataFrame = pq.read_table(pa.BufferReader(stream.read())).to_pandas()
            # Pandas makes an index again of what was one.
            return frame.reset_index() if frame.index.name == "id" else frame
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"is not a complete parquet file: {error}", file=path) from None


def _read_npz(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise BadInput("no such file", file=path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            named = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"is not an npz file of plain arrays: {error}", file=path) from None
    others = [name for name in named if name != "id"]
    if _VECTORS in others:
        others = [_VECTORS]
    if "id" not in named or len(others) != 1 or named[others[0]].ndim != 2:
        held = ", ".join(f"{name} {array.shape}" for name, array in named.items())
        raise BadInput(
            f"holds {held or 'nothing'}",
            file=path,
            remedy="save the arrays id (n,) and vectors (n, D)",
        )
    ids, vectors = named["id"], named[others[0]]
    if ids.shape != vectors.shape[:1]:
        raise BadInput(f"has {ids.shape[0]:,} ids and {len(vectors):,} vectors", file=path)
    return pd.DataFrame(vectors).assign(id=ids.astype(str))


# ---------------------------------------------------------------- from cells to numbers


def as_vectors(frame: pd.DataFrame, path: Path) -> Embeddings:
    """Vectors (n, D) of a table of numbers, of one column of lists, or of what `embed` wrote."""
    columns = [column for column in frame.columns if column != "id"]
    if _VECTORS in columns:
        columns = [_VECTORS]
    elif {"length", "frac_n"} <= set(columns):
        columns = [column for column in columns if column not in _DESCRIBING]
    if not columns:
        raise BadInput("has no numbers beside id", file=path)
    if foreign := [column for column in columns if _NO_VECTOR.match(column)]:
        raise BadInput(
            f"column {foreign[0]} holds row numbers or labels, which do not belong in an embedding",
            file=path,
            remedy="leave it out; to_csv(..., index=False) in pandas writes no row numbers",
        )
    if len(columns) == 1 and frame[columns[0]].dtype == object:
        frame = _unfolded(frame, columns[0], path)
        columns = [column for column in frame.columns if column != "id"]
    return numbers_of(frame, columns, path).astype(np.float32)


def _unfolded(frame: pd.DataFrame, column: str, path: Path) -> pd.DataFrame:
    """A column of lists as columns of numbers."""
    lengths = frame[column].map(np.size).to_numpy(np.int64)
    wrong = np.asarray(lengths != lengths[0])
    refuse_rows(
        frame, wrong, f"{column} does not have {lengths[0]} numbers as in the first row", path
    )
    numbers = pd.DataFrame(np.stack(frame[column].map(np.atleast_1d).tolist()))
    return numbers.assign(id=frame["id"].to_numpy())


def numbers_of(frame: pd.DataFrame, columns: list[str], path: Path) -> Floats:
    """The columns as numbers (n, C), each finite as float32 too."""
    numbers: Floats = frame[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = np.asarray(~(np.abs(numbers) <= np.finfo(np.float32).max))
    if wrong.any():
        column = columns[int(wrong.any(axis=0).argmax())]
        refuse_rows(
            frame, np.asarray(wrong.any(axis=1)), f"column {column} is not a finite number", path
        )
    return numbers


def refuse_rows(frame: pd.DataFrame, wrong: NDArray[np.bool_], problem: str, path: Path) -> None:
    """`BadInput` with the first ids of the rows where `wrong` (n,) is true."""
    if wrong.any():
        ids = frame["id"][wrong].tolist()
        raise BadInput(
            f"{problem} in {len(ids):,} of {len(frame):,} rows: {first_of(ids)}", file=path
        )
