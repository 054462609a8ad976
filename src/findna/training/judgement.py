"""How good a fine-tuned model was found to be, and the tables that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.splits import Fold
from findna.files import atomic_file
from findna.inference.answers import answer_columns, label_words, with_whole_values
from findna.metrics import Answers, Metric, confusion, primary_metric
from findna.model.heads import TaskConfig
from findna.resampling import measure, permutation_p_value
from findna.training.calibration import measured

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 1000
PERMUTATIONS = 1000


@dataclass(frozen=True, eq=False)
class Judgement:
    """Answers to rows that took no part in any choice; one entry of `answers` per repeat.

    `folds` holds the fold number (n,) of every row in each repeat and is empty for a test split;
    intervals are drawn over whole `groups` (n,) where they are given. `calibrated` holds the
    probabilities (n, classes) that stand in tables in place of those of `answers`, and is empty
    where nothing was calibrated; metrics are about ranks and decisions, those of `answers`.
    """

    protocol: str
    rows: LabelledSplit
    answers: list[Answers]
    groups: NDArray[np.int64] | None
    folds: list[NDArray[np.int64]] = field(default_factory=list)
    calibrated: list[NDArray[np.float64]] = field(default_factory=list)

    def metrics(self, seed: int) -> dict[str, Metric]:
        """Every metric of the task with its interval, averaged over repeats."""
        return measure(self.answers, resamples=RESAMPLES, seed=seed, groups=self.groups)

    def p_values(self, seed: int) -> dict[str, float | None]:
        """Permutation p-value of the primary metric; only cross-validation is judged so."""
        if not self.folds:
            return {}
        name = primary_metric(self.answers[0].kind)
        found = permutation_p_value(
            name, self.answers, permutations=PERMUTATIONS, seed=seed, groups=self.groups
        )
        return {name: found}

    def honesty(self) -> dict[str, dict[str, Any]]:
        """How honest probabilities are, `before` and, where there is one, `after` calibration."""
        kind = self.answers[0].kind
        if kind == "regression":
            return {}
        found = {"before": [each.scores for each in self.answers], "after": self.calibrated}
        labels = self.rows.labels
        return {when: measured(kind, labels, np.array(s)) for when, s in found.items() if s}

    def predictions(self, task: TaskConfig) -> pd.DataFrame:
        """One row for each judged row in its order, repeat after repeat."""
        tables = [self._table(task, at) for at in range(len(self.answers))]
        return pd.concat(tables, ignore_index=True)

    def _table(self, task: TaskConfig, at: int) -> pd.DataFrame:
        rows, answers = self.rows, self.answers[at]
        scores = self.calibrated[at] if self.calibrated else answers.scores
        said = None if answers.kind == "regression" else answers.predicted
        rounds = {"repeat": at + 1, "fold": self.folds[at] + 1} if self.folds else {}
        return pd.DataFrame(
            {
                "id": rows.ids,
                "row": rows.rows,
                "length": rows.lengths,
                **rounds,
                **_label_columns(rows, task),
                **answer_columns(scores, said, task),
            }
        )

    def confusion(self) -> pd.DataFrame | None:
        """Labels in rows, answers in columns, summed over repeats; None for regression."""
        if self.answers[0].kind == "regression":
            return None
        first, *others = (confusion(each) for each in self.answers)
        return sum(others, start=first)


class Folded:
    """Answers gathered fold by fold: every row of a cross-validation is answered once a repeat."""

    def __init__(
        self, data: LabelledData, rows: LabelledSplit, groups: Ints, plan: Sequence[Fold]
    ) -> None:
        """Nothing is answered yet; `plan` holds every fold of every repeat, in order."""
        self.data, self.rows, self.groups = data, rows, groups
        shape = (plan[-1].repeat + 1, len(rows))
        self.scores = np.zeros((*shape, len(data.classes)))
        self.thresholds, self.numbers = np.zeros(shape), np.zeros(shape, np.int64)

    def add(self, fold: Fold, scores: Floats, threshold: float) -> None:
        """The scores of the rows that a fold tests, and its threshold."""
        here = (fold.repeat, fold.test)
        self.scores[here], self.thresholds[here] = scores, threshold
        self.numbers[here] = fold.number

    def judgement(self, calibrated: Sequence[Floats] = ()) -> Judgement:
        """What all folds say together."""
        data, labels = self.data, self.rows.labels
        answers = [
            Answers(data.kind, data.classes, labels, *pair)
            for pair in zip(self.scores, self.thresholds, strict=True)
        ]
        repeats, folds = len(self.numbers), int(self.numbers.max()) + 1
        repeated = f" repeated {repeats} times" if repeats > 1 else ""
        protocol = (
            f"{folds}-fold cross-validation{repeated}, stratified, groups and near-duplicates kept"
            " together, every choice made inside its fold"
        )
        return Judgement(
            protocol, self.rows, answers, self.groups, list(self.numbers), list(calibrated)
        )


def _label_columns(rows: LabelledSplit, task: TaskConfig) -> dict[str, Any]:
    if task.kind != "regression":
        return {"label": label_words(rows.labels.astype(np.int64), task)}
    several = len(task.classes) > 1
    return {
        f"label_{name}" if several else "label": rows.labels[:, t]
        for t, name in enumerate(task.classes)
    }


def write_table(table: pd.DataFrame, path: Path, *, index: bool = False) -> None:
    """A TSV: floats with six significant digits, values of a regression with all of theirs."""
    text = with_whole_values(table)
    with atomic_file(path, overwrite=True) as made:
        text.to_csv(made, sep="\t", index=index, float_format="%.6g", na_rep="NA")
