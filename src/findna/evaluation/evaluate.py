"""The fair referee: every contender meets the same rows, seeds and budget, and test rows once.

    settings.yaml       every setting; an evaluation that goes on must have the same
    command.txt         the command line, one line a start
    environment.json    versions, device and threads of the last start
    runs/TASK/CONTENDER/SEED.json and .parquet   one run: what was chosen, metrics, every answer
    leakage/TASK.tsv    what the rows share between splits, with other tasks, with pretraining, and
                        beside it as .json what it was made from
    results.tsv         one line a task, contender, seed and metric
    table.tsv           one line a task and contender, with intervals, differences and p-values
    across.tsv          one line a contender: its mean difference over the tasks of a suite
    published.tsv       published figures of these tasks, each with its protocol
    table.md            all of it to read; the command line adds comparison.png and .svg

A run that is there is not done again, so that an evaluation can be stopped, started and extended
by tasks, models and seeds.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from findna.data.labelled import LabelledData
from findna.evaluation.comparison import SelectedEpoch, selected_epoch
from findna.evaluation.contenders.external import HuggingFaceEmbedder
from findna.evaluation.contenders.lineup import contenders, folders_of, starts
from findna.evaluation.contenders.networks import FinetuneContender, FinetunedNetwork, Start
from findna.evaluation.contenders.probes import (
    Features,
    LinearProbe,
    NeighbourProbe,
    NetworkFeatures,
)
from findna.evaluation.contenders.tables import EmbeddingTable, PredictionTable
from findna.evaluation.folder import open_folder, precision_of
from findna.evaluation.leakage.check import leakage
from findna.evaluation.preparation import Prepared
from findna.evaluation.protocol import Contender, Learned
from findna.evaluation.results import RunFacts, run_file, write_run
from findna.evaluation.settings import EvaluateSettings
from findna.evaluation.suites.registry import PAPER
from findna.evaluation.tabulate import EvaluateResult, tabulate
from findna.evaluation.tasks import prepared_tasks
from findna.files import (
    BadInput,
    FindnaError,
    FullDisk,
    log,
    read_json,
    several,
    write_json,
)
from findna.metrics import Answers, Metric
from findna.model.loading import DEFAULT, is_preset, load_model, pick_model
from findna.model.model import weights_digest
from findna.sequence.genome import Genome
from findna.training.engine import one_device
from findna.training.judgement import write_table
from findna.training.recipes import seconds

__all__ = ["EvaluateResult", "EvaluateSettings", "evaluate"]

OWN = "own data"


def evaluate(
    data: LabelledData | str | Path | None,
    output: str | Path,
    *,
    models: Sequence[str | Path] | str | Path | None = None,
    suite: str | None = None,
    tasks: Sequence[str] = (),
    root: str | Path | None = None,
    others: Sequence[Contender] = (),
    features: Sequence[Features] = (),
    settings: EvaluateSettings | Mapping[str, Any] | None = None,
    genome: Genome | str | Path | None = None,
    pretraining_genome: Genome | str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> EvaluateResult:
    """Evaluate models beside random weights and cheap baselines, on a task or on a suite.

    Args:
        data: labelled rows, or a folder or file of them; None for a suite.
        output: folder of the evaluation; one with the same settings is continued.
        models: folders or `name=folder` (see `lineup.starts`); a preset is random weights;
            None takes the one that comes with findna.
        suite: gue, genomic_benchmarks, mtcdna or findna-paper.
        tasks: names or glob patterns of the suite's tasks; all if empty.
        root: where the suite's data lie; the cache folder if None.
        others: more contenders, such as tables of predictions.
        features: vectors made elsewhere, which pass through the probes.
        settings: protocol, modes and grids, or a mapping of those that are not the defaults.
        genome: FASTA or opened genome for labelled intervals.
        pretraining_genome: what the first model was pretrained on: rows are looked for in it.
        device: auto, cpu, cuda or mps.
        overwrite: start anew in a folder that is there.

    Raises:
        BadInput: what a user can mend; among it a test split that is the validation split.
    """
    settings = EvaluateSettings.of(settings)
    deadline = time.monotonic() + (seconds(settings.budget) if settings.budget else math.inf)
    if suite == PAPER:
        settings = settings.model_copy(update={"every_epoch": True})
    where = one_device(device, "evaluation")
    precision = precision_of(Path(output), settings.precision, where, overwrite)
    settings = settings.model_copy(update={"precision": precision})
    if models is None:
        pick_model(None)  # which says what is used
        models = (DEFAULT,)
    models = _named(models)
    begun = starts(models)
    everyone = contenders(begun, settings, where, others, features)
    prepared = list(prepared_tasks(data, suite, tasks, root, genome, settings))
    _refuse_early(prepared, everyone, settings)
    digests = _digests(begun, prepared, (*others, *features), settings.every_seed)
    with open_folder(Path(output), settings, digests, where, overwrite) as folder:
        _report_leakage(folder, prepared, models, pretraining_genome)
        failed, left = _runs(folder, prepared, everyone, suite or OWN, settings, deadline)
        return tabulate(folder, settings, begun, failed, left)


# ---------------------------------------------------------------- before the first run


def _digests(
    begun: Sequence[Start],
    prepared: Sequence[Prepared],
    tables: Sequence[Features | Contender],
    seeds: Sequence[int],
) -> dict[str, str]:
    """What stands behind the names of models, tables and tasks.

    A second seed tells one model, which it begins from too, from the first of several.
    """
    found = {f"shape of {start.name}": start.shape_digest for start in begun if not start.models}
    for start in (start for start in begun if start.models):
        for at, seed in enumerate(seeds[: max(2, len(start.models))]):
            found[f"model {start.name} {at}"] = weights_digest(start.network(seed))
    for table in tables:
        if isinstance(table, EmbeddingTable | PredictionTable):
            found[f"table {table.name}"] = table.digest
        elif isinstance(table, HuggingFaceEmbedder):
            found[f"embedder {table.name}"] = table.digest
    for task in prepared:
        found[f"classes of {task.name}"] = f"{task.data.kind}: {', '.join(task.data.classes)}"
        found[f"test rows of {task.name}"] = task.test.digest
        found[f"train rows of {task.name}"] = task.data.splits["train"].digest
        if task.dev is not None:
            found[f"dev rows of {task.name}"] = task.dev.digest
    return found


def _refuse_early(
    prepared: Sequence[Prepared], everyone: Sequence[Contender], settings: EvaluateSettings
) -> None:
    """What would only be found wrong once time is spent: a seed whose rows cannot be parted, a
    model that has no seed, a reference that nobody is, a table that lacks rows.
    """
    for task in prepared:
        for seed in settings.every_seed if task.draws else ():
            task.parts(seed)
        for contender in everyone:
            _refuse_table(contender, task, settings)
    for start in filter(None, map(_start_of, everyone)):
        if len(start.models) > len(settings.every_seed):
            raise BadInput(
                f"{start.name} is {len(start.models)} models, one per seed, but there are"
                f" {len(settings.every_seed)} seeds",
                remedy=f"--seeds {len(start.models)}",
            )
    names = [contender.name for contender in everyone]
    twice = sorted(name for name, many in Counter(names).items() if many > 1)
    if twice:
        raise BadInput(
            f"several contenders have the name {', '.join(twice)}",
            remedy="name a model with -m NAME=FOLDER; rename the file of a table or the folder of"
            " another model",
        )
    if settings.reference and settings.reference not in names:
        raise BadInput(
            f"there is no contender {settings.reference}, as given by --reference",
            remedy=f"contenders are: {', '.join(names)}",
        )


def _refuse_table(contender: Contender, task: Prepared, settings: EvaluateSettings) -> None:
    """Ask a table for every row that it will be asked for, which costs nothing."""
    if isinstance(contender, PredictionTable):
        for seed in _seeds(contender, task, settings):
            contender.learn(task.parts(seed), seed).scores(task.test)
    for table in _features([contender]):
        if isinstance(table, EmbeddingTable):
            for rows in task.whole.splits.values():
                table.vectors(rows, settings.first_seed, "table")


# ---------------------------------------------------------------- runs


def _runs(
    folder: Path,
    prepared: Sequence[Prepared],
    everyone: Sequence[Contender],
    suite: str,
    settings: EvaluateSettings,
    deadline: float,
) -> tuple[list[str], int]:
    """Make the runs that are missing; what failed, in words, and how many no time was left for."""
    failed: list[str] = []
    left = 0
    for task in prepared:
        for contender, seed in _missing(folder, task, everyone, settings):
            if time.monotonic() > deadline:
                left += 1
                continue
            try:
                _one_run(folder, task, suite, contender, seed, settings)
            except (BadInput, FullDisk):  # no other run would fare better
                raise
            except FindnaError as error:
                failed.append(f"{task.name}, {contender.name}, seed {seed}: {error}")
                log.warning("%s", failed[-1])
        for held in _features(everyone):
            held.forget()
    if left:
        log.warning("%d runs are left: the same command continues with them", left)
    return failed, left


def _missing(
    folder: Path, task: Prepared, everyone: Sequence[Contender], settings: EvaluateSettings
) -> Iterator[tuple[Contender, int]]:
    """The runs that are not there, contender after contender."""
    for contender in everyone:
        for seed in _seeds(contender, task, settings):
            if not run_file(folder, task.name, contender.name, seed).exists():
                yield contender, seed


def _seeds(contender: Contender, task: Prepared, settings: EvaluateSettings) -> range:
    """One if nothing is drawn; of several pretrained models each has one, as no other seed would
    be a new model.
    """
    if not (contender.draws or task.draws):
        return settings.every_seed[:1]
    start = _start_of(contender)
    if start and start.pretraining_seeds:
        return settings.every_seed[: len(start.models)]
    return settings.every_seed


def _settled(
    folder: Path, task: Prepared, contender: Contender, settings: EvaluateSettings
) -> Mapping[str, Any] | None:
    """What the first seed chose of the grid; None while it has not run, or if each seed tries."""
    first = run_file(folder, task.name, contender.name, settings.first_seed)
    if settings.tune == "each" or not first.exists() or not contender.grid:
        return None
    chosen = read_json(first)["chosen"]
    return {key: chosen[key] for key in contender.grid[0]}


def _one_run(
    folder: Path,
    task: Prepared,
    suite: str,
    contender: Contender,
    seed: int,
    settings: EvaluateSettings,
) -> None:
    """Learn, and only then read the test rows, once."""
    began = time.monotonic()
    settled = _settled(folder, task, contender, settings)
    parts = task.parts(seed)
    learned = contender.learn(parts, seed, settled)
    answers = _answered(task, learned, learned.scores(task.test))
    sizes = {name: len(rows) for name, rows in parts.splits.items()} | {"test": len(task.test)}
    start = _start_of(contender)
    facts = RunFacts(
        suite=suite,
        task=task.name,
        contender=contender.name,
        seed=seed,
        mode=contender.name.split("-")[0],
        protocol=task.protocol,
        primary_metric=task.metric,
        sizes=sizes,
        draws=contender.draws or task.draws,
        pretraining_seeds=start is not None and start.pretraining_seeds,
        chosen=dict(learned.chosen),
        settings_tried=max(1, len(contender.grid)) if settled is None else 1,
        seconds=time.monotonic() - began,
        notes=task.notes,
        selected_epoch=_selected(task, learned),
    )
    run = write_run(folder, facts, answers, task.test)
    found = run.record.metrics[task.metric]
    log.info(
        "%s, %s, seed %d: %s %s (%.0f s)",
        task.name,
        contender.name,
        seed,
        task.metric,
        Metric(**found),  # type: ignore[arg-type]
        facts.seconds,
    )


def _answered(task: Prepared, learned: Learned, scores: Any) -> Answers:
    data = task.data
    return Answers(data.kind, data.classes, task.test.labels, scores, learned.threshold)


def _selected(task: Prepared, learned: Learned) -> SelectedEpoch | None:
    """What the best epoch on test rows would have been; the answer is final by now."""
    if not isinstance(learned, FinetunedNetwork) or not learned.weights:
        return None
    every = [_answered(task, learned, scores) for scores in learned.scores_by_epoch(task.test)]
    return selected_epoch(every, learned.fitted.epoch, task.metric)


def _features(everyone: Sequence[Contender]) -> list[Features]:
    """What probes read."""
    return [c.source for c in everyone if isinstance(c, LinearProbe | NeighbourProbe)]


def _start_of(contender: Contender) -> Start | None:
    """The networks that a contender begins with, if they are ours."""
    if isinstance(contender, FinetuneContender):
        return contender.start
    ours = [read.start for read in _features([contender]) if isinstance(read, NetworkFeatures)]
    return ours[0] if ours else None


# ---------------------------------------------------------------- leakage


def _report_leakage(
    folder: Path,
    prepared: Sequence[Prepared],
    models: Sequence[str],
    genome: Genome | str | Path | None,
) -> None:
    """One table a task; one of the same rows, model, genome and other tasks is kept."""
    genome = Genome.of(genome)
    pretrained = next((m for m in models if not is_preset(m)), None)
    model = None if pretrained is None else folders_of(pretrained)[0]
    held = {
        "rows": {task.name: _digests_of_splits(task.whole) for task in prepared},
        "model": None if model is None else weights_digest(load_model(model)),
        "genome": None if genome is None else genome.digest,
    }
    for task in prepared:
        file = folder / "leakage" / f"{task.name}.tsv"
        made_from = file.with_suffix(".json")
        if file.exists() and made_from.exists() and read_json(made_from) == held:
            continue
        report = leakage(
            task.whole,
            model=model,
            genome=genome,
            others={each.name: each.whole for each in prepared if each is not task},
        )
        write_table(report.table, file)
        write_json(made_from, held)
        for split in ("train", "dev"):
            if share := report.share("test", split):
                log.warning("%s: %.1f %% of test rows match %s", task.name, 100 * share, split)


def _named(models: Sequence[str | Path] | str | Path) -> list[str]:
    """One model or several as words; `TypeError` for what is no name, such as a model in memory."""
    names = several(models)
    for model in names:
        if not isinstance(model, str | Path):
            raise TypeError(f"models are folders or names, not {type(model).__name__}")
    return list(map(str, names))


def _digests_of_splits(data: LabelledData) -> dict[str, str]:
    return {split: rows.digest for split, rows in data.splits.items()}
