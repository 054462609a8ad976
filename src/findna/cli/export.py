"""`findna export`: a model folder to give away."""

from pathlib import Path
from typing import Annotated

import typer

import findna
from findna.cli.running import Output, Overwrite, verb


@verb()
def export(
    model: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="A run, a model folder or a model's name.")
    ],
    output: Output,
    half: Annotated[
        bool,
        typer.Option("--half", help="Store 16 bits per weight; the effect is measured."),
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Name on the card. Default: that of the folder.")
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(
            "--evaluation",
            help="Folder of findna evaluate: its results for this model go on the card."
            " Repeatable.",
        ),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            "--regions", help="BED of the regions it was trained on. Default: the run's --include."
        ),
    ] = None,
    genome: Annotated[
        str | None,
        typer.Option(
            "-g",
            "--genome",
            help="FASTA of the run: --half is then checked on held-out windows, not on simulated"
            " sequence.",
        ),
    ] = None,
    species: Annotated[
        str | None, typer.Option("--species", help="Species named on the card.")
    ] = None,
    trained_on: Annotated[
        str | None, typer.Option("--trained-on", help="What it was trained on, in one line.")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", help="SPDX identifier. Default: the licence of this package."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model folder to share: weights, config, and a model card of what is known.

    The card states data, recipe, cost, results with intervals, leaks and limits, from the run
    folder; for a model without its run it says what is unknown. The folder can be uploaded as is.
    """
    findna.export(
        model,
        output,
        half=half,
        name=name,
        evaluation=evaluation or (),
        regions=regions,
        genome=genome,
        species=species,
        trained_on=trained_on,
        licence=licence,
        overwrite=overwrite,
    )
