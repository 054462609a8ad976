"""The picture of an evaluation: every contender with its interval, published figures apart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from findna.files import atomic_file
from findna.report.figures import STYLE

# Okabe and Ito's colours (2008), told apart with any colour vision, and markers that differ too.
_SHAPES = (
    ("o", "#0072B2"),
    ("s", "#D55E00"),
    ("^", "#009E73"),
    ("D", "#CC79A7"),
    ("v", "#E69F00"),
    ("P", "#56B4E9"),
    ("X", "#000000"),
    ("<", "#8C6D1F"),
    (">", "#7A3E9D"),
    ("p", "#5F6B73"),
)
# Full markers first, hollow ones from the eleventh contender on, and then pale ones.
_MARKS: tuple[dict[str, Any], ...] = tuple(
    {"marker": marker, "color": colour, "markerfacecolor": face or colour}
    for face in (None, "white", "#d0d0d0")
    for marker, colour in _SHAPES
)
_TICKS = ("#222222", "#B04A4A", "#4A6FB0", "#5E8F5A", "#8A8A8A")
_ROOM = 0.8  # of the height of a task's row; the rest keeps tasks apart
_INCHES_A_LINE = 0.11
_LONG_NAME = 24
_TITLE_LETTERS = 80  # of a line
_PROTOCOL_LETTERS = 34  # of a line
_INCHES_A_NAME = 0.22  # of a line of text on the y axis
_TALL = 60  # lanes from which the x axis is repeated above


def draw_comparison(
    table: pd.DataFrame,
    published: pd.DataFrame | None,
    path: Path,
    values: str = "on test rows (mean over seeds, 95 % interval)",
) -> list[Path]:
    """Draw the dots of a table and the ticks of published figures; write PNG and SVG.

    Args:
        table: columns task, metric, contender, mean, low, high; a panel for each metric, a row for
            each task, a marker for each contender. Of a single task contenders stand on the y axis,
            the best on top.
        published: columns task, model, metric, value, protocol; only figures in the metric of the
            task are drawn, each protocol in a lane of its own below the contenders.
        path: its ending is replaced by .png and .svg.
        values: what mean, low and high are; it stands behind the metric on the x axis.

    Returns:
        The two files.
    """
    theirs = _comparable(table, published)
    with mpl.rc_context(STYLE):
        figure = _drawn(table, theirs, values)
        return [_saved(figure, path.with_suffix(ending)) for ending in (".png", ".svg")]


def _comparable(table: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    columns = ["task", "model", "metric", "value", "protocol"]
    if published is None or not len(published):
        return pd.DataFrame(columns=columns)
    measured = table[["task", "metric"]].drop_duplicates()
    return published[columns].merge(measured, on=["task", "metric"])


def _drawn(table: pd.DataFrame, published: pd.DataFrame, values: str) -> Figure:
    one = len(table[["task", "metric"]].drop_duplicates()) == 1
    return _drawn_one(table, published, values) if one else _drawn_many(table, published, values)


# ---------------------------------------------------------------- one task


def _drawn_one(table: pd.DataFrame, published: pd.DataFrame, values: str) -> Figure:
    """Names on the y axis say who is who: no legend, and one look for all."""
    best_first = table.sort_values("mean", ascending=False, kind="stable", na_position="last")
    names = [_told(row) for row in best_first.to_dict("records")]
    protocols = list(dict.fromkeys(published["protocol"]))
    names += [fill(f"published, {protocol}", _PROTOCOL_LETTERS) for protocol in protocols]
    lines = np.array([name.count("\n") + 1 for name in names])
    places = np.cumsum(lines) - (lines - 1) / 2
    title = fill(str(table["task"].iloc[0]), _TITLE_LETTERS)
    height = max(_INCHES_A_NAME * (lines.sum() + title.count("\n")) + 0.9, 1.8)
    figure = Figure(figsize=(8.0, height), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    for y, row in zip(places, best_first.to_dict("records"), strict=False):
        _draw_score(axes, y, row, _MARKS[0])
    for y, protocol in zip(places[len(best_first) :], protocols, strict=True):
        theirs = published.loc[published["protocol"] == protocol, "value"].to_numpy(float)
        axes.plot(theirs, np.full(len(theirs), y), **_tick(_TICKS[0]))
    axes.set_yticks(places, names)
    axes.set_ylim(lines.sum() + 1, 0)
    axes.tick_params(axis="y", length=0)
    # Over the whole figure: names on the y axis may leave the axes little width.
    figure.suptitle(title, fontsize="large")
    figure.supxlabel(f"{table['metric'].iloc[0]} {values}", fontsize="medium")
    return figure


def _told(row: Mapping[Hashable, Any]) -> str:
    return f"{row['contender']} (undefined)" if pd.isna(row["mean"]) else str(row["contender"])


def _draw_score(axes: Axes, y: float, row: Mapping[Hashable, Any], mark: Mapping[str, Any]) -> None:
    """The mean as a dot and its interval; nothing where the mean is undefined."""
    if pd.isna(row["mean"]):
        return
    if not pd.isna(row["low"]):
        axes.hlines(y, row["low"], row["high"], color=mark["color"], linewidth=1.4)
    axes.plot(row["mean"], y, markersize=4.5, markeredgewidth=0.7, linestyle="none", **mark)


# ---------------------------------------------------------------- many tasks


def _drawn_many(table: pd.DataFrame, published: pd.DataFrame, values: str) -> Figure:
    marks = _best_first(table, _assigned(table["contender"], _MARKS))
    ticks = _assigned(published["protocol"], _TICKS)
    panels = [
        _Panel(f"{metric} {values}", rows, published[published["metric"] == metric], marks, ticks)
        for metric, rows in table.groupby("metric", sort=False)
    ]
    lines = [panel.lines for panel in panels]
    height = max(sum(lines) * _INCHES_A_LINE + 0.7 * len(panels), 2.6)
    figure = Figure(figsize=(9.5, height), layout="constrained", dpi=150)
    axes = figure.subplots(len(panels), squeeze=False, height_ratios=lines)[:, 0]
    for panel, place in zip(panels, axes, strict=True):
        panel.draw(place)
    repeated = len(marks) > len(_MARKS)
    figure.legend(
        handles=_legend(marks, ticks),
        loc="outside right upper",
        fontsize=8,
        title="from top to bottom; marks are reused" if repeated else None,
    )
    return figure


def _best_first(
    table: pd.DataFrame, marks: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Contenders by their mean rank over tasks, the best first, so that legend and lanes follow
    the picture; each keeps its look.
    """
    scores = table.assign(mean=table["mean"].astype(float))
    ranks = scores.groupby(["task", "metric"])["mean"].rank(pct=True)
    order = ranks.groupby(table["contender"]).mean().fillna(-1.0)
    return {name: marks[name] for name in sorted(marks, key=lambda name: -order[name])}


def _assigned(names: pd.Series[str], looks: Sequence[Any]) -> dict[str, Any]:
    """A look for each distinct name, in order of appearance; they repeat if they do not suffice."""
    return {name: looks[k % len(looks)] for k, name in enumerate(dict.fromkeys(names))}


@dataclass(frozen=True, eq=False)
class _Panel:
    """The tasks of one metric: a row a task, in it a lane a contender and a lane a protocol."""

    name: str
    table: pd.DataFrame
    published: pd.DataFrame
    marks: dict[str, dict[str, Any]]
    ticks: dict[str, str]

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(self.table["task"]))

    @property
    def looks(self) -> list[str]:
        """Contenders and then protocols that occur here, from top to bottom of a row."""
        here = {*self.table["contender"], *self.published["protocol"]}
        return [name for name in [*self.marks, *self.ticks] if name in here]

    @property
    def lines(self) -> int:
        """Lanes of all rows, with two empty ones between rows."""
        return len(self.tasks) * (len(self.looks) + 2)

    def draw(self, axes: Axes) -> None:
        lanes = np.linspace(-_ROOM / 2, _ROOM / 2, len(self.looks))
        for at, task in enumerate(self.tasks):
            if at % 2:
                axes.axhspan(at - 0.5, at + 0.5, color="#f6f6f6", linewidth=0)
            places = dict(zip(self.looks, at + lanes, strict=True))
            self._draw_contenders(axes, self.table[self.table["task"] == task], places)
            self._draw_published(axes, self.published[self.published["task"] == task], places)
        axes.set_yticks(range(len(self.tasks)), [_two_lines(task) for task in self.tasks])
        axes.set_ylim(len(self.tasks) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labeltop=self.lines > _TALL)
        axes.set_xlabel(self.name)

    def _draw_contenders(self, axes: Axes, rows: pd.DataFrame, places: dict[str, float]) -> None:
        for row in rows.to_dict("records"):
            _draw_score(axes, places[row["contender"]], row, self.marks[row["contender"]])

    def _draw_published(self, axes: Axes, rows: pd.DataFrame, places: dict[str, float]) -> None:
        for protocol, some in rows.groupby("protocol"):
            values = some["value"].to_numpy(float)
            y = np.full(len(values), places[str(protocol)])
            axes.plot(values, y, **_tick(self.ticks[str(protocol)]))


def _two_lines(task: str) -> str:
    """A long name broken behind its suite, so that names do not take the room of the numbers."""
    return task.replace("/", "/\n", 1) if len(task) > _LONG_NAME else task


def _tick(colour: str) -> dict[str, Any]:
    return {
        "marker": "|",
        "color": colour,
        "markersize": 7,
        "markeredgewidth": 1.4,
        "linestyle": "none",
    }


def _legend(marks: dict[str, dict[str, Any]], ticks: dict[str, str]) -> list[Artist]:
    """One entry a contender, then one a protocol of published figures with its text."""
    dots = [
        Line2D([], [], markersize=5, linewidth=1.4, label=name, **mark)
        for name, mark in marks.items()
    ]
    lines = [
        Line2D([], [], label=fill(f"published, {protocol}", _PROTOCOL_LETTERS), **_tick(colour))
        for protocol, colour in ticks.items()
    ]
    return [*dots, *lines]


def _saved(figure: Figure, path: Path) -> Path:
    metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with atomic_file(path, overwrite=True) as made:
        figure.savefig(made, format=path.suffix[1:], metadata=metadata)
    return path
