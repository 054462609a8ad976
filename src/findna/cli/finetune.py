"""`findna finetune`: from labelled sequences to a model that answers, tested once."""

from pathlib import Path
from typing import Annotated, Any

import typer

import findna
from findna.cli.positives import Negatives, positives_alone
from findna.cli.reporting import reported
from findna.cli.running import Device, GenomeOfBed, Output, Overwrite, refuse_both, resolved, verb
from findna.data.labelled import LabelledData
from findna.evaluation.negatives.draw import TASK, with_negatives, write_task
from findna.files import log
from findna.training.finetune_settings import FinetuneSettings
from findna.training.run_state import refuse_start


@verb(FinetuneSettings)
def finetune(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder with train, dev and test files or of class folders, a CSV, TSV or"
            " parquet, FASTA with labels, BED with -g.",
        ),
    ],
    output: Output,
    given: dict[str, Any],
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="A model or run to start from, or a preset for random weights. Default: the"
            " model that comes with findna.",
        ),
    ] = None,
    genome: GenomeOfBed = None,
    negatives: Negatives = None,
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run after its finished folds.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on labelled sequences and test it once.

    The run folder holds the model, the test metrics with intervals, the predictions and
    report.html.
    """
    settings = resolved(lambda: FinetuneSettings.parse(given, source="settings"))
    refuse_both(resume, overwrite)
    if negatives:
        positives_alone(given, genome, negatives)
    # Drawing negatives may take minutes.
    refuse_start(output, overwrite=overwrite, resume=resume)
    rows = with_negatives(data, negatives, settings.seed) if negatives else data
    with reported(output):
        findna.finetune(
            rows,
            output,
            model=model,
            settings=settings,
            genome=genome,
            device=device,
            resume=resume,
            overwrite=overwrite,
        )
    if isinstance(rows, LabelledData):
        write_task(rows, output / TASK)
    log.info(f"model in {output / 'model'}")
