"""Uncertainty of metrics: bootstrap intervals over rows, permutation p-values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from findna.metrics import (
    Answers,
    Floats,
    Ints,
    Metric,
    metric_names,
    resampled,
    why_undefined,
)

# Cells of counts held at once: 32 MB of float64.
_CELLS_AT_ONCE = 4_000_000
# With fewer groups no interval is given: they say next to nothing about other groups. With five,
# 95 % intervals cover the truth 86 times in a hundred, with ten 92 times
# (benchmarks/interval_coverage.py).
FEWEST_GROUPS, FEW_GROUPS = 5, 10


def measure(
    answers: Answers | Sequence[Answers],
    *,
    resamples: int = 1000,
    seed: int = 0,
    groups: Ints | None = None,
) -> dict[str, Metric]:
    """All metrics of a task with 95 % percentile bootstrap intervals over rows, or over whole
    `groups` (n,); no intervals with fewer than five groups (`word_on_groups`).

    Metrics of several answers to the same rows (repeated cross-validation) are averaged within
    each resample.
    """
    repeats = [answers] if isinstance(answers, Answers) else list(answers)
    names = metric_names(repeats[0].kind)
    found = _evaluate_all(names, repeats, np.ones((1, len(repeats[0]))))[:, 0]
    chunks = resample_counts(len(repeats[0]), resamples, seed, groups)
    drawn = _stack([_evaluate_all(names, repeats, counts) for counts in chunks], len(names))
    reason = why_undefined(repeats[0])
    return {
        name: percentile_interval(float(found[k]), drawn[k], reason) for k, name in enumerate(names)
    }


def bootstrap_interval(
    name: str,
    answers: Answers,
    other: Answers | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    groups: Ints | None = None,
) -> Metric:
    """One metric with its interval; with `other`, the paired difference `answers` minus `other` on
    the same resampled rows.
    """

    def difference(counts: Floats) -> Floats:
        mine = resampled(name, answers, counts)
        return mine if other is None else mine - resampled(name, other, counts)

    found = difference(np.ones((1, len(answers))))[0]
    chunks = resample_counts(len(answers), resamples, seed, groups)
    drawn = _stack([difference(counts)[None] for counts in chunks], 1)[0]
    return percentile_interval(float(found), drawn, why_undefined(answers))


def resample_counts(
    n: int, resamples: int, seed: int, groups: Ints | None = None
) -> Iterator[Floats]:
    """How often each of n rows occurs in each resample, in chunks (b, n).

    If given, whole groups are drawn, one fewer than there are: means of G draws from G groups have
    only (G - 1) / G of the right variance. With fewer than five groups nothing is drawn.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, n]))
    member = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(member.max(initial=-1)) + 1
    draws = units if groups is None else units - 1
    if groups is not None and units < FEWEST_GROUPS:
        return
    step = max(1, _CELLS_AT_ONCE // max(n, 1))
    for size in (min(step, resamples - at) for at in range(0, resamples if n else 0, step)):
        drawn = random.integers(0, units, (size, draws)) + units * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        yield counts[:, member].astype(np.float64)


def word_on_groups(groups: Ints | None) -> str | None:
    """A note on intervals over groups (n,), if there are few."""
    count = 0 if groups is None else len(np.unique(groups))
    if not count or count >= FEW_GROUPS:
        return None
    if count < FEWEST_GROUPS:
        return (
            f"no intervals: only {count} groups of test rows, which say next to nothing about"
            " other groups"
        )
    return f"intervals are probably too narrow: there are only {count} groups of test rows"


def permutation_p_value(
    name: str,
    answers: Answers | Sequence[Answers],
    *,
    permutations: int = 1000,
    seed: int = 0,
    groups: Ints | None = None,
) -> float | None:
    """Share of label permutations that score at least as well: (1 + number) / (1 + permutations).

    Only the labels are permuted; no model is trained again. With groups, each group takes the
    labels of another, cut or repeated to its size, which preserves the agreement within groups.
    """
    repeats = [answers] if isinstance(answers, Answers) else list(answers)
    plain = np.ones((1, len(repeats[0])))
    seen = float(np.mean([resampled(name, each, plain)[0] for each in repeats]))
    if np.isnan(seen):
        return None
    orders = _permuted_orders(len(repeats[0]), permutations, seed, groups)
    as_good = sum(
        np.mean([resampled(name, _relabelled(each, order), plain)[0] for each in repeats])
        >= seen - 1e-12
        for order in orders
    )
    return float((1 + as_good) / (1 + permutations))


def _evaluate_all(names: Sequence[str], repeats: list[Answers], counts: Floats) -> Floats:
    """Metrics (names, B), each averaged over repeated answers to the same rows."""
    return np.stack(
        [np.mean([resampled(name, each, counts) for each in repeats], axis=0) for name in names]
    )


def _stack(chunks: list[Floats], names: int) -> Floats:
    return np.concatenate(chunks, axis=1) if chunks else np.empty((names, 0))


def percentile_interval(found: float, drawn: Floats, reason: str) -> Metric:
    """A value with the central 95 % of its resamples `drawn` (B,); `reason` if it is undefined.

    Undefined resamples (NaN) are ignored; if they are more than half there is no interval.
    """
    if np.isnan(found):
        return Metric(None, reason=reason)
    defined = drawn[~np.isnan(drawn)]
    # Less than half of the resamples would say more about which rows were drawn than the metric.
    if len(defined) == 0 or 2 * len(defined) < len(drawn):
        return Metric(found)
    # Order statistics, without interpolation: only these agree with the p-value of
    # `evaluation.comparison` on whether 0 lies inside. A fortieth is 2.5 %.
    ordered = np.sort(defined)
    outside = max(len(ordered) // 40, 1)
    return Metric(found, float(ordered[outside - 1]), float(ordered[-outside]))


def mean_over_few(values: Floats, drawn: Floats) -> tuple[Metric, float]:
    """Mean over T >= 2 tasks, or other units of which there are few: its 95 % interval for the
    population of units, and the two-sided p-value against a mean of 0.

    values: (T,), one per unit. drawn: (T, B), their resamples of rows, seeds or draws.

    Values differ because units do and because each is measured with error; the variance of their
    mean, s^2 / T with Student's t of T - 1 degrees of freedom, includes both. The resamples add two
    things that it cannot know. What moves all units together, such as shared pretraining seeds, is
    the mean covariance of two units' resamples, added if positive. And few units may agree by
    chance: the interval is never narrower than that for the mean of these very units, a normal one
    with the variance of their resampled mean.

    A bootstrap of units and, within them, of rows would count the spread within a unit twice
    (benchmarks/interval_coverage.py). Resamples that are undefined (NaN) for one unit are ignored
    for all.
    """
    units, mean = len(values), float(values.mean())
    defined = drawn[:, ~np.isnan(drawn).any(axis=0)]
    if defined.shape[1] < 2:
        defined = np.zeros((units, 2))
    covariances = np.cov(defined)
    between = ~np.eye(units, dtype=bool)
    shared = max(0.0, float(covariances[between].mean()))
    here = math.sqrt(max(0.0, float(covariances.mean())))
    error = math.sqrt(float(values.var(ddof=1)) / units + shared)
    half = float(max(stdtrit(units - 1, 0.975) * error, ndtri(0.975) * here))
    p_value = max(2 * stdtr(units - 1, -_ratio(mean, error)), 2 * ndtr(-_ratio(mean, here)))
    return Metric(mean, mean - half, mean + half), float(p_value)


def _ratio(mean: float, error: float) -> float:
    """How many standard errors a mean is from 0; infinite for a mean other than 0 without error."""
    return abs(mean) / error if error else (math.inf if mean else 0.0)


def _relabelled(answers: Answers, order: Ints) -> Answers:
    return Answers(
        answers.kind, answers.classes, answers.labels[order], answers.scores, answers.threshold
    )


def _permuted_orders(n: int, permutations: int, seed: int, groups: Ints | None) -> Iterator[Ints]:
    random = np.random.Generator(np.random.Philox(key=[seed, n + 1]))
    for _ in range(permutations):
        yield random.permutation(n) if groups is None else _taken_from_other(groups, random)


def _taken_from_other(groups: Ints, random: np.random.Generator) -> Ints:
    """The row (n,) whose label each row takes: each group takes those of another group, in random
    order, repeated if it is the larger one.
    """
    _, member, size = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = random.permutation(len(groups))
    by_group = shuffled[np.argsort(member[shuffled], kind="stable")]
    first = np.cumsum(size) - size
    rank = np.empty(len(groups), np.int64)
    rank[by_group] = np.arange(len(groups)) - np.repeat(first, size)
    giver = random.permutation(len(size))[member]
    return np.asarray(by_group[first[giver] + rank % size[giver]])
