"""The public suites as facts: every task, its official splits, its traps and its published figures.

The facts are data beside this module, in `facts/`: `tasks.tsv` and `published.tsv` hold a row a
task and a row a figure, `suites.yaml` what does not fit a table. A size that nobody has stated is
None here and "not stated" in print. `suites.rows` finds and reads the rows themselves.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from findna.files import BadInput

PAPER = "findna-paper"

_SPLITS = ("train", "dev", "test")
_NOT_STATED, _NO_SUCH_SPLIT = "?", "-"


@dataclass(frozen=True)
class Source:
    """Where a suite comes from. `hub` is a data set on the Hugging Face Hub; `sizes` says who
    counted.
    """

    origin: str
    url: str
    hub: str | None
    licence: str
    sizes: str


@dataclass(frozen=True, eq=False)
class Task:
    """One classification task of a suite.

    `path` is its folder inside the suite and `name` is suite/path. `classes` are in the order of
    the official numbers, `lengths` the shortest and longest row in bases. `rows` holds each
    official split and its rows, None where the number is not stated; without the key "dev" there is
    no official dev split. `counted` are the splits whose rows were counted from the files.
    `hub_name` is the folder in the mirror on the Hub, `traps` are sentences.
    """

    suite: str
    path: str
    group: str
    classes: tuple[str, ...]
    lengths: tuple[int, int]
    rows: Mapping[str, int | None]
    counted: tuple[str, ...]
    metric: str
    in_paper: bool
    hub_name: str | None
    source: Source
    traps: tuple[str, ...]

    @property
    def name(self) -> str:
        """Suite and path: "gue/tf/0"."""
        return f"{self.suite}/{self.path}"


@dataclass(frozen=True)
class Published:
    """One published figure, a fraction (MCC from -1 to 1), and how it was selected.

    `parameters` is None where the size is not stated; `protocol_meaning` is the sentence behind
    `protocol`; `second_hand` marks a figure read from a copy of its paper or from a leaderboard.
    """

    task: str
    model: str
    parameters: int | None
    metric: str
    value: float
    protocol: str
    protocol_meaning: str
    source: str
    second_hand: bool
    note: str


@dataclass(frozen=True, eq=False)
class Suite:
    """Tasks that belong together."""

    name: str
    title: str
    source: Source
    tasks: tuple[Task, ...]


# ---------------------------------------------------------------- asking


@cache
def suites() -> tuple[Suite, ...]:
    """All suites; "findna-paper" is made of tasks of the three others."""
    texts = _texts()
    tasks = [_task(row, texts) for row in _table("tasks.tsv")]
    return tuple(
        Suite(name, about["title"], _source(about), tuple(t for t in tasks if _belongs(t, name)))
        for name, about in texts["suites"].items()
    )


def find_suite(name: str) -> Suite:
    """The suite of that name; `BadInput` with the nearest names otherwise."""
    known = {suite.name: suite for suite in suites()}
    if name in known:
        return known[name]
    raise _unknown("suite", name, {n: n for n in known}, _suites())


def find_task(name: str, suite: str | None = None) -> Task:
    """The task "gue/tf/0", or "tf/0" of the suite that is given.

    Raises:
        BadInput: no such task; it offers the nearest names.
    """
    tasks = find_suite(suite).tasks if suite else _every_task()
    known = {task.name: task for task in tasks}
    short = {task.path: task for task in tasks}
    found = known.get(name) or (short.get(name) if suite else None)
    if found is None:
        spellings = {n: t.name for n, t in (short | known).items()}
        raise _unknown("task", name, spellings, _tasks(suite) if suite else _suites())
    return found


def tasks_of(suite: str, patterns: Sequence[str] = ()) -> list[Task]:
    """Tasks of a suite whose path or name matches one of the glob patterns, in the suite's order.

    No patterns: all of them. `BadInput` for a pattern that matches nothing.
    """
    tasks = find_suite(suite).tasks
    for pattern in patterns:
        if not any(_matches(task, pattern) for task in tasks):
            spellings = {n: t.name for t in tasks for n in (t.path, t.name)}
            raise _unknown("task", pattern, spellings, _tasks(suite))
    return [t for t in tasks if not patterns or any(_matches(t, p) for p in patterns)]


def published_for(task: Task) -> list[Published]:
    """The published figures of a task, in the order of the table."""
    return [figure for figure in _published() if figure.task == task.name]


def describe(task: Task) -> dict[str, str]:
    """What is known of a task, for people: heading to text, each on one line."""
    shortest, longest = task.lengths
    source, figures = task.source, published_for(task)
    protocols = dict.fromkeys(f"{f.protocol}: {f.protocol_meaning}" for f in figures)
    return {
        "task": task.name,
        "group": task.group,
        "source": ", ".join(filter(None, (source.origin, source.url, source.hub and _hub(task)))),
        "licence": source.licence,
        "classes": ", ".join(task.classes),
        "lengths": f"{shortest:,} bp" if shortest == longest else f"{shortest:,} to {longest:,} bp",
        "splits": ", ".join(_rows_in_words(task, split) for split in _SPLITS),
        "sizes": source.sizes,
        "metric": task.metric,
        "in the paper's twenty": "yes" if task.in_paper else "no",
        "traps": " ".join(task.traps) or "none known",
        "published": "; ".join(map(_in_words, figures)) or "none found",
        "protocols": "; ".join(protocols) or "none",
    }


def _hub(task: Task) -> str:
    return f"Hub data set {task.source.hub}" + (f", {task.hub_name}" if task.hub_name else "")


def _rows_in_words(task: Task, split: str) -> str:
    if split not in task.rows:
        return f"no official {split} split"
    rows = task.rows[split]
    if rows is None:
        return f"{split} not stated"
    return f"{split} {rows:,}" + ("" if split in task.counted else " (as stated, not counted)")


def _in_words(figure: Published) -> str:
    size = f" ({figure.parameters:,} parameters)" if figure.parameters else ""
    origin = ", ".join(filter(None, (figure.source, figure.note)))
    return f"{figure.value:.4g} {figure.metric} {figure.protocol} {figure.model}{size} [{origin}]"


def _matches(task: Task, pattern: str) -> bool:
    return fnmatchcase(task.path, pattern) or fnmatchcase(task.name, pattern)


def _suites() -> str:
    return f"the suites are {', '.join(suite.name for suite in suites())}"


def _tasks(suite: str) -> str:
    return f"the tasks of {suite} are {', '.join(t.path for t in find_suite(suite).tasks)}"


def _unknown(what: str, name: str, known: Mapping[str, str], otherwise: str) -> BadInput:
    """Offers what `known` (a spelling to its full name) holds near to `name`, whatever its case."""
    lower = {spelling.lower(): full for spelling, full in known.items()}
    near = dict.fromkeys(lower[n] for n in difflib.get_close_matches(name.lower(), lower, n=3))
    remedy = f"did you mean {' or '.join(near)}?" if near else otherwise
    return BadInput(f"there is no {what} {name!r}", remedy=remedy)


# ---------------------------------------------------------------- reading the registry


def _text(name: str) -> str:
    return (files("findna.evaluation.suites") / "facts" / name).read_text(encoding="utf-8")


def _table(name: str) -> Iterator[dict[str, str]]:
    """Rows of a TSV file by column; lines that begin with # are for its readers."""
    lines = (line for line in _text(name).splitlines() if not line.startswith("#"))
    yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)


@cache
def _texts() -> dict[str, Any]:
    texts: dict[str, Any] = yaml.safe_load(_text("suites.yaml"))
    return texts


def _source(about: Mapping[str, str]) -> Source:
    return Source(*(about[key] for key in ("origin", "url", "hub", "licence", "sizes")))


def _task(row: Mapping[str, str], texts: Mapping[str, Any]) -> Task:
    name = f"{row['suite']}/{row['task']}"
    sizes = {split: row[split] for split in _SPLITS if row[split] != _NO_SUCH_SPLIT}
    return Task(
        suite=row["suite"],
        path=row["task"],
        group=row["group"],
        classes=tuple(row["classes"].split(",")),
        lengths=(int(row["shortest"]), int(row["longest"])),
        rows={split: None if n == _NOT_STATED else int(n) for split, n in sizes.items()},
        counted=tuple(split for split in row["counted"].split(",") if split in _SPLITS),
        metric=row["metric"],
        in_paper=row["in_paper"] == "yes",
        hub_name=row["hub_name"] or None,
        source=_source(texts["suites"][row["suite"]]),
        traps=tuple(
            entry["trap"]
            for entry in texts["traps"]
            if any(fnmatchcase(name, pattern) for pattern in entry["tasks"])
        ),
    )


def _belongs(task: Task, suite: str) -> bool:
    return task.in_paper if suite == PAPER else task.suite == suite


def _every_task() -> list[Task]:
    return [task for suite in suites() for task in suite.tasks if task.suite == suite.name]


@cache
def _published() -> tuple[Published, ...]:
    texts = _texts()
    return tuple(_figure(row, texts) for row in _table("published.tsv"))


def _figure(row: Mapping[str, str], texts: Mapping[str, Any]) -> Published:
    source = texts["sources"][row["source"]]
    return Published(
        task=f"{row['suite']}/{row['task']}",
        model=row["model"],
        parameters=int(row["parameters"]) if row["parameters"] else None,
        metric=row["metric"],
        value=float(row["value"]),
        protocol=row["protocol"],
        protocol_meaning=texts["protocols"][row["protocol"]],
        source=source["text"],
        second_hand=source["second_hand"],
        note=row["note"],
    )
