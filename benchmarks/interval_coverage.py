"""How often 95 % intervals hold the truth, and how often p-values find what is not there.

    python benchmarks/interval_coverage.py [--experiments 400]

Simulated, where the truth is known: means over tasks that differ, accuracy over groups of rows that
differ, means over seeds that differ, and permutation p-values of scores that know nothing, with
groups of unequal size. Prints a table: what it should be, what a plain bootstrap gives where
another was made of it, and what findna gives.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from findna.evaluation.comparison import Scored, interval, resample
from findna.metrics import Answers, Metric
from findna.resampling import mean_over_few, measure, percentile_interval, permutation_p_value

Row = tuple[str, float, float | None, float]
GROUP_SIZES = {
    "400 single rows and 5 groups of 20": [1] * 400 + [20] * 5,
    "50 single rows and 2 groups of 50": [1] * 50 + [50] * 2,
    "20 groups of 10": [10] * 20,
}


def holds(found: Metric, truth: float) -> bool:
    """Whether an interval holds the truth."""
    return found.low is not None and found.high is not None and found.low <= truth <= found.high


def over_tasks(
    tasks: int, experiments: int, spread: float = 0.02, known: float = 0.002, common: float = 0.0
) -> Row:
    """Differences of tasks with a deviation of `spread`, each `known` to so much; the mean of all
    is 0. What moves all tasks together, as pretraining seeds do, has a deviation `common`.
    """
    random, plain, ours = np.random.default_rng(tasks), 0, 0
    for _ in range(experiments):
        found = random.normal(0, spread, tasks) + random.normal(0, known, tasks)
        found += random.normal(0, common)
        drawn = found[:, None] + random.normal(0, known, (tasks, 1000))
        drawn += random.normal(0, common, 1000)
        chosen = random.integers(0, tasks, drawn.shape)
        means = np.take_along_axis(drawn, chosen, axis=0).mean(0)
        plain += holds(percentile_interval(float(found.mean()), means, ""), 0)
        ours += holds(mean_over_few(found, drawn)[0], 0)
    what = f"mean over {tasks} tasks, spread {spread}, known to {known}"
    what += f", {common} common to all" if common else ""
    return what, 0.95, plain / experiments, ours / experiments


def answers(labels: NDArray[np.int64], right: NDArray[np.bool_]) -> Answers:
    """Answers that are right where they are said to be."""
    said = np.where(right, labels, 1 - labels).astype(np.float64)
    return Answers("binary", ("no", "yes"), labels, np.stack([1 - said, said], 1))


def over_groups(groups: int, experiments: int) -> Row:
    """Accuracy of 0.8 with a deviation of 0.06 between groups of 100 rows."""
    random, held = np.random.default_rng(groups), 0
    member = np.repeat(np.arange(groups), 100)
    labels = np.arange(len(member)) % 2
    for seed in range(experiments):
        chance = random.normal(0.8, 0.06, groups)[member]
        right = random.random(len(member)) < chance
        found = measure(answers(labels, right), resamples=200, groups=member, seed=seed)
        held += holds(found["accuracy"], 0.8)
    return f"accuracy over {groups} groups", 0.95, None, held / experiments


def over_seeds(seeds: int, experiments: int) -> Row:
    """Accuracy of 0.8 with a deviation of 0.03 between seeds, on 2,000 rows."""
    random, held = np.random.default_rng(seeds), 0
    labels = np.arange(2000) % 2
    for number in range(experiments):
        each = tuple(
            answers(labels, random.random(2000) < chance)
            for chance in random.normal(0.8, 0.03, seeds)
        )
        scored = Scored(f"t{number}", "a", tuple(range(seeds)), each)
        held += holds(interval(resample(scored, "accuracy", resamples=200)).mean, 0.8)
    return f"accuracy over {seeds} seeds", 0.95, None, held / experiments


def by_chance(name: str, experiments: int) -> Row:
    """How often p is below 0.05 where labels and scores agree inside groups and not beyond."""
    sizes = GROUP_SIZES[name]
    groups, found = np.repeat(np.arange(len(sizes)), sizes), 0
    for seed in range(experiments):
        random = np.random.default_rng([7, seed])
        labels = random.integers(0, 2, len(sizes))[groups]
        said = random.random(len(sizes))[groups]
        blind = Answers("binary", ("no", "yes"), labels, np.stack([1 - said, said], 1))
        p = permutation_p_value("mcc", blind, permutations=99, seed=seed, groups=groups)
        found += p is not None and p <= 0.05
    return f"p <= 0.05 without signal, {name}", 0.05, None, found / experiments


def rows(experiments: int) -> Iterator[Row]:
    """Every line of the table."""
    yield from (over_tasks(tasks, experiments) for tasks in (2, 3, 5, 9, 10))
    yield from (over_tasks(tasks, experiments, spread=0.005, known=0.02) for tasks in (3, 10))
    yield over_tasks(10, experiments, common=0.01)
    yield from (over_groups(groups, experiments) for groups in (5, 10))
    yield from (over_seeds(seeds, experiments) for seeds in (2, 3, 5))
    yield from (by_chance(name, experiments) for name in GROUP_SIZES)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=400)
    given = parser.parse_args()
    print("| what | should be | plain bootstrap | findna |\n|---|---|---|---|")
    for what, wanted, plain, ours in rows(given.experiments):
        shown = "" if plain is None else f"{plain:.3f}"
        print(f"| {what} | {wanted} | {shown} | {ours:.3f} |", flush=True)


if __name__ == "__main__":
    main()
