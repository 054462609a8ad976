"""The table of hits: its columns, and how it is written."""

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

_ENDINGS = (".bed", ".tsv", ".tsv.gz", ".csv", ".csv.gz", ".parquet")
_COLUMNS = {
    "chrom": "str", "start": "int64", "end": "int64", "name": "str", "score": "int64",
    "strand": "str", "similarity": "float64", "percentile": "float64", "query": "str",
    "query_start": "int64", "query_end": "int64", "z": "float64", "gc": "float64",
    "query_gc": "float64",
}  # fmt: skip


def hit_rows(loci: Loci, part: Part, query: Vectors, best: Best) -> list[dict[str, object]]:
    """The rows of the hits of one part, whose vector in the index is `query` (D,); best first."""
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
    """Rows as a table; without any it still has its columns and their types."""
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


# ---------------------------------------------------------------- writing


def check_output(output: str | Path, overwrite: bool) -> None:
    """Refuse at the door what would only be refused when the index is made."""
    path = Path(output)
    if str(output) == STDIN:
        return
    if not path.name.lower().endswith(_ENDINGS):
        raise BadInput(
            "the name does not say which format to write",
            file=path,
            remedy=f"end it in {', '.join(_ENDINGS)}; - is a BED on standard output",
        )
    refuse_existing(path, overwrite)


def write_hits(tables: Iterator[pd.DataFrame], output: str | Path, overwrite: bool) -> int:
    """Write the tables; the number of rows. Text begins with `#chrom`, a comment in a BED."""
    if str(output) != STDIN and Path(output).name.lower().endswith((".parquet", ".csv", ".csv.gz")):
        return write_tables(tables, output, overwrite)
    named = (table.rename(columns={"chrom": "#chrom"}) for table in tables)
    bed = str(output) == STDIN or str(output).lower().endswith(".bed")
    return write_bed(named, output, overwrite) if bed else write_tables(named, output, overwrite)
