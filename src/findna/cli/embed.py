"""`findna embed`: one vector for every sequence."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from findna.cli.running import (
    BatchBases,
    Device,
    IdColumn,
    Overwrite,
    SequenceColumn,
    SomeModel,
    Strand,
    verb,
)
from findna.inference.embed import embed as answer


@verb()
def embed(
    inputs: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="FASTA, FASTQ, CSV, TSV, parquet, BED with -g; - is stdin."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help=".parquet, .npz or .h5ad; - is a TSV on stdout (parquet cannot go to a pipe).",
        ),
    ],
    model: SomeModel = None,
    genome: Annotated[Path | None, typer.Option("-g", "--genome", help="FASTA of a BED.")] = None,
    pooling: Annotated[
        Literal["mean", "max", "summary", "deviation", "layers", "base"],
        typer.Option(
            "--pooling",
            help="What is read of a sequence: layers are the means of all layers side by side; base"
            " is a vector a base (.npz, .parquet).",
        ),
    ] = "mean",
    strand: Annotated[
        Strand, typer.Option("--strand", help="Average both strands, or read the given one.")
    ] = "both",
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=8,
            help="Bases read at once; longer records are cut and stitched. If not given, the"
            " longest that the model was trained on.",
        ),
    ] = None,
    batch_bases: BatchBases = None,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    half: Annotated[bool, typer.Option("--half", help="Keep 16 bits a number.")] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Embed every sequence of a file, in its order, one vector each (or one a base)."""
    answer(
        inputs,
        model,
        output,
        genome=genome,
        pooling=pooling,
        strand=strand,
        window=window,
        batch_bases=batch_bases,
        device=device,
        sequence_column=sequence_column,
        id_column=id_column,
        half=half,
        overwrite=overwrite,
    )
