"""Metrics of predictions, each with its averaging in its name.

Every metric is a function of the answers and of `counts` (B, n): how often each of the n rows
occurs in each of B resamples. The value itself is the case of one row of ones; a bootstrap interval
is the same function on resampled counts, so that 1,000 resamples cost a few matrix operations and
two models are compared on the same resamples. The tests compare every metric with scikit-learn,
scipy and hand-made tables.

An undefined metric (one class only, all labels equal) is NaN internally and `None` with a reason in
results, never 0. One convention of scikit-learn is kept: the MCC of constant predictions is 0 if
the labels vary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from findna.data.labelled import Labels, decide
from findna.data.parts import TaskKind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Answers:
    """Labels of n rows and the predictions of a model.

    labels: class index (n,) for binary and multiclass; 0/1 (n, K) for multilabel; values (n, T) for
        regression.
    scores: probabilities (n, K) for classification, K = len(classes); predicted values (n, T) for
        regression.
    threshold: a binary prediction is classes[1] from this probability on; one, or one per row (n,).
    """

    kind: TaskKind
    classes: tuple[str, ...]
    labels: Labels
    scores: Floats
    threshold: float | Floats = 0.5

    def __post_init__(self) -> None:
        """Refuse scores of the wrong shape."""
        if self.scores.shape != (len(self.labels), len(self.classes)):
            expected = (len(self.labels), len(self.classes))
            raise ValueError(f"scores have shape {self.scores.shape}, expected {expected}")

    def __len__(self) -> int:
        """Rows."""
        return len(self.labels)

    @property
    def predicted(self) -> Ints:
        """Predicted class index (n,), 0/1 (n, K) for multilabel; `ValueError` for regression."""
        return decide(self.kind, self.scores, self.threshold)


@dataclass(frozen=True)
class Metric:
    """A value with its 95 % interval, or None with the reason why it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def as_dict(self) -> dict[str, float | str | None]:
        """Its form in metrics.json."""
        if self.value is None:
            return {"value": None, "reason": self.reason}
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        """`0.712 [0.655, 0.769]`, or `undefined (reason)`."""
        if self.value is None:
            return f"undefined ({self.reason})"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


# ---------------------------------------------------------------- from confusion tables


def _tables(labels: Ints, predicted: Ints, classes: int, counts: Floats) -> Floats:
    """Confusion tables (B, K, K): rows are labels, columns are predictions."""
    cell = labels * classes + predicted
    flat = [np.bincount(cell, weights=row, minlength=classes * classes) for row in counts]
    return np.stack(flat).reshape(-1, classes, classes).astype(np.float64)


def _accuracy_of(tables: Floats) -> Floats:
    return _divide(np.trace(tables, axis1=1, axis2=2), tables.sum((1, 2)))


def _balanced_accuracy_of(tables: Floats) -> Floats:
    recall = _divide(np.diagonal(tables, axis1=1, axis2=2), tables.sum(2))
    return _undefined_where(_one_class(tables), _nanmean(recall))


def _f1_by_class(tables: Floats) -> Floats:
    """F1 (B, K); NaN for a class in neither labels nor predictions."""
    hits = np.diagonal(tables, axis1=1, axis2=2)
    return _divide(2 * hits, tables.sum(1) + tables.sum(2))


def _macro_f1_of(tables: Floats) -> Floats:
    """Mean over the classes in labels or predictions, as in scikit-learn and the GUE script."""
    return _undefined_where(_one_class(tables), _nanmean(_f1_by_class(tables)))


def mcc_of(tables: Floats) -> Floats:
    """Matthews correlation (B,) of confusion tables (B, K, K), labels in rows (Gorodkin 2004)."""
    total, right = tables.sum((1, 2)), np.trace(tables, axis1=1, axis2=2)
    truth, said = tables.sum(2), tables.sum(1)
    above = right * total - (truth * said).sum(1)
    below = (total**2 - (said**2).sum(1)) * (total**2 - (truth**2).sum(1))
    mcc = np.where(below > 0, above / np.sqrt(np.where(below > 0, below, 1)), 0.0)
    return _undefined_where(_one_class(tables), mcc)


def _one_class(tables: Floats) -> NDArray[np.bool_]:
    return np.asarray((tables.sum(2) > 0).sum(1) < 2)


def _from_table(rule: Callable[[Floats], Floats]) -> Callable[[Answers, Floats], Floats]:
    def metric(answers: Answers, counts: Floats) -> Floats:
        labels = answers.labels.astype(np.int64)
        return rule(_tables(labels, answers.predicted, len(answers.classes), counts))

    return metric


def _over_labels(rule: Callable[[Floats], Floats]) -> Callable[[Answers, Floats], Floats]:
    """Mean of a rule for 2 × 2 tables over the labels of a multilabel task, undefined if one is."""

    def metric(answers: Answers, counts: Floats) -> Floats:
        said, labels = answers.predicted, answers.labels.astype(np.int64)
        each = [
            rule(_tables(labels[:, k], said[:, k], 2, counts)) for k in range(len(answers.classes))
        ]
        return np.asarray(np.mean(each, axis=0))

    return metric


def _positive_f1_of(tables: Floats) -> Floats:
    return _undefined_where(_one_class(tables), _f1_by_class(tables)[:, 1])


def _exact_match(answers: Answers, counts: Floats) -> Floats:
    right = (answers.predicted == answers.labels).all(axis=1)
    return _divide(counts @ right.astype(np.float64), counts.sum(1))


# ---------------------------------------------------------------- from ranked probabilities


def _hits_and_alarms(positive: Floats, scores: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """True and false positives (B, G) at each of the G distinct scores, highest first."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    ordered, truth = counts[:, order], positive[order]
    return (ordered * truth).cumsum(1)[:, ends], (ordered * (1 - truth)).cumsum(1)[:, ends]


def _auroc_of(positive: Floats, scores: Floats, counts: Floats) -> Floats:
    """Area under the ROC curve by trapezoids; ties count half."""
    hits, alarms = (_from_zero(x) for x in _hits_and_alarms(positive, scores, counts))
    area = (np.diff(alarms) * (hits[:, 1:] + hits[:, :-1]) / 2).sum(1)
    return _divide(area, hits[:, -1] * alarms[:, -1])


def _auprc_of(positive: Floats, scores: Floats, counts: Floats) -> Floats:
    """Average precision: precision at each distinct score, weighted by the recall it adds."""
    hits, alarms = _hits_and_alarms(positive, scores, counts)
    precision = np.nan_to_num(_divide(hits, hits + alarms))
    area = _divide((np.diff(_from_zero(hits)) * precision).sum(1), hits[:, -1])
    return _undefined_where(alarms[:, -1] == 0, area)


def _binary_curve(
    rule: Callable[[Floats, Floats, Floats], Floats],
) -> Callable[[Answers, Floats], Floats]:
    def metric(answers: Answers, counts: Floats) -> Floats:
        return rule((answers.labels == 1).astype(np.float64), answers.scores[:, 1], counts)

    return metric


def _mean_over(
    rule: Callable[[Floats, Floats, Floats], Floats],
) -> Callable[[Answers, Floats], Floats]:
    """Mean over classes, each against the rest, or over targets; undefined if one is, such as a
    class without rows.
    """

    def metric(answers: Answers, counts: Floats) -> Floats:
        truth = _truth(answers)
        each = [rule(truth[:, k], answers.scores[:, k], counts) for k in range(truth.shape[1])]
        return np.asarray(np.mean(each, axis=0))

    return metric


def _truth(answers: Answers) -> Floats:
    """Labels of a classification task as 0/1 (n, K), or the values (n, T) of a regression."""
    if answers.kind in ("multilabel", "regression"):
        return answers.labels.astype(np.float64)
    return np.eye(len(answers.classes))[answers.labels.astype(np.int64)]


# ---------------------------------------------------------------- from values


def _r2_of(truth: Floats, said: Floats, counts: Floats) -> Floats:
    _, spread = _centred(truth[None], counts)
    return 1 - _divide(counts @ (truth - said) ** 2, spread)


def _pearson_of(truth: Floats, said: Floats, counts: Floats) -> Floats:
    return _correlation(truth[None], said[None], counts)


def _spearman_of(truth: Floats, said: Floats, counts: Floats) -> Floats:
    return _correlation(_midranks(truth, counts), _midranks(said, counts), counts)


def _midranks(values: Floats, counts: Floats) -> Floats:
    """Ranks (B, n) within each resample; equal values share their mean rank."""
    order = np.argsort(values, kind="stable")
    first = np.append(True, np.diff(values[order]) != 0)
    group = first.cumsum() - 1
    up_to = counts[:, order].cumsum(1)[:, np.append(np.flatnonzero(first)[1:] - 1, len(values) - 1)]
    middle = (up_to + _from_zero(up_to)[:, :-1]) / 2
    ranks = np.empty_like(counts)
    ranks[:, order] = middle[:, group]
    return ranks


def _correlation(x: Floats, y: Floats, counts: Floats) -> Floats:
    """Pearson correlation (B,) of x and y (B or 1, n), rows weighted by `counts`."""
    x, xx = _centred(x, counts)
    y, yy = _centred(y, counts)
    return _divide((counts * x * y).sum(1), np.sqrt(xx * yy))


def _centred(x: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Values minus their mean (B, n), and the sum of squares (B,): 0 where all are equal."""
    centred = x - (counts * x).sum(1, keepdims=True) / counts.sum(1, keepdims=True)
    squares = (counts * centred**2).sum(1)
    # For equal values, rounding leaves a spurious spread.
    return centred, np.where(squares > 1e-26 * (counts * x**2).sum(1), squares, 0)


# ---------------------------------------------------------------- small arithmetic


def _divide(above: Floats, below: Floats) -> Floats:
    """Quotient, NaN where the divisor is 0."""
    fine = below != 0
    return np.where(fine, above / np.where(fine, below, 1), np.nan)


def _undefined_where(bad: NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(bad, np.nan, values)


def _nanmean(values: Floats) -> Floats:
    """Mean over the last axis, ignoring NaN; NaN where all are."""
    fine = ~np.isnan(values)
    return _divide(np.where(fine, values, 0).sum(-1), fine.sum(-1).astype(np.float64))


def _from_zero(values: Floats) -> Floats:
    return np.concatenate([np.zeros((len(values), 1)), values], axis=1)


# ---------------------------------------------------------------- the metrics by name

_BY_TABLE = {
    "accuracy": _from_table(_accuracy_of),
    "balanced_accuracy": _from_table(_balanced_accuracy_of),
    "macro_f1": _from_table(_macro_f1_of),
    "mcc": _from_table(mcc_of),
}
_METRICS: dict[TaskKind, dict[str, Callable[[Answers, Floats], Floats]]] = {
    "binary": {
        **_BY_TABLE,
        "auroc": _binary_curve(_auroc_of),
        "auprc": _binary_curve(_auprc_of),
    },
    "multiclass": {
        **_BY_TABLE,
        "auroc_macro_one_vs_rest": _mean_over(_auroc_of),
        "auprc_macro_one_vs_rest": _mean_over(_auprc_of),
    },
    "multilabel": {
        "exact_match": _exact_match,
        "accuracy_macro": _over_labels(_accuracy_of),
        "macro_f1": _over_labels(_positive_f1_of),
        "mcc_macro": _over_labels(mcc_of),
        "auroc_macro": _mean_over(_auroc_of),
        "auprc_macro": _mean_over(_auprc_of),
    },
    "regression": {
        "r2": _mean_over(_r2_of),
        "pearson": _mean_over(_pearson_of),
        "spearman": _mean_over(_spearman_of),
    },
}
_PRIMARY: dict[TaskKind, str] = {
    "binary": "mcc",
    "multiclass": "mcc",
    "multilabel": "mcc_macro",
    "regression": "r2",
}


def metric_names(kind: TaskKind) -> tuple[str, ...]:
    """Metrics of a kind of task; those of several regression targets are unweighted means."""
    return tuple(_METRICS[kind])


def primary_metric(kind: TaskKind) -> str:
    """The metric that selects epochs and settings on validation rows."""
    return _PRIMARY[kind]


def value(name: str, answers: Answers) -> float | None:
    """One metric without interval; None where it is not defined."""
    found = float(resampled(name, answers, np.ones((1, len(answers))))[0])
    return None if np.isnan(found) else found


def confusion(answers: Answers) -> pd.DataFrame:
    """Labels in rows, predictions in columns; for multilabel one row of four counts per label."""
    labels, said = answers.labels.astype(np.int64), answers.predicted
    if answers.kind == "multilabel":
        cells = [
            np.bincount(labels[:, k] * 2 + said[:, k], minlength=4)
            for k in range(len(answers.classes))
        ]
        columns = ["true_negative", "false_positive", "false_negative", "true_positive"]
        return pd.DataFrame(np.stack(cells), index=list(answers.classes), columns=columns)
    table = _tables(labels, said, len(answers.classes), np.ones((1, len(answers))))[0]
    names = list(answers.classes)
    return pd.DataFrame(table.astype(np.int64), index=names, columns=names)


# ---------------------------------------------------------------- how a value becomes a Metric


def resampled(name: str, answers: Answers, counts: Floats) -> Floats:
    """One metric (B,) on the resamples that `counts` (B, n) describe; NaN where it is undefined."""
    if len(answers) == 0:
        return np.full(len(counts), np.nan)
    return _METRICS[answers.kind][name](answers, counts)


def why_undefined(answers: Answers) -> str:
    """Why a metric of these rows is undefined, in a few words."""
    if len(answers) == 0:
        return "no rows"
    if answers.kind == "regression":
        return _why_undefined_values(answers)
    rows = _truth(answers).sum(0)
    full = [c for c, k in zip(answers.classes, rows, strict=True) if k == len(answers)]
    if answers.kind != "multilabel" and full:
        return f"only class {full[0]} in these {len(answers)} rows"
    empty = [c for c, k in zip(answers.classes, rows, strict=True) if k == 0]
    return (
        f"no row of class {', '.join(empty or full)}"
        if empty
        else f"every row is {', '.join(full)}"
    )


def _why_undefined_values(answers: Answers) -> str:
    if len(answers) < 2:
        return "fewer than two rows"
    labels = answers.labels.astype(np.float64)
    return (
        "all labels are equal"
        if (np.ptp(labels, axis=0) == 0).any()
        else "all predictions are equal"
    )
