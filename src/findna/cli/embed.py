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
            help="Poolings to concatenate: mean, max, summary, deviation (of the last layer),"
            " layers (means of all layers), deviations (standard deviations of all layers). base,"
            " alone, keeps a vector per base (.npz, .parquet).",
        ),
    ] = "mean",
    strand: Annotated[
        Strand, typer.Option("--strand", help="Average both strands, or read only the given one.")
    ] = "both",
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=8,
            help="Bases read at once; longer records are cut and stitched. Default: the longest"
            " the model was trained on.",
        ),
    ] = None,
    batch_bases: BatchBases = None,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    half: Annotated[bool, typer.Option("--half", help="Store 16 bits per number.")] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Embed every sequence of a file, in file order, as one vector (or one per base)."""
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
