"""Thresholds of binary answers, from rows that a model did not learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import rankdata

from findna.data.labelled import Labels
from findna.data.parts import TaskKind
from findna.metrics import mcc_of
from findna.training.calibration import fit_calibration

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_ANSWERED = 0.5
_ROWS_OF_THE_CURVE = 1000


def choose_threshold(labels: Labels, positive_scores: Floats, least: float = 0) -> float:
    """Threshold for `score >= threshold` with the best MCC to be expected of rows like these.

    Of few rows the best MCC is luck: where it lies jumps by a row. Each row therefore counts as
    what it is and as what a curve through all of them says it may be; the curve counts as much as
    1,000 rows, so that many rows decide by themselves. Nothing but the order of scores matters.

    Returns 0.5 when only one class is there. Candidates lie midway between neighbouring distinct
    scores. Each class is answered at least `least` times as often as it is there, as far as equal
    scores allow: where no threshold has any MCC, the best of all might else be one that answers a
    single class.
    """
    truth = (labels == 1).astype(np.float64)
    if truth.min(initial=1) == truth.max(initial=0):
        return 0.5
    rows, curve = len(truth), _curve(truth, positive_scores)
    likely = (rows * truth + _ROWS_OF_THE_CURVE * curve) / (rows + _ROWS_OF_THE_CURVE)
    turned, place = np.unique(-positive_scores, return_inverse=True)
    said, hits = np.bincount(place).cumsum(), np.bincount(place, likely).cumsum()
    alarms = said - hits
    missed, spared = hits[-1] - hits, alarms[-1] - alarms
    mcc = mcc_of(np.stack([np.stack([spared, alarms], 1), np.stack([missed, hits], 1)], 1))
    between = np.append(midway(-turned[1:], -turned[:-1]), -turned[-1])
    there = np.array([[rows - truth.sum()], [truth.sum()]])
    lacks = np.clip(least * there - np.stack([rows - said, said]), 0, None).sum(0)
    return float(between[np.where(lacks <= lacks.min(), mcc, -np.inf).argmax()])


def threshold_for(kind: TaskKind, labels: Labels, scores: Floats) -> float:
    """`choose_threshold` of a binary task, by scores (n, K); 0.5 of any other."""
    return choose_threshold(labels, scores[:, 1]) if kind == "binary" else 0.5


def _curve(truth: Floats, scores: Floats) -> Floats:
    """Probability (n,) of 1 by a logistic curve of the logits of ranks.

    Ranks, as scores may be anything: too sure, rounded, many of them alike.
    """
    logits = logit(rankdata(scores) / (len(scores) + 1))
    step = fit_calibration("binary", logits[None, :, None], truth.astype(np.int64))
    return np.asarray(expit(step.scale[0] * logits + step.shift[0]))


def leaves_open(labels: Labels, scores: Floats) -> tuple[float, float]:
    """Lowest and highest threshold that answer each class for `LEAST_ANSWERED` of as many rows as
    it has, at least one.

    They lie midway between neighbouring scores where there are two: a row whose score equals the
    threshold could fall on either side by the rounding of a calibration.
    """
    ordered = np.sort(scores)
    positive = int(np.ceil(LEAST_ANSWERED * (labels == 1).sum()))
    negative = int(np.ceil(LEAST_ANSWERED * (labels != 1).sum()))
    low, high = 0.0, 1.0
    if positive:
        lower = ordered[ordered < ordered[-positive]][-1:]
        high = float(midway(lower, ordered[-positive])[0] if len(lower) else ordered[-positive])
    if negative:
        below = ordered[negative - 1]
        above = ordered[ordered > below][:1]
        low = float(midway(below, above)[0] if len(above) else below)
    return low, high


def midway(low: Floats, high: Floats) -> Floats:
    """Thresholds that tell lower from higher scores: above `low`, not above `high`, and midway if
    rounding leaves a number there.
    """
    return np.asarray(np.maximum((low + high) / 2, np.nextafter(low, high)))
