"""Calibration: what the logits of a network are worth, by rows it did not learn from.

A binary task and every label of a multilabel one get a slope and a shift (Platt 1999), a multiclass
task one slope and a shift a class (Guo et al. 2017 with the bias correction of Alexandari et al.
2020). Nothing can run away where few or separable rows would let it: labels are softened, so that
no class is ever certain (as in Platt's section 2.2; of several classes by the number of all rows,
which the slope is fitted to), and ln(slope) has a standard normal prior, which also keeps the slope
positive: ranks stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, softmax

from findna.data.labelled import Labels
from findna.data.parts import TaskKind
from findna.inference.answers import scores_of
from findna.inference.calibration import recalibrated
from findna.model.heads import Calibration, TaskConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FEWEST_ROWS = 100
_BINS, _ROWS_A_BIN = 15, 20
_ROUNDING = 1e-9  # of the largest logit


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Logits (repeats, n, outputs) of rows that the network did not learn from, and their labels.

    `what` names the rows in a sentence. Folds may have trained different things, and the logits of
    a probe and of a network do not spread alike: `alike` (repeats, n) marks the answers of folds
    that trained the same kind of thing as the final model; None means all of them.
    """

    logits: Floats
    labels: Labels
    what: str
    alike: Bools | None = None

    @property
    def of_the_model(self) -> Bools:
        """`alike`, with None filled in."""
        return np.ones(self.logits.shape[:2], np.bool_) if self.alike is None else self.alike


def calibrate(task: TaskConfig, rows: OutOfFold) -> tuple[TaskConfig, str]:
    """The task calibrated by these rows, and what was done in words.

    Below `FEWEST_ROWS` rows, and for a regression, the task comes back as it was.
    """
    count = int(rows.of_the_model.any(0).sum())
    if task.kind == "regression":
        return task, "none: a regression predicts no probabilities"
    if count < FEWEST_ROWS:
        return task, f"skipped, fewer than {FEWEST_ROWS} rows: {count} {rows.what}"
    step = fit_calibration(task.kind, rows.logits, rows.labels, rows.of_the_model)
    shares = prevalence_of(task.kind, rows.labels, len(task.classes))
    return recalibrated(task, step, shares), f"fitted on {count:,} {rows.what}"


def prevalence_of(kind: TaskKind, labels: Labels, classes: int) -> Floats:
    """Share (classes,) of each class by the rule of succession, so that none is 0 or 1."""
    if kind == "multilabel":
        return np.asarray((labels.sum(0) + 1) / (len(labels) + 2), np.float64)
    counts = np.bincount(labels.astype(np.int64), minlength=classes)
    return np.asarray((counts + 1) / (len(labels) + classes), np.float64)


# ---------------------------------------------------------------- the fit


def fit_calibration(
    kind: TaskKind, logits: Floats, labels: Labels, counts: Bools | None = None
) -> Calibration:
    """The most probable calibration for logits (repeats, n, outputs) of rows with `labels`.

    Only answers marked in `counts` (repeats, n) count, or all if None; the repeats of a row share
    its weight.
    """
    counts = np.ones(logits.shape[:2], np.bool_) if counts is None else counts
    there = counts.any(0)
    logits, labels, counts = logits[:, there], labels[there], counts[:, there]
    weights = (counts / counts.sum(0))[:, :, None]
    if kind == "multiclass":
        targets = _of_several(labels.astype(np.int64), logits.shape[2])
        parameters = _fitted(logits, targets, weights, _softmax_loss)
        scale = (float(np.exp(parameters[0])),) * logits.shape[2]
        return Calibration(scale=scale, shift=tuple(parameters[1:].tolist()))
    columns = labels.reshape(len(labels), -1).astype(np.int64)
    each = [
        _fitted(logits[:, :, [k]], _of_two(column)[:, None], weights, _sigmoid_loss)
        for k, column in enumerate(columns.T)
    ]
    slopes, shifts = np.array(each).T
    return Calibration(scale=tuple(np.exp(slopes).tolist()), shift=tuple(shifts.tolist()))


def _of_two(labels: Ints) -> Floats:
    """Platt's targets (n,) of labels 0 and 1: of a class with m rows 1 / (m + 2) off."""
    off = 1 / (np.bincount(labels, minlength=2) + 2)
    return np.asarray(np.where(labels == 1, 1 - off[1], off[0]))


def _of_several(labels: Ints, classes: int) -> Floats:
    """Targets (n, K): 1 / (n + 2) off for the class of a row, in equal parts for the others."""
    off = 1 / (len(labels) + 2)
    return np.asarray(np.where(np.eye(classes)[labels] == 1, 1 - off, off / (classes - 1)))


def _fitted(logits: Floats, targets: Floats, weights: Floats, loss: Any) -> Floats:
    """ln(slope) and shifts (1 + outputs,) that minimise `loss`, weighted, under the prior."""

    def objective(parameters: Floats) -> tuple[float, Floats]:
        slope = np.exp(parameters[0])
        each, by_logit = loss(slope * logits + parameters[1:], targets)
        by_logit = weights * by_logit
        gradient = np.append(slope * (by_logit * logits).sum(), by_logit.sum((0, 1)))
        gradient[0] += parameters[0]
        return float((weights * each).sum()) + parameters[0] ** 2 / 2, gradient

    # The objective has several valleys where logits hardly spread: one way begins with the slope as
    # it is, one with the slope that spreads them to 1. What only rounding spreads has none.
    spread, slopes = float(logits.std()), [0.0]
    if spread > _ROUNDING * max(1.0, float(np.abs(logits).max())):
        slopes.append(-np.log(spread))
    found = [
        minimize(
            objective, np.append(slope, np.zeros(logits.shape[2])), jac=True, method="L-BFGS-B"
        )
        for slope in slopes
    ]
    return np.asarray(min(found, key=lambda one: one.fun).x)


def _sigmoid_loss(logits: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Cross-entropies of (repeats, n, 1) and their derivatives by the logits."""
    value = -(targets * log_expit(logits) + (1 - targets) * log_expit(-logits))
    return value, expit(logits) - targets


def _softmax_loss(logits: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Cross-entropies of (repeats, n, classes), in parts by class, and their derivatives by the
    logits.
    """
    value = -(targets * log_softmax(logits, axis=-1))
    return value, softmax(logits, axis=-1) - targets


# ---------------------------------------------------------------- how honest probabilities are


def honesty(kind: TaskKind, labels: Labels, scores: Floats) -> dict[str, float]:
    """Expected calibration error, Brier score and log loss (nats) of probabilities (n, classes).

    The error is that of `reliability`, weighted by rows, as a mean over classes (over the second
    one of a binary task, whose first is its mirror). Brier score and log loss of a multiclass row
    are sums over classes; those of a multilabel row, means over labels.
    """
    truth, said = _asked(kind, labels, scores)
    errors = [_error(truth[:, k], said[:, k]) for k in range(truth.shape[1])]
    squares = (truth - said) ** 2
    likely = np.log(np.where(truth == 1, said, 1 - said).clip(np.finfo(np.float64).tiny))
    if kind == "multiclass":
        brier, log_loss = squares.sum(1), -(likely * truth).sum(1)
    else:
        brier, log_loss = squares.mean(1), -likely.mean(1)
    return {
        "expected_calibration_error": float(np.mean(errors)),
        "brier": float(brier.mean()),
        "log_loss": float(log_loss.mean()),
    }


def reliability(truth: Floats, said: Floats) -> Floats:
    """Mean probability, share of 1 and rows of each bin (bins, 3), from 0/1 (n,) and scores (n,).

    Bins hold equally many rows, which is less biased than equal widths (Roelofs et al. 2022): 15,
    fewer where each would have less than 20 rows. Rows of one probability share their truth, so
    that their order says nothing.
    """
    bins = int(np.clip(len(said) // _ROWS_A_BIN, 1, _BINS))
    _, tied = np.unique(said, return_inverse=True)
    truth = (np.bincount(tied, truth) / np.bincount(tied))[tied]
    parts = np.array_split(np.argsort(said, kind="stable"), bins)
    return np.array([[said[rows].mean(), truth[rows].mean(), len(rows)] for rows in parts])


def _error(truth: Floats, said: Floats) -> float:
    mean, share, rows = reliability(truth, said).T
    return float((np.abs(mean - share) * rows).sum() / rows.sum())


def _asked(kind: TaskKind, labels: Labels, scores: Floats) -> tuple[Floats, Floats]:
    """0/1 and probabilities (n, asked classes)."""
    if kind == "multilabel":
        return labels.astype(np.float64), scores
    truth = np.eye(scores.shape[1])[labels.astype(np.int64)]
    return (truth[:, 1:], scores[:, 1:]) if kind == "binary" else (truth, scores)


# ---------------------------------------------------------------- before and after


def cross_fitted(task: TaskConfig, rows: OutOfFold, folds: Ints) -> Floats:
    """Calibrated scores (repeats, n, classes) of cross-validated rows, each by the other folds.

    `folds` (repeats, n) says which fold answered a row: a calibration fitted to all rows would
    judge itself. Folds that trained the model's kind are calibrated by such, others by others;
    where there is no other one, scores stay.
    """
    scores = np.zeros((*folds.shape, len(task.classes)))
    for repeat, (numbers, alike) in enumerate(zip(folds, rows.of_the_model, strict=True)):
        for number in np.unique(numbers):
            here = numbers == number
            others = ~here & (alike == alike[here][0])
            logits, labels = rows.logits[[repeat]][:, others], rows.labels[others]
            step = fit_calibration(task.kind, logits, labels) if others.any() else None
            fitted = task.model_copy(update={"calibration": step})
            scores[repeat, here] = scores_of(rows.logits[repeat, here], fitted)
    return scores


def measured(kind: TaskKind, labels: Labels, scores: Floats) -> dict[str, Any]:
    """`honesty` of scores (repeats, n, classes), averaged over repeats, and their reliability."""
    each = [honesty(kind, labels, one) for one in scores]
    truth, said = zip(*(_asked(kind, labels, one) for one in scores), strict=True)
    points = reliability(np.ravel(truth), np.ravel(said))
    return {
        **{name: float(np.mean([one[name] for one in each])) for name in each[0]},
        "reliability": points.round(6).tolist(),
    }


def in_words(honesty: dict[str, Any]) -> str:
    """Judged numbers of a calibration for the log: before, and after where there is one."""
    if not honesty:
        return ""
    names = [name for name in honesty["before"] if name != "reliability"]
    said = (
        f"{name.replace('_', ' ')} " + " → ".join(f"{honesty[when][name]:.4f}" for when in honesty)
        for name in names
    )
    return f"; {', '.join(said)}"
