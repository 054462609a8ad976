"""`findna pretrain`: from a genome to a model."""

from pathlib import Path
from typing import Annotated, Any

import typer

import findna
from findna.cli.reporting import reported
from findna.cli.running import Device, Output, Overwrite, refuse_both, resolved, verb
from findna.files import log
from findna.training.recipes import PretrainSettings
from findna.training.starting import preset_of


@verb(PretrainSettings, several=True)
def pretrain(
    genome: Annotated[
        list[str], typer.Argument(metavar="GENOME.fa...", help="FASTA files, or - for stdin.")
    ],
    output: Output,
    given: dict[str, Any],
    start_from: Annotated[
        Path | None, typer.Option("--from", help="Continue from the weights of this model or run.")
    ] = None,
    regions: Annotated[
        str,
        typer.Option(
            help="FASTA of cut regions, named chrom:start-end: auto, off, 0-based, 1-based, or a"
            " table of their coordinates."
        ),
    ] = "auto",
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint of the run.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Pretrain a model on a genome, without labels.

    The run folder holds the model, the settings, the metrics of the run and report.html.
    """
    refuse_both(resume, overwrite)
    start = preset_of(start_from)
    settings = resolved(lambda: PretrainSettings.resolve({**start, **given}))
    with reported(output):
        result = findna.pretrain(
            genome,
            output,
            settings,
            regions=regions,
            start_from=start_from,
            device=device,
            resume=resume,
            overwrite=overwrite,
        )
    if not result.finished:
        log.warning(
            "time was up after %s of %s planned steps, in the middle of the schedule: --resume"
            " makes the rest",
            f"{result.steps:,}", f"{result.planned_steps:,}",
        )  # fmt: skip
    log.info(f"{result.steps:,} steps; {result.verdict}; model in {output / 'model'}")
