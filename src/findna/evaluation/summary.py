"""From runs to the tables people read: means, intervals, differences; published figures apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from findna.evaluation.comparison import (
    RESAMPLES,
    Difference,
    Interval,
    Resampled,
    across_tasks,
    difference,
    holm,
    interval,
    resample,
)
from findna.evaluation.results import Run, RunRecord, scored
from findna.files import BadInput

# A baseline that reaches this share of a score above chance explains most of it.
MOST = 0.8
# Contenders that nobody gave; lineup.py names them.
_BASELINES = ("majority", "composition", "places", "kmer", "cnn")
# What need not know of sequences to answer, in words.
SHORTCUTS = {"composition": "composition", "places": "the base at each position"}
_RANDOM = re.compile(r"(linear|knn|finetune)-random(-|$)")
# Metrics that are 0 for a constant and, on average, for a random answer.
_CHANCE_IS_ZERO = ("mcc", "mcc_macro", "r2", "pearson", "spearman")

Row = dict[str, Any]
# p-values by Holm's method, by suite, task and contender.
Adjusted = Mapping[tuple[str, str, str], float | None]


@dataclass(frozen=True, eq=False)
class Summary:
    """The tables of an evaluation.

    table: one row a task and contender (table.tsv).
    across: one row a suite, contender and metric: its mean difference to the reference over tasks;
        empty where a suite has one task.
    reference: the contender that the others are compared with.
    resamples: of every bootstrap.
    """

    table: pd.DataFrame
    across: pd.DataFrame
    reference: str
    resamples: int


def summary(
    runs: Sequence[Run], reference: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> Summary:
    """Compare every contender with the reference on the primary metric of each task.

    p-values are adjusted over the tasks of a suite, for each contender on its own.

    Raises:
        BadInput: no run of the reference, or contenders that answer different rows.
    """
    names = sorted({run.record.contender for run in runs})
    if reference not in names:
        known = ", ".join(names) or "none"
        raise BadInput(f"there is no run of {reference}", remedy=f"contenders are: {known}")
    rows: list[Row] = []
    differences: list[tuple[str, Difference]] = []
    for (suite, _), found in _grouped(runs, lambda r: (r.suite, r.task)):
        task_rows, against = _task(found, reference, resamples, seed)
        rows += task_rows
        differences += [(suite, d) for d in against]
    adjusted = _adjusted(differences)
    table = _with_holm(pd.DataFrame(rows), adjusted)
    return Summary(table, _across(differences, adjusted), reference, resamples)


def _grouped(
    runs: Sequence[Run], key: Callable[[RunRecord], tuple[str, ...]]
) -> list[tuple[tuple[str, ...], list[Run]]]:
    """Runs with equal keys, in the order in which keys appear."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run.record), []).append(run)
    return list(groups.items())


def _task(
    runs: Sequence[Run], reference: str, resamples: int, seed: int
) -> tuple[list[Row], list[Difference]]:
    """Rows of one task, and the differences to the reference if it ran here."""
    metric = runs[0].record.primary_metric
    by_name = {name: found for (name,), found in _grouped(runs, lambda r: (r.contender,))}
    drawn = {
        name: resample(scored(found), metric, resamples=resamples, seed=seed)
        for name, found in by_name.items()
    }
    others = [name for name in drawn if reference in drawn and name != reference]
    differences = {name: _difference(drawn[name], drawn[reference]) for name in others}
    rows = [
        _row([run.record for run in by_name[name]], interval(drawn[name]), differences.get(name))
        for name in by_name
    ]
    return rows, list(differences.values())


def _difference(a: Resampled, b: Resampled) -> Difference:
    try:
        return difference(a, b)
    except ValueError as error:
        remedy = "contenders are compared on one test split: delete the runs on the other"
        raise BadInput(str(error), remedy=remedy) from None


def _row(records: Sequence[RunRecord], found: Interval, against: Difference | None) -> Row:
    first = records[0]
    return {
        "suite": first.suite,
        "task": first.task,
        "metric": found.metric,
        "contender": found.contender,
        "mode": _joined(r.mode for r in records),
        "train_rows": first.sizes.get("train"),
        "test_rows": first.rows,
        "seeds": found.seeds,
        "draws": first.draws,
        "pretraining_seeds": found.pretraining_seeds,
        "mean": found.mean.value,
        "sd": found.sd,
        "low": found.mean.low,
        "high": found.mean.high,
        "undefined": found.mean.reason,
        "reference": against.against if against else None,
        "difference": against.mean.value if against else None,
        "difference_low": against.mean.low if against else None,
        "difference_high": against.mean.high if against else None,
        "p": against.p_value if against else None,
        "settings_tried": max(r.settings_tried for r in records),
        "inflation": _inflation(records),
        "protocol": _joined(r.protocol for r in records),
        "notes": _joined(note for r in records for note in r.notes),
    }


def _joined(texts: Iterable[str]) -> str:
    """The distinct texts in their order."""
    return "; ".join(dict.fromkeys(texts))


def _inflation(records: Sequence[RunRecord]) -> float | None:
    """Mean over seeds of what selection of the epoch on test rows would have added."""
    found = [r.selected_epoch.inflation for r in records if r.selected_epoch]
    return float(np.mean(found)) if found else None


def _adjusted(differences: Sequence[tuple[str, Difference]]) -> Adjusted:
    """Over all tasks of a suite, whatever their metric, for each contender on its own."""
    families: dict[tuple[str, str], list[Difference]] = {}
    for suite, d in differences:
        families.setdefault((suite, d.contender), []).append(d)
    return {
        (suite, d.task, contender): p
        for (suite, contender), family in families.items()
        for d, p in zip(family, holm([d.p_value for d in family]), strict=True)
    }


def _with_holm(table: pd.DataFrame, adjusted: Adjusted) -> pd.DataFrame:
    """The table with `p_holm` behind `p`."""
    rows = table[["suite", "task", "contender"]].itertuples(index=False, name=None)
    p_holm = pd.Series([adjusted.get(row) for row in rows], dtype=float)
    table.insert(list(table.columns).index("p") + 1, "p_holm", p_holm)
    return table


def _across(differences: Sequence[tuple[str, Difference]], adjusted: Adjusted) -> pd.DataFrame:
    """One row for each contender with two or more tasks of a suite in one metric."""

    def key(entry: tuple[str, Difference]) -> tuple[str, str, str]:
        return entry[0], entry[1].contender, entry[1].metric

    rows = []
    for (suite, _, _), entries in groupby(sorted(differences, key=key), key=key):
        found = [d for _, d in entries]
        if len(found) > 1:
            p_holm = [adjusted[suite, d.task, d.contender] for d in found]
            row = asdict(across_tasks(found, p_holm))
            rows.append({"suite": suite} | row | row.pop("mean"))
    columns = ["suite", "contender", "against", "metric", "tasks", "value", "low", "high", "reason"]
    return pd.DataFrame(rows, columns=[*columns, "p_value", "wins", "ties", "losses"])


# ---------------------------------------------------------------- shortcuts


def shortcut_warnings(table: pd.DataFrame, shortcut: str) -> list[str]:
    """A sentence a task where one of `SHORTCUTS` alone reaches most of the best score, or of that
    of the best model given.

    Most is 80 % of what it has above chance. Chance is the score of the commonest answer, or 0 for
    correlations; a task where it is not known is told of as not judged.
    """
    lines = []
    for task, rows in table.groupby("task", sort=False):
        scores = rows.set_index("contender")["mean"].astype(float).dropna()
        if shortcut not in scores.index:
            continue
        chance = _chance(scores, str(rows["metric"].iloc[0]))
        if chance is None:
            lines.append(f"{task}: not compared with {shortcut}: there is no run of majority")
            continue
        others = scores.drop([shortcut, "majority"], errors="ignore")
        told = _told_of(shortcut, others, float(scores[shortcut]), chance)
        lines += [f"{task}: {told}"] if told else []
    return lines


def _told_of(shortcut: str, others: pd.Series[float], reached: float, chance: float) -> str:
    """What part of the best of all, and of the best model given, is reached; empty if of neither
    it is most.
    """
    above = others[others > chance] - chance
    given = above[[_is_given(str(name)) for name in above.index]]
    whose: dict[str, str] = {}
    for what, some in (("the best contender", above), ("the best model given", given)):
        if len(some):
            whose.setdefault(str(some.idxmax()), what)
    share = {name: (reached - chance) / above[name] for name in whose}
    near = [name for name in whose if share[name] >= MOST]
    if not near:
        return ""
    parts = [
        f"{_part(share[name])} {what} ({name}, {others[name]:.3f})"
        for name, what in whose.items()
        if name in near or what == "the best contender"
    ]
    above_chance = f"; above chance ({chance:.3f}) that is" if chance else ","
    return f"{SHORTCUTS[shortcut]} alone scores {reached:.3f}{above_chance} {' and '.join(parts)}"


def _part(share: float) -> str:
    return f"{100 * share:.0f} % of" if share < 1 else "no less than"


def _is_given(contender: str) -> bool:
    """Whether this is a model or table that the user gave: no baseline, and no random weights."""
    return contender not in _BASELINES and not _RANDOM.match(contender)


def _chance(scores: pd.Series[float], metric: str) -> float | None:
    known = scores.get("majority")
    if known is not None and not np.isnan(known):
        return float(known)
    return 0.0 if metric in _CHANCE_IS_ZERO else None
