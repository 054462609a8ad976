"""Files of embeddings: parquet, npz, h5ad, or text, written whole or not at all.

Parquet streams. npz and h5ad need their size first: vectors are kept in an unnamed temporary file
next to the output, and only the describing columns in memory.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import chain, groupby
from pathlib import Path
from typing import IO, Any, NamedTuple
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from findna.files import STDIN, BadInput, atomic_file, plain_number, refuse_existing
from findna.inference.embedding.stitching import Span
from findna.inference.writing import write_tables

Columns = dict[str, list[Any]]
Floats = NDArray[np.floating[Any]]
Facts = Mapping[str, Any]

EMBEDDING, FACTS, PER_BASE = "embedding", "findna", "base"

_TYPES = {
    "id": pa.string(),
    "chrom": pa.string(),
    "start": pa.int64(),
    "end": pa.int64(),
    "strand": pa.string(),
    "length": pa.int64(),
    "frac_n": pa.float64(),
}
_REPEATING = ("chrom", "strand")
_TEXT = (STDIN, ".tsv", ".tsv.gz", ".csv", ".csv.gz")
_CELL_BYTES = 256 << 20  # most per record in a parquet file: a cell is written at once


class Pooled(NamedTuple):
    """n records: their describing columns, and their vectors (n, D)."""

    columns: Columns
    vectors: Floats


class PerBase(NamedTuple):
    """n records: their describing columns, and the vectors of their bases, in ordered spans."""

    columns: Columns
    spans: Iterator[tuple[Span, Floats]]


Answers = Iterator[Pooled | PerBase]  # all of one kind


def check_output(output: str | Path, pooling: str, overwrite: bool) -> None:
    """Check an output before any work.

    Raises:
        BadInput: an unknown ending, a format that cannot hold a vector per base, an output that
            exists, or a missing library.
    """
    per_base, ending = pooling == PER_BASE, _ending(output)
    if ending not in (*_TEXT, *_POOLED):
        raise BadInput(
            "the file name does not say which format to write",
            file=output,
            remedy="end it in .parquet, .npz, .h5ad, .tsv or .csv; - is a TSV on standard output",
        )
    if per_base and ending not in _PER_BASE:
        raise BadInput(
            "this format holds one vector per record, not one per base",
            file="standard output" if ending == STDIN else output,
            remedy="write .npz or .parquet, or choose another pooling",
        )
    if ending == ".h5ad":
        _anndata()
    if ending != STDIN:
        refuse_existing(output, overwrite)


def write_embeddings(answers: Answers, output: str | Path, facts: Facts, overwrite: bool) -> int:
    """Write vectors of records or of bases in the format of the name; the number of records.

    Raises:
        BadInput: the output exists, or a record does not fit into the format.
    """
    if _ending(output) in _TEXT:
        return write_tables(map(_as_text, answers), output, overwrite)
    writers = _PER_BASE if facts["pooling"] == PER_BASE else _POOLED
    with atomic_file(output, overwrite) as made:
        return writers[_ending(output)](answers, made, facts)


def whole_records(spans: Iterator[tuple[Span, Floats]]) -> Iterator[Floats]:
    """The vectors (L, D) of each record, from its spans."""
    for _, parts in groupby(spans, key=lambda part: part[0].row):
        yield np.concatenate([vectors for _, vectors in parts])


def extend(columns: Columns, more: Columns) -> None:
    """Append the cells of `more` to those of `columns`."""
    for name, cells in more.items():
        columns.setdefault(name, []).extend(cells)


def _ending(output: str | Path) -> str:
    """A key of `_POOLED`, one of `_TEXT`, or what is neither."""
    if str(output) == STDIN:
        return STDIN
    name = Path(output).name.lower()
    return next((end for end in _TEXT if name.endswith(end)), Path(name).suffix)


def _as_text(answer: Any) -> pd.DataFrame:
    names = [f"e{d}" for d in range(answer.vectors.shape[1])]
    vectors = pd.DataFrame(answer.vectors, columns=names)
    return pd.concat([pd.DataFrame(answer.columns), vectors], axis=1)


# ---------------------------------------------------------------- parquet


def _parquet(answers: Iterator[Pooled], made: Path, facts: Facts) -> int:
    tables = (_table(columns, _lists(vectors)) for columns, vectors in answers)
    return _write_parquet(tables, made, facts)


def _parquet_per_base(answers: Iterator[PerBase], made: Path, facts: Facts) -> int:
    empty = np.empty((0, int(facts["width"])), facts["dtype"])
    tables = (_table(columns, _nested(columns, spans, empty)) for columns, spans in answers)
    return _write_parquet(tables, made, facts)


def _write_parquet(tables: Iterator[pa.Table], made: Path, facts: Facts) -> int:
    """One row group per table; the facts are in the metadata of the schema, as JSON."""
    first = next(tables)
    schema = first.schema.with_metadata({FACTS: json.dumps(facts, default=plain_number)})
    repeating = [name for name in _REPEATING if name in schema.names]
    rows = 0
    with pq.ParquetWriter(made, schema, use_dictionary=repeating) as writer:
        for table in chain([first], tables):
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _table(columns: Columns, embedding: pa.Array) -> pa.Table:
    described = {name: pa.array(cells, _TYPES[name]) for name, cells in columns.items()}
    return pa.table({**described, EMBEDDING: embedding})


def _lists(vectors: Floats) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def _nested(columns: Columns, spans: Iterator[tuple[Span, Floats]], empty: Floats) -> pa.Array:
    """One list of vectors per record; `empty` (0, D) has their type."""
    records = list(whole_records(_that_fit(columns, spans)))
    ends = np.cumsum([0, *map(len, records)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), _lists(np.concatenate([empty, *records])))


def _that_fit(
    columns: Columns, spans: Iterator[tuple[Span, Floats]]
) -> Iterator[tuple[Span, Floats]]:
    for span, vectors in spans:
        if len(span.codes) * vectors[0].nbytes > _CELL_BYTES:
            raise BadInput(
                f"the vectors of {len(span.codes):,} bases do not fit in one row of a parquet file",
                record=str(columns["id"][span.row]),
                remedy="write .npz, which takes records of any length",
            )
        yield span, vectors


# ---------------------------------------------------------------- npz


def _npz(answers: Iterator[Pooled], made: Path, facts: Facts) -> int:
    with _spooled(answers, made, facts) as (columns, spool, shape), ZipFile(made, "w") as archive:
        with _array(archive, EMBEDDING, shape, facts) as member:
            shutil.copyfileobj(spool, member)
        _describe(archive, columns, facts)
        return shape[0]


def _npz_per_base(answers: Iterator[PerBase], made: Path, facts: Facts) -> int:
    """One array per record, `base_0`, `base_1`, ..., written as its spans arrive."""
    columns: Columns = {}
    with ZipFile(made, "w") as archive:
        for more, spans in answers:
            done = len(columns.get("id", ()))
            for row, parts in groupby(spans, key=lambda part: part[0].row):
                shape = (more["length"][row], int(facts["width"]))
                with _array(archive, f"{PER_BASE}_{done + row}", shape, facts) as member:
                    for _, vectors in parts:
                        member.write(vectors.tobytes())
            extend(columns, more)
        _describe(archive, columns, facts)
    return len(columns["id"])


@contextmanager
def _array(
    archive: ZipFile, name: str, shape: tuple[int, int], facts: Facts
) -> Iterator[IO[bytes]]:
    """A member of an npz file that takes the bytes of an array in C order."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        descr = np.lib.format.dtype_to_descr(np.dtype(facts["dtype"]))
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        yield member


def _describe(archive: ZipFile, columns: Columns, facts: Facts) -> None:
    """The describing columns as one array each, and the facts as JSON in a text array."""
    arrays = {name: _as_array(name, cells) for name, cells in columns.items()}
    for name, array in {**arrays, FACTS: np.array(json.dumps(facts, default=plain_number))}.items():
        with archive.open(f"{name}.npy", "w") as member:
            np.lib.format.write_array(member, array, allow_pickle=False)


def _as_array(name: str, cells: list[Any]) -> NDArray[Any]:
    return np.array(cells, str if _TYPES[name] == pa.string() else _TYPES[name].to_pandas_dtype())


@contextmanager
def _spooled(
    answers: Iterator[Pooled], made: Path, facts: Facts
) -> Iterator[tuple[Columns, IO[bytes], tuple[int, int]]]:
    """All describing columns, a temporary file of the vectors, at its start, and their shape."""
    columns: Columns = {}
    with tempfile.TemporaryFile(dir=made.parent) as spool:
        for more, vectors in answers:
            spool.write(vectors.tobytes())
            extend(columns, more)
        spool.seek(0)
        yield columns, spool, (len(columns["id"]), int(facts["width"]))


# ---------------------------------------------------------------- h5ad


def _h5ad(answers: Iterator[Pooled], made: Path, facts: Facts) -> int:
    """The describing columns by id as obs, the vectors as X, the facts as uns["findna"]."""
    anndata = _anndata()
    with _spooled(answers, made, facts) as (columns, spool, shape):
        whole = np.memmap(spool, facts["dtype"], "r", shape=shape) if shape[0] else np.empty(shape)
        # Object columns: anndata 0.12 cannot write the strings of pandas 3.
        names = pd.DataFrame(index=pd.Index([f"e{d}" for d in range(shape[1])], dtype=object))
        with warnings.catch_warnings():
            # Repeated ids were warned of when they were read.
            warnings.filterwarnings("ignore", "Observation names are not unique")
            held = anndata.AnnData(
                X=whole.view(np.ndarray), obs=_obs(columns), var=names, uns={FACTS: dict(facts)}
            )
            held.write_h5ad(made)
        return shape[0]


def _obs(columns: Columns) -> pd.DataFrame:
    obs = pd.DataFrame(index=pd.Index(columns["id"], dtype=object, name="id"))
    for name in (name for name in columns if name != "id"):
        cells = _as_array(name, columns[name])
        if name in _REPEATING:
            kinds = pd.Index(sorted(set(cells.tolist())), dtype=object)
            obs[name] = pd.Categorical(cells.astype(object), categories=kinds)
        else:
            obs[name] = cells
    return obs


def _anndata() -> Any:
    try:
        return import_module("anndata")
    except ImportError:
        raise BadInput(
            "writing .h5ad needs the library anndata", remedy="pip install 'findna[anndata]'"
        ) from None


_POOLED: dict[str, Callable[[Iterator[Any], Path, Facts], int]] = {
    ".parquet": _parquet,
    ".npz": _npz,
    ".h5ad": _h5ad,
}
_PER_BASE: dict[str, Callable[[Iterator[Any], Path, Facts], int]] = {
    ".parquet": _parquet_per_base,
    ".npz": _npz_per_base,
}
