"""`findna evaluate`: the fair referee, for findna's models and, through tables, for anyone's."""

from pathlib import Path
from typing import Annotated, Any

import typer

import findna
from findna.cli.positives import Negatives, positives_alone
from findna.cli.running import Device, GenomeOfBed, Output, Overwrite, resolved, verb
from findna.data.labelled import LabelledData
from findna.evaluation.contenders.external import HuggingFaceEmbedder
from findna.evaluation.contenders.tables import EmbeddingTable, PredictionTable, open_answers
from findna.evaluation.negatives.draw import TASK, with_negatives, write_task
from findna.evaluation.settings import EvaluateSettings
from findna.evaluation.tasks import rows_to_answer
from findna.files import FindnaError, log
from findna.inference.writing import refuse_table, write_tables


@verb(EvaluateSettings)
def evaluate(
    output: Output,
    given: dict[str, Any],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]",
            help="Your own task: a folder with train, dev and test files, or any labelled file.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            help="A model or run, or NAME=FOLDER; NAME=FOLDER,FOLDER is one model per pretraining"
            " seed; a preset means random weights. Repeatable. Default: the model that comes with"
            " findna.",
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="gue, genomic_benchmarks, mtcdna or findna-paper, instead of DATA."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Tasks of the suite, such as tf/0 or 'prom/*'. Default: all."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder of the suite's data. Default: where findna fetch puts it. Without"
            " --suite, another way to give DATA.",
        ),
    ] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option(
            help="Embeddings by row id, to which probes are fitted, or predictions by row id and"
            " seed, made by any software. Repeatable."
        ),
    ] = None,
    hugging_face: Annotated[
        list[str] | None,
        typer.Option(
            "--hf",
            help="A Hugging Face model on this machine (hf download NAME), by name or folder:"
            " probes are fitted to its embeddings.",
        ),
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with an --hf model.")
    ] = False,
    genome: GenomeOfBed = None,
    negatives: Negatives = None,
    pretraining_genome: Annotated[
        Path | None,
        typer.Option(help="FASTA the model was pretrained on: it is searched for the test rows."),
    ] = None,
    rows_file: Annotated[
        Path | None,
        typer.Option(
            "--rows",
            help="Write the rows that a model made elsewhere has to predict (id, task, split,"
            " sequence, labels except those of test) as .tsv, .csv or .parquet, and stop: its"
            " output is then given with --table.",
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Compare models with random weights and cheap baselines, on equal terms.

    No choice uses test rows: the test split is read once per run, after every choice. The folder
    holds every prediction, tables with intervals and p-values, and a figure; an existing one is
    continued.
    """
    settings = resolved(lambda: EvaluateSettings.parse(given, source="settings"))
    if trust_remote_code and not hugging_face:
        raise typer.BadParameter("--trust-remote-code needs --hf, the model whose code is run")
    if suite and genome:
        raise typer.BadParameter(
            "-g goes with DATA, for a BED; for the genome a model was pretrained on, use"
            " --pretraining-genome"
        )
    if suite is None and root is not None:
        if data is not None:
            raise typer.BadParameter("DATA and --data both name your own task: give one of them")
        data, root = root, None
    if negatives and (data is None or suite):
        raise typer.BadParameter("--negatives goes with DATA, the positives, and without --suite")
    if negatives:
        positives_alone(given, genome, negatives)
    if rows_file:
        refuse_table(rows_file, overwrite)
    rows = with_negatives(data, negatives, seed=0) if data and negatives else data
    if rows_file:
        asked = rows_to_answer(
            rows, suite=suite, tasks=task or (), root=root, settings=settings, genome=genome
        )
        write_tables(iter([asked]), rows_file, overwrite)
        log.info("%s: %s rows to predict", rows_file, f"{len(asked):,}")
        return
    answers = [open_answers(path) for path in table or ()]
    result = findna.evaluate(
        rows,
        output,
        models=model,
        suite=suite,
        tasks=task or (),
        root=root,
        others=[given for given in answers if isinstance(given, PredictionTable)],
        features=[
            *(given for given in answers if isinstance(given, EmbeddingTable)),
            *(
                HuggingFaceEmbedder(
                    name,
                    trust_remote_code=trust_remote_code,
                    strand=settings.vector_strand(),
                    device=device,
                )
                for name in hugging_face or ()
            ),
        ],
        settings=settings,
        genome=genome,
        pretraining_genome=pretraining_genome,
        device=device,
        overwrite=overwrite,
    )
    if isinstance(rows, LabelledData):
        write_task(rows, output / TASK)
    if len(result.table):
        from findna.report.comparison import draw_comparison

        draw_comparison(result.table, result.published, output / "comparison.png")
        log.info("tables and figure in %s; start with %s", output, output / "table.md")
    if result.failed:
        raise FindnaError("some runs failed:\n  " + "\n  ".join(result.failed))
