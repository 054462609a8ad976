"""The tasks of an evaluation: read, parted, and written out for a model of another environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from findna.data.labelled import LabelledData
from findna.data.labels import read_labelled
from findna.data.parts import TaskKind
from findna.evaluation.leakage.check import leakage
from findna.evaluation.leakage.report import drop_leaks
from findna.evaluation.preparation import Prepared, prepare
from findna.evaluation.results import label_columns
from findna.evaluation.settings import EvaluateSettings
from findna.evaluation.suites.registry import tasks_of
from findna.evaluation.suites.rows import read_task
from findna.files import BadInput, cache_folder
from findna.sequence.alphabet import decode
from findna.sequence.genome import Genome


def rows_to_answer(
    data: LabelledData | str | Path | None = None,
    *,
    suite: str | None = None,
    tasks: Sequence[str] = (),
    root: str | Path | None = None,
    settings: EvaluateSettings | Mapping[str, Any] | None = None,
    genome: Genome | str | Path | None = None,
) -> pd.DataFrame:
    """The rows of an evaluation as a model made elsewhere needs them: its embeddings or predictions
    come back as a table with these ids (see `contenders.tables`).

    Args:
        data, suite, tasks, root, settings, genome: as in `evaluate`.

    Returns:
        `id`, `task`, `split` (train, dev, test), `sequence`, and `label` (`label_NAME` for several
        labels and for values), which is missing where the split is test. Where there is no dev
        split, `evaluate` draws the rows that choose from train, for each seed others.

    Raises:
        BadInput: what `evaluate` refuses of data and suite.
    """
    settings = EvaluateSettings.of(settings)
    each = prepared_tasks(data, suite, tasks, root, genome, settings)
    return pd.concat(map(_rows_of, each), ignore_index=True)


def _rows_of(task: Prepared) -> pd.DataFrame:
    parts = []
    for split, rows in task.whole.splits.items():
        sequences = [decode(codes) for codes in rows.codes]
        told = {"id": rows.ids, "task": task.name, "split": split, "sequence": sequences}
        if split != "test":
            told |= label_columns(task.data.kind, task.data.classes, rows.labels)
        parts.append(pd.DataFrame(told))
    return pd.concat(parts, ignore_index=True)


def prepared_tasks(
    data: LabelledData | str | Path | None,
    suite: str | None,
    tasks: Sequence[str],
    root: str | Path | None,
    genome: Genome | str | Path | None,
    settings: EvaluateSettings,
) -> Iterator[Prepared]:
    """Every task, read and parted; what is wrong with any of them is said before the first run."""
    if (data is None) == (suite is None):
        raise BadInput(
            "evaluate takes either labelled data or a suite",
            remedy="give DATA, or --suite gue --task tf/0",
        )
    if suite is not None:
        yield from _of_suite(suite, tasks, root, genome, settings)
    elif data is not None:
        _refuse_what_suites_have(tasks, root, settings)
        genome = Genome.of(genome)
        if not isinstance(data, LabelledData):
            data = read_labelled(data, genome=genome, settings=settings)
        name = _safe(Path(data.source).name.split(".")[0])
        yield prepare(name, _without_leaks(data, settings), settings)


def _of_suite(
    suite: str,
    tasks: Sequence[str],
    root: str | Path | None,
    genome: Genome | str | Path | None,
    settings: EvaluateSettings,
) -> Iterator[Prepared]:
    if genome is not None:
        raise BadInput(
            "-g is for your own labelled intervals; a suite already has sequences",
            remedy="leave out -g; --pretraining-genome is the genome the model was pretrained on",
        )
    where = Path(root) if root else cache_folder() / "data"
    for task in tasks_of(suite, tasks):
        found = read_task(task, where, settings, dev_as_train=settings.dev_as_train)
        # Row 1 of one task is not row 1 of the next.
        rows = _without_leaks(found.data, settings).named(task.name)
        yield prepare(task.name, rows, settings, found.notes, task.metric)


def _refuse_what_suites_have(
    tasks: Sequence[str], root: str | Path | None, settings: EvaluateSettings
) -> None:
    """What says something of a suite, where labelled data were given."""
    if tasks or root:
        kind = next((task for task in tasks if task in get_args(TaskKind)), None)
        raise BadInput(
            "tasks and their folder belong to a suite, but labelled data were given",
            remedy=f"--set task={kind} gives the kind of the labels"
            if kind
            else "name a suite, or leave them out",
        )
    if settings.dev_as_train:
        raise BadInput(
            "dev rows serve as training rows only for tasks of a suite",
            remedy="leave out --dev-as-train, and name the dev file of your own data train",
        )


def _without_leaks(data: LabelledData, settings: EvaluateSettings) -> LabelledData:
    """The rows to begin with; those of dev may come to join train. They have their names before
    any goes: tables were made from the files.
    """
    if not settings.drop:
        return data
    joins = settings.split not in ("auto", "official")
    return drop_leaks(data.named(), leakage(data), dev=joins)


def _safe(name: str) -> str:
    """A task name that can be a folder."""
    return "_".join(name.split()) or "task"
