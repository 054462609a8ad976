"""`findna embed`: one vector for every sequence."""

from typing import Annotated, Any

import typer

import findna
from findna.cli.running import (
    BatchBases,
    Device,
    GenomeOfBed,
    IdColumn,
    Overwrite,
    SequenceColumn,
    SomeModel,
    verb,
)
from findna.sequence.alphabet import Strand


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
            help=".parquet, .npz, .h5ad, .tsv or .csv (also .gz); - is a TSV on stdout.",
        ),
    ],
    model: SomeModel = None,
    genome: GenomeOfBed = None,
    pooling: Annotated[
        str,
        typer.Option(
            "--pooling",
            metavar="NAME,...",
            help="What is read of a sequence, side by side: mean, max, summary, deviation; layers"
            " are the means of all layers, deviations their deviations. base alone is a vector a"
            " base (.npz, .parquet).",
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
    findna.embed(
        inputs,
        model,
        output,
        genome=genome,
        pooling=_checked(pooling),
        strand=strand,
        window=window,
        batch_bases=batch_bases,
        device=device,
        sequence_column=sequence_column,
        id_column=id_column,
        half=half,
        overwrite=overwrite,
    )


def _checked(pooling: str) -> Any:
    from findna.inference.embed import pooled_parts

    names = [name.strip() for name in pooling.split(",")]
    try:
        pooled_parts(names)
    except ValueError as error:
        raise typer.BadParameter(f"--pooling: {error}") from None
    return names
