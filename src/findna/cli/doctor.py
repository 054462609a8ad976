"""`findna doctor`: what is wrong, or will be, before time is spent."""

from pathlib import Path
from typing import Annotated, Any

import typer

import findna
from findna.cli.running import Overwrite, resolved, verb
from findna.evaluation.doctor.diagnosis import DoctorSettings
from findna.files import STDIN, atomic_file, refuse_existing, write_json


@verb(DoctorSettings)
def doctor(
    given: dict[str, Any],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]", help="Labelled sequences, in any form that findna finetune takes."
        ),
    ] = None,
    genome: Annotated[
        Path | None,
        typer.Option("-g", "--genome", help="FASTA; with -m, the one the model was pretrained on."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="A model or run, or the name of a preset.")
    ] = None,
    vcf: Annotated[Path | None, typer.Option("--vcf", help="Variants to check against -g.")] = None,
    bed: Annotated[
        Path | None, typer.Option("--bed", help="Intervals to check against -g.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Also write everything as JSON to this file."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Check data, genome and model before time is spent.

    One line per finding: ok, warn or stop. Exit code 3 if something would make a run worthless.
    """
    if not any((data, genome, vcf, bed)):
        raise typer.BadParameter(
            "give DATA, -g, --vcf or --bed: there is nothing to check, or to check a model against"
        )
    if str(output) == STDIN:
        raise typer.BadParameter("-o must be a file: the findings go to standard output")
    if output is not None:
        refuse_existing(output, overwrite)
    settings = resolved(lambda: DoctorSettings.parse(given, source="settings"))
    found = findna.doctor(data, genome=genome, model=model, vcf=vcf, bed=bed, settings=settings)
    typer.echo(found.text())
    if output is not None:
        with atomic_file(output, overwrite) as made:
            write_json(made, found.as_dict())
    if found.stops:
        raise typer.Exit(3)
