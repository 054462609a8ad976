"""The table of hits: its columns and its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from findna.files import STDIN, BadInput, refuse_existing
from findna.inference.searching.index import Vectors
from findna.inference.searching.loci import Best, Loci, Part
from findna.inference.writing import write_bed, write_tables
from findna.sequence.alphabet import C, Codes, G, N, codes_of

_BED_COLUMNS = 6
_ENDINGS = (".bed", ".tsv", ".tsv.gz", ".csv", ".csv.gz", ".parquet")
_COLUMNS = {
    "chrom": "str", "start": "int64", "end": "int64", "name": "str", "score": "int64",
    "strand": "str", "similarity": "float64", "percentile": "float64", "query": "str",
    "query_start": "int64", "query_end": "int64", "z": "float64", "gc": "float64",
    "query_gc": "float64",
}  # fmt: skip


def hit_rows(loci: Loci, part: Part, query: Vectors, best: Best) -> list[dict[str, object]]:
    """The rows of the hits of one part, best first; its vector in the index is `query` (D,)."""
    genome, index = loci.genome, loci.index
    mean, sd = index.spread(query)
    places, own_gc = loci.places(best.windows), _gc(part.codes)
    rows: list[dict[str, object]] = []
    for rank, window in enumerate(best.windows.tolist()):
        similar = float(best.similarity[rank])
        store = genome.store[index.starts[window] : index.ends[window]]
        rows.append(
            {
                "chrom": genome.chroms[places.chrom[rank]],
                "start": places.start[rank],
                "end": places.end[rank],
                "name": f"{part.name}.{rank + 1}",
                "score": round(1000 * min(1, max(0, similar))),
                "strand": ".",
                "similarity": similar,
                "percentile": best.percentile[rank],
                "query": part.record.id,
                "query_start": part.start,
                "query_end": part.end,
                "z": (similar - mean) / sd if sd > 0 else np.nan,
                "gc": _gc(codes_of(store)),
                "query_gc": own_gc,
            }
        )
    return rows


def _gc(codes: Codes) -> float:
    """Share of C and G among the known bases; NaN if there are none."""
    known = int((codes < N).sum())
    return float(((codes == C) | (codes == G)).sum()) / known if known else np.nan


def table_of(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows as a table, which has all columns and their types even without rows."""
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


# ---------------------------------------------------------------- writing


def check_output(output: str | Path, overwrite: bool) -> None:
    """Check an output before the index is built."""
    path = Path(output)
    if str(output) == STDIN:
        return
    if not path.name.lower().endswith(_ENDINGS):
        raise BadInput(
            "the file name does not say which format to write",
            file=path,
            remedy=f"end it in {', '.join(_ENDINGS)}; - is a table on standard output",
        )
    refuse_existing(path, overwrite)


def write_hits(tables: Iterator[pd.DataFrame], output: str | Path, overwrite: bool) -> int:
    """Write the tables; the number of rows. A `.bed` has the six standard columns and no header;
    a TSV begins with `#chrom`, so that bedtools can read it from a pipe.
    """
    name = "" if str(output) == STDIN else Path(output).name.lower()
    if name.endswith(".bed"):
        bare = (table[list(_COLUMNS)[:_BED_COLUMNS]] for table in tables)
        return write_bed(bare, output, overwrite, header=False)
    if name.endswith(".parquet"):
        return write_tables(tables, output, overwrite)
    tables = (table.assign(percentile=table["percentile"].map(_in_full)) for table in tables)
    if name.endswith((".csv", ".csv.gz")):
        return write_tables(tables, output, overwrite)
    named = (table.rename(columns={"chrom": "#chrom"}) for table in tables)
    return write_tables(named, output, overwrite) if name else write_bed(named, output, overwrite)


def _in_full(percentile: float) -> str:
    """With enough digits to distinguish the best of a billion windows from the next."""
    return f"{percentile:.10g}"
