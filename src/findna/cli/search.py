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
            help="chr7:1,001-2,000 (1-based closed), FASTA, FASTQ, CSV, TSV, parquet, BED; - is "
            "stdin.",
        ),
    ],
    genome: Annotated[
        Path,
        typer.Option("-g", "--genome", help="FASTA that is searched; regions and BED lie in it."),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help=".tsv, .csv, .parquet, or .bed of six columns; - is a TSV on stdout.",
        ),
    ],
    model: SomeModel = None,
    index: Annotated[
        Path | None,
        typer.Option("--index", help="Folder of the index; made if absent. Else in the cache."),
    ] = None,
    regions: Annotated[
        Path | None, typer.Option("--regions", help="BED; only what it covers is searched.")
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=1,
            help="Bases of a window; of a new index else as the model was trained.",
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            "--step", min=1, help="Bases between windows; of a new index else half of one."
        ),
    ] = None,
    max_n: Annotated[
        float | None,
        typer.Option(
            "--max-n", help="Largest share of N of a window, below 1; of a new index else 0.1."
        ),
    ] = None,
    strand: Annotated[
        Strand | None, typer.Option("--strand", help="Strands averaged; of a new index else both.")
    ] = None,
    whiten: Annotated[
        bool | None,
        typer.Option(
            "--whiten/--no-whiten",
            help="Bring all directions of the vectors to one spread; of a new index else yes.",
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("-k", min=1, help="Hits a query, or each window of a longer one.")
    ] = 20,
    min_similarity: Annotated[
        float | None,
        typer.Option("--min-similarity", help="Hits are at least so similar, -1 to 1."),
    ] = None,
    include_self: Annotated[
        bool, typer.Option("--include-self", help="Also windows over the query's own place.")
    ] = False,
    all_windows: Annotated[
        bool, typer.Option("--all-windows", help="Also windows that overlap a better hit.")
    ] = False,
    engine: Annotated[
        Literal["torch", "faiss"], typer.Option("--engine", help="Both are exact.")
    ] = "torch",
    batch_bases: BatchBases = None,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Find the regions of a genome that are most like a region or a sequence."""
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
