"""The files of an evaluation: one JSON and one table of answers a run, and the tables made of them.

    runs/<task>/<contender>/<seed>.json      what was run, what it chose, every metric
    runs/<task>/<contender>/<seed>.parquet   id, row, group, label, and p_<class> or value_<target>

The answers are written first and the JSON last, each atomically: where there is a JSON the run is
whole, so that an interrupted evaluation goes on at the next run. Answers are stored with all their
digits: everything here can be computed anew from the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from findna.data.labelled import LabelledSplit, Labels
from findna.data.parts import TaskKind
from findna.evaluation.comparison import Floats, Ints, Scored, SelectedEpoch
from findna.files import BadInput, OutputExists, atomic_file, log, read_json, write_json
from findna.metrics import Answers
from findna.resampling import measure
from findna.settings import Settings

_RERUN = "delete it and start the evaluation again; only this run is repeated"


CONTENDER_NAME = r"^[^\s/.][^\s/]*$"


class RunFacts(Settings):
    """What a run is, known before its answers are judged."""

    suite: str = Field(description="Tables are made per suite.")
    task: str = Field(pattern=r"^[^\s/.][^\s/]*(/[^\s/.][^\s/]*)*$", description="gue/tf/0.")
    contender: str = Field(pattern=CONTENDER_NAME, description="linear-human-30m.")
    seed: int = Field(ge=0, description="Of every draw of this run.")
    mode: str = Field(description="Full fine-tuning, linear probe, few-shot with n a class ...")
    protocol: str = Field(description="Splits, what chose settings, when test rows were read.")
    primary_metric: str = Field(description="The metric of the tables.")
    sizes: dict[str, int] = Field(description="Rows of train, dev and test.")
    draws: bool = Field(True, description="Whether another seed could give another answer.")
    pretraining_seeds: bool = Field(
        False, description="Whether another seed is a model pretrained anew."
    )
    chosen: dict[str, Any] = Field({}, description="Settings that validation rows chose.")
    settings_tried: int = Field(1, ge=1, description="The whole tuning budget.")
    seconds: float = Field(0, ge=0, description="Wall-clock time of learning and answering.")
    notes: tuple[str, ...] = Field((), description="What a reader must know, one sentence each.")
    selected_epoch: SelectedEpoch | None = Field(
        None, description="What selection of the epoch on test rows would have added."
    )


class RunRecord(RunFacts):
    """The JSON file of a run."""

    format: Literal[1] = 1
    kind: TaskKind
    classes: tuple[str, ...]
    threshold: float
    rows: int = Field(ge=0, description="Test rows answered, those of the parquet file.")
    metrics: dict[str, dict[str, float | str | None]]


@dataclass(frozen=True)
class Run:
    """A finished run and its JSON file; the answers lie beside it."""

    record: RunRecord
    file: Path

    def table(self) -> pd.DataFrame:
        """The stored answers, one row a test row in its order; `BadInput` if they are broken."""
        try:
            return pd.read_parquet(_answers_file(self.file))
        except (OSError, pa.ArrowException) as error:
            raise _broken(_answers_file(self.file), error) from None

    def answers(self) -> Answers:
        """Labels and scores, as they were judged."""
        return _answers(self.table(), self.record)

    def groups(self) -> Ints | None:
        """Group of each test row (n,), if the task has groups."""
        table = self.table()
        return table["group"].to_numpy(np.int64) if "group" in table else None


# ---------------------------------------------------------------- writing


def run_file(folder: Path, task: str, contender: str, seed: int) -> Path:
    """The JSON file of a run; where it exists the run is finished."""
    return folder / "runs" / task / contender / f"{seed}.json"


def write_run(
    folder: Path,
    facts: RunFacts,
    answers: Answers,
    rows: LabelledSplit,
    *,
    resamples: int = 1000,
) -> Run:
    """Judge the answers to the test rows and write both files, the JSON last.

    The interval of each metric here is over test rows (or groups) alone; those over seeds are in
    the tables.

    Raises:
        OutputExists: the run is there already.
        ValueError: answers to other rows, or with a threshold of their own for each row.
    """
    file = run_file(folder, facts.task, facts.contender, facts.seed)
    if file.exists():
        raise OutputExists(
            "another process has written this run in the meantime",
            file=file,
            remedy="the same command continues with the runs that are left",
        )
    if len(rows) != len(answers) or not isinstance(answers.threshold, int | float):
        raise ValueError("predictions for all test rows with one threshold are needed")
    found = measure(answers, resamples=resamples, groups=rows.groups)
    record = RunRecord(
        **dict(facts),
        kind=answers.kind,
        classes=answers.classes,
        threshold=float(answers.threshold),
        rows=len(rows),
        metrics={name: metric.as_dict() for name, metric in found.items()},
    )
    with atomic_file(_answers_file(file), overwrite=True) as made:
        _table(answers, rows).to_parquet(made, index=False)
    write_json(file, record.model_dump(mode="json"))
    return Run(record, file)


def _answers_file(file: Path) -> Path:
    return file.with_suffix(".parquet")


def _table(answers: Answers, rows: LabelledSplit) -> pd.DataFrame:
    columns: dict[str, Any] = {"id": rows.ids, "row": rows.rows}
    if rows.groups is not None:
        columns["group"] = rows.groups
    columns |= label_columns(answers.kind, answers.classes, answers.labels)
    head = _score_head(answers.kind)
    # All digits: probabilities near 1 are told apart by the last of them.
    scores = answers.scores
    return pd.DataFrame(
        columns | {f"{head}{c}": scores[:, k] for k, c in enumerate(answers.classes)}
    )


def label_columns(kind: TaskKind, classes: Sequence[str], labels: Labels) -> dict[str, Any]:
    """`label` by name, or `label_NAME` for each of several labels and of the targets."""
    if kind in ("binary", "multiclass"):
        return {"label": np.array(classes)[labels.astype(np.int64)]}
    return {f"label_{name}": labels[:, k] for k, name in enumerate(classes)}


def _score_head(kind: TaskKind) -> str:
    return "value_" if kind == "regression" else "p_"


# ---------------------------------------------------------------- reading


def read_runs(folder: Path) -> list[Run]:
    """All finished runs by task, contender and seed; what is unfinished is logged.

    Raises:
        BadInput: files that are broken, of another version or in the wrong place; it names each.
    """
    runs, broken = [], []
    for file in sorted((folder / "runs").rglob("[!.]*.json")):
        try:
            runs.append(_read_run(folder, file))
        except BadInput as error:
            broken.append(str(error))
    if broken:
        raise BadInput("\n".join(broken))
    for file in sorted((folder / "runs").rglob("[!.]*.parquet")):
        if not file.with_suffix(".json").exists():
            log.warning("%s: predictions of an unfinished run, not used", file)
    return sorted(runs, key=lambda r: (r.record.task, r.record.contender, r.record.seed))


def _read_run(folder: Path, file: Path) -> Run:
    found = read_json(file)
    if not isinstance(found, dict):
        raise BadInput("is not the record of a run", file=file, remedy=_RERUN)
    record = RunRecord.parse(found, source=str(file))
    if file != run_file(folder, record.task, record.contender, record.seed):
        says = f"{record.task}, {record.contender}, seed {record.seed}"
        raise BadInput(f"is the run of {says}: it was moved or renamed", file=file, remedy=_RERUN)
    _check_answers(_answers_file(file), record)
    return Run(record, file)


def _check_answers(file: Path, record: RunRecord) -> None:
    """Without reading them: the file is whole, its rows and its columns are those of the record."""
    try:
        with pq.ParquetFile(file) as opened:
            rows, columns = opened.metadata.num_rows, set(opened.schema_arrow.names)
    except (OSError, pa.ArrowException) as error:
        raise _broken(file, error) from None
    missing = sorted(set(_needed_columns(record)) - columns)
    if missing:
        raise BadInput(f"has no column {', '.join(missing)}", file=file, remedy=_RERUN)
    if rows != record.rows:
        raise BadInput(
            f"holds {rows} rows, but {record.rows} were judged", file=file, remedy=_RERUN
        )


def _broken(file: Path, error: Exception) -> BadInput:
    problem = "is missing" if isinstance(error, FileNotFoundError) else f"is broken ({error})"
    return BadInput(problem, file=file, remedy=f"{_RERUN}: delete {file.with_suffix('.json').name}")


def _label_columns(record: RunRecord) -> list[str]:
    if record.kind in ("binary", "multiclass"):
        return ["label"]
    return [f"label_{c}" for c in record.classes]


def _score_columns(record: RunRecord) -> list[str]:
    return [f"{_score_head(record.kind)}{c}" for c in record.classes]


def _needed_columns(record: RunRecord) -> list[str]:
    return ["id", "row", *_label_columns(record), *_score_columns(record)]


def _answers(table: pd.DataFrame, record: RunRecord) -> Answers:
    scores: Floats = table[_score_columns(record)].to_numpy(np.float64)
    labels: Any = table[_label_columns(record)].to_numpy()
    if record.kind in ("binary", "multiclass"):
        number = {name: k for k, name in enumerate(record.classes)}
        labels = np.array([number[word] for word in labels[:, 0]], np.int64)
    return Answers(record.kind, record.classes, labels, scores, record.threshold)


def scored(runs: Sequence[Run]) -> Scored:
    """The seeds of one contender on one task, ready to be compared.

    Raises:
        BadInput: their answers are to different test rows.
    """
    first = runs[0].record
    try:
        return Scored(
            first.task,
            first.contender,
            tuple(run.record.seed for run in runs),
            tuple(run.answers() for run in runs),
            runs[0].groups(),
            all(run.record.pretraining_seeds for run in runs),
        )
    except ValueError as error:
        raise BadInput(str(error), file=runs[0].file.parent) from None


# ---------------------------------------------------------------- one line a number


def tidy(runs: Sequence[Run]) -> pd.DataFrame:
    """results.tsv: one row for each task, contender, seed and metric; NA where it is undefined."""
    return pd.DataFrame(
        [
            {
                "suite": run.record.suite,
                "task": run.record.task,
                "contender": run.record.contender,
                "mode": run.record.mode,
                "seed": run.record.seed,
                "metric": name,
                "primary": name == run.record.primary_metric,
                "value": metric.get("value"),
                "low": metric.get("low"),
                "high": metric.get("high"),
                "undefined": metric.get("reason"),
            }
            for run in runs
            for name, metric in run.record.metrics.items()
        ]
    )
