"""`findna predict`: one answer for every sequence."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from findna.cli.running import Device, Overwrite, verb
from findna.inference.predict import predict as answer


@verb()
def predict(
    inputs: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="FASTA, FASTQ, CSV, TSV, parquet, BED with -g; - is stdin."
        ),
    ],
    model: Annotated[Path, typer.Option("-m", "--model", help="A fine-tuned model, or its run.")],
    output: Annotated[
        str, typer.Option("-o", "--output", help=".tsv, .csv or .parquet; - is a TSV on stdout.")
    ],
    genome: Annotated[Path | None, typer.Option("-g", "--genome", help="FASTA of a BED.")] = None,
    strand: Annotated[
        str | None, typer.Option("--strand", metavar="both|forward", help="Overrules the model.")
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
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Answer for every sequence of a file, in its order, one row each."""
    answer(
        inputs,
        model,
        output,
        genome=genome,
        strand=_strand(strand),
        batch_bases=batch_bases,
        device=device,
        sequence_column=sequence_column,
        id_column=id_column,
        overwrite=overwrite,
    )


def _strand(text: str | None) -> Literal["both", "forward"] | None:
    if text == "both":
        return "both"
    if text == "forward":
        return "forward"
    if text is None:
        return None
    raise typer.BadParameter(f"--strand is both or forward, not {text!r}")
