"""`findna search`: find regions like this one."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import findna
from findna.cli.running import (
    BatchBases,
    Device,
    IdColumn,
    Overwrite,
    SequenceColumn,
    SomeModel,
    verb,
)
from findna.sequence.alphabet import Strand


@verb()
def search(
    queries: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY...",
            help="chr7:1,001-2,000 (1-based, both ends included), FASTA, FASTQ, CSV, TSV,"
            " parquet, BED; - is stdin.",
        ),
    ],
    genome: Annotated[
        Path,
        typer.Option(
            "-g", "--genome", help="FASTA to search; regions and BED queries refer to it."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help=".tsv, .csv, .parquet, or six-column .bed; - is a TSV on stdout.",
        ),
    ],
    model: SomeModel = None,
    index: Annotated[
        Path | None,
        typer.Option(
            "--index", help="Folder of the index, built if absent. Default: in the cache."
        ),
    ] = None,
    regions: Annotated[
        Path | None, typer.Option("--regions", help="BED; search only the regions it covers.")
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=1,
            help="Bases per window. Default for a new index: as trained.",
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            "--step",
            min=1,
            help="Bases from one window to the next. Default for a new index: half a window.",
        ),
    ] = None,
    max_n: Annotated[
        float | None,
        typer.Option(
            "--max-n",
            help="Largest fraction of N in a window, below 1. Default for a new index: 0.1.",
        ),
    ] = None,
    strand: Annotated[
        Strand | None,
        typer.Option("--strand", help="Strands to average. Default for a new index: both."),
    ] = None,
    whiten: Annotated[
        bool | None,
        typer.Option(
            "--whiten/--no-whiten",
            help="Scale all directions of the vectors to equal variance. Default for a new index:"
            " yes.",
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("-k", min=1, help="Hits per query, or per window of a longer one.")
    ] = 20,
    min_similarity: Annotated[
        float | None,
        typer.Option("--min-similarity", help="Report only hits at least this similar, -1 to 1."),
    ] = None,
    include_self: Annotated[
        bool,
        typer.Option(
            "--include-self", help="Also report windows that overlap the query's own position."
        ),
    ] = False,
    all_windows: Annotated[
        bool, typer.Option("--all-windows", help="Also report windows that overlap a better hit.")
    ] = False,
    engine: Annotated[
        Literal["torch", "faiss"],
        typer.Option("--engine", help="Both are exact; faiss is faster for many queries."),
    ] = "torch",
    batch_bases: BatchBases = None,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Find the regions of a genome most similar to a region or a sequence."""
    findna.search(
        queries,
        genome,
        model,
        output,
        index=index,
        regions=regions,
        window=window,
        step=step,
        max_n=max_n,
        strand=strand,
        whiten=whiten,
        k=k,
        min_similarity=min_similarity,
        include_self=include_self,
        all_windows=all_windows,
        engine=engine,
        batch_bases=batch_bases,
        device=device,
        sequence_column=sequence_column,
        id_column=id_column,
        overwrite=overwrite,
    )
