"""The tables of an evaluation as a page of Markdown."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from findna.evaluation.comparison import SIGNIFICANT
from findna.evaluation.summary import MOST, SHORTCUTS, Summary, shortcut_warnings

_NONE = "–"


def to_markdown(
    found: Summary, published: pd.DataFrame | None = None, told: Sequence[str] = ()
) -> str:
    """One table a suite, the comparison over tasks, and published figures in a block of their own.

    `published` has the columns task, model, parameters, metric, value (a fraction), protocol and
    source; `told` are sentences to stand under each table.
    """
    parts = [
        part
        for suite, rows in found.table.groupby("suite", sort=False)
        for part in _suite_parts(str(suite), rows, found, published, told)
    ]
    return "\n\n".join(parts) + "\n"


def _suite_parts(
    suite: str,
    rows: pd.DataFrame,
    found: Summary,
    published: pd.DataFrame | None,
    told: Sequence[str],
) -> list[str]:
    across = found.across[found.across["suite"] == suite]
    return [
        f"## {suite}",
        *(f"Protocol: {_sentence(protocol)}" for protocol in dict.fromkeys(rows["protocol"])),
        _legend(rows, found),
        _table(_task_head(found.reference), map(_cells, _blocks(rows))),
        *told,
        *_seeds_part(rows),
        *_shortcut_parts(rows),
        *(f"Note: {_sentence(note)}" for note in dict.fromkeys(rows["notes"]) if note),
        *_inflation_part(rows),
        *_across_part(across, found.reference),
        *_published_part(suite, rows, published, found.reference),
    ]


def _legend(rows: pd.DataFrame, found: Summary) -> str:
    metrics = ", ".join(dict.fromkeys(rows["metric"]))
    varied = ", ".join(dict.fromkeys(rows.loc[rows["pretraining_seeds"], "contender"]))
    pretraining = (
        f"Seeds include pretraining for {varied} only."
        if varied
        else "Seeds do not include pretraining: one pretrained model stands for its recipe."
    )
    return (
        f"Scores are {metrics} on test rows. Intervals and p-values come from {found.resamples:,}"
        f" resamples of seeds and test rows, paired with {found.reference}; p is Holm-adjusted"
        f" over the tasks of this suite, separately for each contender. {pretraining} Where seeds"
        " vary more than rows, intervals from few seeds are too narrow: in simulations, nominal"
        " 95 % intervals covered about 78 % with two seeds, 87 % with three, 89 to 94 % with"
        " five."
    )


def _task_head(reference: str) -> list[str]:
    head = ["task", "contender", "train rows", "seeds", "mean ± sd", "95 % interval"]
    return [*head, f"minus {reference}, 95 % interval", "Holm p", "settings tried"]


def _blocks(rows: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Rows with the task named in the first one of its block only."""
    named = (rows["task"] + " (" + rows["metric"] + ")").where(~rows["task"].duplicated(), "")
    return rows.assign(task=named).to_dict("records")


def _cells(row: Mapping[Hashable, Any]) -> list[str]:
    return [
        row["task"],
        row["contender"],
        _count(row["train_rows"]),
        str(row["seeds"]) if row["draws"] else "deterministic",
        _mean(row),
        _between(row["low"], row["high"], ".3f"),
        _signed(row["difference"], row["difference_low"], row["difference_high"]),
        _p(row["p_holm"]),
        str(row["settings_tried"]),
    ]


def _count(number: Any) -> str:
    return _NONE if pd.isna(number) else f"{number:,.0f}"


def _mean(row: Mapping[Hashable, Any]) -> str:
    if pd.isna(row["mean"]):
        return f"undefined ({row['undefined']})"
    return f"{row['mean']:.3f}" + ("" if pd.isna(row["sd"]) else f" ± {row['sd']:.3f}")


def _signed(value: float, low: float, high: float) -> str:
    return _NONE if pd.isna(value) else f"{value:+.3f} {_between(low, high, '+.3f')}"


def _between(low: float, high: float, form: str) -> str:
    return _NONE if pd.isna(low) or pd.isna(high) else f"[{low:{form}}, {high:{form}}]"


def _p(p: float) -> str:
    return _NONE if pd.isna(p) else f"{p:.2g}"


def _seeds_part(rows: pd.DataFrame) -> list[str]:
    """A sentence where contenders that draw meet with unequal numbers of seeds."""
    drawn = rows[rows["draws"].astype(bool)]
    if not (drawn.groupby("task")["seeds"].nunique() > 1).any():
        return []
    each = drawn.groupby("contender", sort=False)["seeds"].agg(["min", "max"])
    counts = [
        f"{name} {low}" if low == high else f"{name} {low} to {high}"
        for name, low, high in each.itertuples()
    ]
    return [
        f"**Seeds differ**: {', '.join(counts)}. Means over unequal numbers of seeds are compared"
        " without pairing the seeds; the fewer seeds, the less an interval says about other"
        " seeds."
    ]


def _shortcut_parts(rows: pd.DataFrame) -> list[str]:
    """What each of the shortcuts explains."""
    told = {words: shortcut_warnings(rows, name) for name, words in SHORTCUTS.items()}
    return [part for words, lines in told.items() for part in _shortcut_part(words, lines)]


def _shortcut_part(words: str, lines: Sequence[str]) -> list[str]:
    lead = (
        f"**Does {words} explain it?** Tasks where that alone reaches at least {100 * MOST:.0f} %"
        " of what the best contender, or the best model given, scores above chance:"
    )
    return [lead, "\n".join(f"* {_sentence(line)}" for line in lines)] if lines else []


def _inflation_part(rows: pd.DataFrame) -> list[str]:
    """P1 beside P2 for the contenders whose test answers of every epoch were kept."""
    kept = rows[rows["inflation"].notna()]
    numbers = kept.assign(selected=kept["mean"] + kept["inflation"])
    cells = [
        [task, contender, f"{mean:.3f}", f"{selected:.3f}", f"+{inflation:.3f}"]
        for task, contender, mean, selected, inflation in numbers[
            ["task", "contender", "mean", "selected", "inflation"]
        ].to_numpy()
    ]
    head = ["task", "contender", "P2, epoch chosen on validation"]
    head += ["P1-style figure, best test epoch", "inflation by selection on the test split"]
    return ["### What selection on the test split adds", _table(head, cells)] if cells else []


def _across_part(across: pd.DataFrame, reference: str) -> list[str]:
    cells = [
        [
            row["contender"],
            row["metric"],
            str(row["tasks"]),
            _signed(row["value"], row["low"], row["high"]),
            _p(row["p_value"]),
            f"{row['wins']} / {row['ties']} / {row['losses']}",
        ]
        for row in across.to_dict("records")
    ]
    head = ["contender", "metric", "tasks", f"mean difference to {reference}, 95 % interval", "p"]
    head.append(f"better / undecided / worse (Holm p < {SIGNIFICANT})")
    what = "Intervals refer to tasks like these and use Student's t for their number."
    return ["### Across tasks", _table(head, cells), what] if cells else []


def _published_part(
    suite: str, rows: pd.DataFrame, published: pd.DataFrame | None, reference: str
) -> list[str]:
    """A table a protocol and metric, models by tasks; the means of the reference lead each."""
    if published is None or not published["task"].isin(rows["task"]).any():
        return []
    theirs = published[published["task"].isin(rows["task"])]
    fewer = rows["notes"].str.contains("reduced").any()
    parts = [
        f"### Published figures for {suite}",
        "Claims of their sources under the protocol named above each table; none was measured"
        f" here. The first line is {reference} of this"
        f" evaluation{', trained on fewer rows than theirs where a note says so' if fewer else ''}."
        " Published figures have no interval: a small lead says little.",
    ]
    for (protocol, metric), figures in theirs.groupby(["protocol", "metric"], sort=False):
        ours = rows[(rows["contender"] == reference) & (rows["metric"] == metric)]
        parts += [
            f"{_sentence(str(protocol))} {metric}:",
            _figures(suite, figures, ours, reference),
        ]
    return parts


def _figures(suite: str, theirs: pd.DataFrame, ours: pd.DataFrame, reference: str) -> str:
    """Figures of one protocol and metric: a line a model of a source, a column a task."""
    tasks = list(dict.fromkeys(theirs["task"]))
    known = ours.dropna(subset="mean")
    here = dict(zip(known["task"], known["mean"], strict=True))
    head = ["model", "parameters", *(task.removeprefix(f"{suite}/") for task in tasks)]
    head += [f"{reference} ahead", "source"]
    lines = [[f"{reference}, measured here", _NONE, *_values(here, tasks), _NONE, _NONE]]
    each = theirs.groupby(["model", "parameters", "source"], sort=False, dropna=False)
    for (model, parameters, source), figures in each:
        said = dict(zip(figures["task"], figures["value"], strict=True))
        shared = said.keys() & here.keys()
        ahead = sum(here[task] > said[task] for task in shared)
        ends = f"{ahead} of {len(shared)}", str(source)
        lines.append([str(model), _count(parameters), *_values(said, tasks), *ends])
    return _table(head, lines)


def _values(found: Mapping[str, float], tasks: Sequence[str]) -> list[str]:
    return [f"{found[task]:.3f}" if task in found else _NONE for task in tasks]


def _sentence(text: str) -> str:
    return f"{text.rstrip('.')}."


def _table(head: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)
