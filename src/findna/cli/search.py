"""`findna search`: find regions like this one."""

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from findna.cli.running import Device, Overwrite, verb
from findna.inference.search import search as find


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
        typer.Option("-o", "--output", help=".bed, .tsv, .csv or .parquet; - is a BED on stdout."),
    ],
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="A model, its run or its name; else findna's own."),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option("--index", help="Folder of the index; made if absent. Else in the cache."),
    ] = None,
    regions: Annotated[
        Path | None, typer.Option("--regions", help="BED; only what it covers is searched.")
    ] = None,
    window: Annotated[
        int | None,
        typer.Option("--window", min=1, help="Bases of a window; else as the model was trained."),
    ] = None,
    step: Annotated[
        int | None, typer.Option("--step", min=1, help="Bases between windows; else half of one.")
    ] = None,
    max_n: Annotated[
        float | None,
        typer.Option("--max-n", min=0, max=1, help="Largest share of N of a window; else 0.1."),
    ] = None,
    strand: Annotated[
        str | None,
        typer.Option("--strand", metavar="both|forward", help="Strands averaged; else both."),
    ] = None,
    whiten: Annotated[
        bool | None,
        typer.Option(
            "--whiten/--no-whiten",
            help="Bring all directions of the vectors to one spread; else yes.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Hits a query.")] = 20,
    min_similarity: Annotated[
        float | None, typer.Option("--min-similarity", help="Hits are at least so similar.")
    ] = None,
    include_self: Annotated[
        bool, typer.Option("--include-self", help="Also windows over the query's own place.")
    ] = False,
    all_windows: Annotated[
        bool, typer.Option("--all-windows", help="Also windows that overlap a better hit.")
    ] = False,
    engine: Annotated[
        str, typer.Option("--engine", metavar="torch|faiss", help="Both are exact.")
    ] = "torch",
    batch_bases: Annotated[
        int | None,
        typer.Option(
            "-b",
            "--batch-bases",
            min=1,
            help="Bases a batch, which bounds memory; what suits the device if not given.",
        ),
    ] = None,
    sequence_column: Annotated[
        str | None, typer.Option("--sequence-column", help="Column of a table; else guessed.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id-column", help="Column of a table; else guessed.")
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Find the regions of a genome that are most like a region or a sequence."""
    find(
        queries,
        genome,
        model,
        output,
        index=index,
        regions=regions,
        window=window,
        step=step,
        max_n=max_n,
        strand=cast(
            Literal["both", "forward"] | None, _one_of("--strand", strand, "both", "forward")
        ),
        whiten=whiten,
        k=k,
        min_similarity=min_similarity,
        include_self=include_self,
        all_windows=all_windows,
        engine=cast(Literal["torch", "faiss"], _one_of("--engine", engine, "torch", "faiss")),
        batch_bases=batch_bases,
        device=device,
        sequence_column=sequence_column,
        id_column=id_column,
        overwrite=overwrite,
    )


def _one_of(flag: str, text: str | None, *known: str) -> str | None:
    if text is None or text in known:
        return text
    raise typer.BadParameter(f"{flag} is {' or '.join(known)}, not {text!r}")
