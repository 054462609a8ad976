"""Whether one contender is better than another: one bootstrap over seeds and test rows.

A score moves for two reasons, which rows the test split happens to hold and which seed was drawn.
Rows and seeds are crossed (every seed answers every row), so both are drawn, each on its own, and
the metric is averaged over the drawn seeds on the drawn rows: the pigeonhole bootstrap (Owen 2007,
doi:10.1214/07-AOAS122), whose variance is never too small for large tables. All contenders of a
task meet the same draws, so that their differences are paired.

Two details. Of S seeds S − 1 are drawn, with replacement, because the plain bootstrap of so few
gives a variance too small by (S − 1) / S (Rao and Wu 1988, doi:10.1080/01621459.1988.10478591).
And the p-value is of this bootstrap and not of a rank test over seeds, which cannot speak: of the
2^5 = 32 sign patterns of five paired differences the two extreme ones give a two-sided Wilcoxon
p of 2/32 = 0.0625, and three pairs give 0.25, however large the differences are.

What it cannot do is know the spread of seeds from three of them. Simulated (accuracy, 200 to 2,000
rows, seeds that spread as much as rows or more), 95 % intervals cover 87 to 88 % with 3 seeds, 89
to 94 % with 5, 97 % with 10; where rows spread more, they cover 98 % and more.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from findna.metrics import Answers, Metric, primary_metric, resampled, value, why_undefined
from findna.resampling import mean_over_few, percentile_interval, resample_counts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 2000
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Scored:
    """One contender on one task: the answers of each of S seeds to the same n test rows.

    A contender that draws nothing has one answer, which stands for every seed. `groups` (n,)
    numbers rows that belong together and are drawn together. `pretraining_seeds` says that each
    seed is a model pretrained anew, and not one pretrained model fine-tuned S times.
    """

    task: str
    contender: str
    seeds: tuple[int, ...]
    answers: tuple[Answers, ...]
    groups: Ints | None = None
    pretraining_seeds: bool = False

    def __post_init__(self) -> None:
        """Refuse seeds that are missing or twice there, and answers to other rows."""
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be distinct, at least one: {self.seeds}")
        if len(self.answers) != len(self.seeds):
            raise ValueError(f"{len(self.answers)} answers for {len(self.seeds)} seeds")
        if not all(_same_rows(self.answers[0], other) for other in self.answers):
            raise ValueError(f"{self.task}, {self.contender}: seeds answer different rows")


@dataclass(frozen=True, eq=False)
class Resampled:
    """A metric of one contender, seed by seed, on its rows and on B resamples of them.

    values: (S,), on the rows themselves.
    drawn: (S, B), on the resamples; the same rows for every contender of the task.
    seed: of the resamples, not of the contender.
    """

    scored: Scored
    metric: str
    values: Floats
    drawn: Floats
    seed: int


@dataclass(frozen=True)
class Interval:
    """Mean of a metric over seeds with its 95 % interval; `sd` (n − 1) is None for one seed."""

    task: str
    contender: str
    metric: str
    mean: Metric
    sd: float | None
    seeds: int
    pretraining_seeds: bool


@dataclass(frozen=True, eq=False)
class Difference:
    """One contender minus another on one task, paired by row and, where both have them, by seed.

    p_value: of the hypothesis that there is no difference; see `bootstrap_p_value`.
    seeds: of the first and of the second.
    pretraining_seeds: names of those of the two whose seeds include pretraining.
    drawn: (B,), the differences of the resamples.
    """

    task: str
    contender: str
    against: str
    metric: str
    mean: Metric
    p_value: float | None
    seeds: tuple[int, int]
    pretraining_seeds: tuple[str, ...]
    drawn: Floats = field(repr=False)


@dataclass(frozen=True)
class AcrossTasks:
    """Mean difference over tasks; a win or loss is a difference whose Holm p is below 0.05."""

    contender: str
    against: str
    metric: str
    tasks: int
    mean: Metric
    p_value: float | None
    wins: int
    losses: int
    ties: int


@dataclass(frozen=True)
class SelectedEpoch:
    """What selection of the epoch on test rows adds; epochs count from 1.

    value: at the epoch that validation chose. best_value: at the epoch best on test rows.
    """

    metric: str
    chosen_epoch: int
    value: float
    best_epoch: int
    best_value: float

    @property
    def inflation(self) -> float:
        """How much better the figure of the published protocol P1 looks; never below 0."""
        return self.best_value - self.value


# ---------------------------------------------------------------- one contender


def resample(
    scored: Scored, metric: str | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> Resampled:
    """Evaluate a metric (the primary one if not named) for every seed on the same resamples.

    The rows drawn depend on the task, its number of rows and `seed` alone: contenders of a task
    are paired, two tasks are independent.
    """
    first = scored.answers[0]
    name = metric or primary_metric(first.kind)
    values = [value(name, answers) for answers in scored.answers]
    drawn = [
        np.stack([resampled(name, answers, counts) for answers in scored.answers])
        for counts in resample_counts(len(first), resamples, _key(scored.task, seed), scored.groups)
    ]
    return Resampled(
        scored,
        name,
        np.array([np.nan if v is None else v for v in values]),
        np.concatenate(drawn, axis=1) if drawn else np.full((len(values), resamples), np.nan),
        seed,
    )


def interval(found: Resampled) -> Interval:
    """Mean ± sd over seeds, and the 95 % percentile interval over seeds and rows."""
    scored, several = found.scored, len(found.values) > 1
    return Interval(
        scored.task,
        scored.contender,
        found.metric,
        _measured(float(found.values.mean()), _over_seeds(found, scored.pretraining_seeds), found),
        float(found.values.std(ddof=1)) if several else None,
        len(found.values),
        scored.pretraining_seeds,
    )


def _over_seeds(found: Resampled, same_for_all_tasks: bool) -> Floats:
    """Mean over drawn seeds (B,) of each resample.

    The draw is a function of the seeds themselves, so that contenders with the same seeds are
    paired. With pretraining seeds a seed is one model in every task, hence one draw for all tasks.
    """
    seeds, resamples = found.drawn.shape
    if seeds == 1:
        return np.asarray(found.drawn[0])
    task = [] if same_for_all_tasks else [_key(found.scored.task, 0)]
    random = np.random.default_rng([found.seed, *found.scored.seeds, *task])
    chosen = random.integers(0, seeds, (seeds - 1, resamples))
    return np.asarray(np.take_along_axis(found.drawn, chosen, axis=0).mean(axis=0))


def _key(task: str, seed: int) -> int:
    """A number below 2^63 that tells tasks and seeds apart."""
    return (seed % 2**31) * 2**32 + zlib.crc32(task.encode())


def _measured(mean: float, drawn: Floats, found: Resampled) -> Metric:
    undefined = int(np.isnan(found.values).argmax())
    return percentile_interval(mean, drawn, why_undefined(found.scored.answers[undefined]))


# ---------------------------------------------------------------- two contenders


def difference(a: Resampled, b: Resampled) -> Difference:
    """The first minus the second on the same drawn rows and seeds.

    Contenders with different seeds draw them independently; one without any draw has none.

    Raises:
        ValueError: they are not of the same task, metric, rows, groups and resamples.
    """
    _check_paired(a, b)
    names = tuple(x.scored.contender for x in (a, b) if x.scored.pretraining_seeds)
    drawn = _over_seeds(a, bool(names)) - _over_seeds(b, bool(names))
    undefined = a if np.isnan(a.values).any() else b
    mean = _measured(float(a.values.mean() - b.values.mean()), drawn, undefined)
    return Difference(
        a.scored.task,
        a.scored.contender,
        b.scored.contender,
        a.metric,
        mean,
        bootstrap_p_value(drawn) if mean.low is not None else None,
        (len(a.values), len(b.values)),
        names,
        drawn,
    )


def bootstrap_p_value(drawn: Floats) -> float:
    """Two-sided p-value of "no difference" from resampled differences (B,).

    2 (1 + min(#{d* ≤ 0}, #{d* ≥ 0})) / (B + 1), at most 1. It inverts the percentile interval
    (Efron and Tibshirani 1993, section 15.4), so that p < 0.05 and an interval without 0 say the
    same; the 1 counts the data themselves and keeps p above 0 (Davison and Hinkley 1997, chapter
    4). The smallest p is 2 / (B + 1). Undefined resamples (NaN) are left out.
    """
    defined = drawn[~np.isnan(drawn)]
    fewer = min((defined <= 0).sum(), (defined >= 0).sum())
    return float(min(1.0, 2 * (1 + fewer) / (len(defined) + 1)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values in the given order (Holm 1979); an undefined one stays and counts not."""
    tested = sorted((p, at) for at, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, at) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        adjusted[at] = highest
    return adjusted


def _check_paired(a: Resampled, b: Resampled) -> None:
    for what, mine, other in (
        ("tasks", a.scored.task, b.scored.task),
        ("metrics", a.metric, b.metric),
        ("resamples", (a.seed, a.drawn.shape[1]), (b.seed, b.drawn.shape[1])),
    ):
        if mine != other:
            raise ValueError(f"different {what}: {mine} and {other}")
    same_rows = _same_rows(a.scored.answers[0], b.scored.answers[0])
    if not same_rows or not _same_groups(a.scored.groups, b.scored.groups):
        names = f"{a.scored.contender} and {b.scored.contender}"
        raise ValueError(f"{a.scored.task}: {names} answer different rows or groups")


def _same_rows(a: Answers, b: Answers) -> bool:
    return (a.kind, a.classes) == (b.kind, b.classes) and np.array_equal(a.labels, b.labels)


def _same_groups(a: Ints | None, b: Ints | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


# ---------------------------------------------------------------- many tasks


def across_tasks(
    differences: Sequence[Difference], adjusted: Sequence[float | None] | None = None
) -> AcrossTasks:
    """Mean difference over T tasks; interval and p-value are about tasks like these, by Student's
    t for their number (`resampling.mean_over_few`). Of one task they are about that task.

    Wins and losses are counted by `adjusted` p-values: those of Holm's method over these tasks,
    unless they belong to a larger family.

    Raises:
        ValueError: no tasks, a task twice, or pairs, metrics or numbers of resamples that differ.
    """
    first = differences[0] if differences else None
    if first is None or len({d.task for d in differences}) < len(differences):
        raise ValueError("differences of one or more distinct tasks are needed")
    if len({(d.contender, d.against, d.metric, len(d.drawn)) for d in differences}) > 1:
        raise ValueError("differences of one pair of contenders in one metric are needed")
    mean, p_value = _mean_of(differences)
    adjusted = adjusted or holm([d.p_value for d in differences])
    outcomes = [_outcome(d, p) for d, p in zip(differences, adjusted, strict=True)]
    return AcrossTasks(
        first.contender,
        first.against,
        first.metric,
        len(differences),
        mean,
        p_value,
        outcomes.count(1),
        outcomes.count(-1),
        outcomes.count(0),
    )


def _mean_of(differences: Sequence[Difference]) -> tuple[Metric, float | None]:
    """Mean over tasks and its p-value; without either where a task's difference is undefined."""
    if len(differences) == 1:
        return differences[0].mean, differences[0].p_value
    values = [d.mean.value for d in differences if d.mean.value is not None]
    if len(values) < len(differences):
        undefined = ", ".join(d.task for d in differences if d.mean.value is None)
        return Metric(None, reason=f"undefined for {undefined}"), None
    return mean_over_few(np.array(values), np.stack([d.drawn for d in differences]))


def _outcome(found: Difference, adjusted: float | None) -> int | None:
    """1 for a win, −1 for a loss, 0 for neither; None where nothing is compared."""
    if found.mean.value is None:
        return None
    if adjusted is None or adjusted >= SIGNIFICANT:
        return 0
    return int(np.sign(found.mean.value))


# ---------------------------------------------------------------- selection on test rows


def selected_epoch(
    by_epoch: Sequence[Answers], chosen_epoch: int, metric: str | None = None
) -> SelectedEpoch | None:
    """Answers of every epoch to the test rows, judged once the run has ended.

    `chosen_epoch` counts from 1 and was chosen on validation. Published protocol P1 reports the
    best epoch on test rows; of equal ones the chosen epoch, else the first, stands for it. None
    where the metric of the chosen epoch is not defined on these rows.

    Raises:
        ValueError: `chosen_epoch` is not one of them.
    """
    if not 1 <= chosen_epoch <= len(by_epoch):
        raise ValueError(f"epoch {chosen_epoch} of {len(by_epoch)}")
    name = metric or primary_metric(by_epoch[0].kind)
    values = [value(name, answers) for answers in by_epoch]
    defined = [v for v in values if v is not None]
    chosen = values[chosen_epoch - 1]
    if chosen is None:
        return None
    best = max(defined)
    best_epoch = chosen_epoch if chosen == best else values.index(best) + 1
    return SelectedEpoch(name, chosen_epoch, chosen, best_epoch, best)
