"""`findna embed`: one vector for every sequence."""

from pathlib import Path
from typing import Annotated, Any

import typer

from findna.cli.running import Device, Overwrite, verb
from findna.inference.embed import embed as answer

_POOLINGS, _STRANDS = ("mean", "max", "summary", "base"), ("both", "forward")


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
    model: Annotated[
        str | None,
        typer.Option(
            "-m", "--model", help="A model, its run, or a name; else the one that comes along."
        ),
    ] = None,
    genome: Annotated[Path | None, typer.Option("-g", "--genome", help="FASTA of a BED.")] = None,
    pooling: Annotated[
        str,
        typer.Option(
            "--pooling",
            metavar="mean|max|summary|base",
            help="What is read of a sequence; base is a vector a base (.npz, .parquet).",
        ),
    ] = "mean",
    strand: Annotated[
        str,
        typer.Option("--strand", metavar="both|forward", help="Average both, or read one."),
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
        pooling=_one_of(_POOLINGS, pooling, "--pooling"),
        strand=_one_of(_STRANDS, strand, "--strand"),
        window=window,
        batch_bases=batch_bases,
        device=device,
        sequence_column=sequence_column,
        id_column=id_column,
        half=half,
        overwrite=overwrite,
    )


def _one_of(known: tuple[str, ...], text: str, flag: str) -> Any:
    if text not in known:
        raise typer.BadParameter(f"{flag} is one of {', '.join(known)}, not {text!r}")
    return text
