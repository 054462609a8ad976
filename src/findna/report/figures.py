"""Figures as inline SVG, drawn without pyplot so that nothing global is touched.

Text stays text (searchable, sharp), and the same numbers give the same bytes.
"""

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

COLOURS = ("#1f5fa8", "#c4571b", "#3d8b5f", "#8a4f9e", "#7a7a7a")
STYLE: dict[Any, Any] = {  # the stubs name every key of matplotlib
    "svg.fonttype": "none",
    "svg.hashsalt": "findna",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    # Names come from users: a dollar is a dollar.
    "text.parse_math": False,
}

_INCHES_A_LETTER = 0.09  # more than any usual font of this size takes
_LONGEST_NAME = 24
_INCHES_A_DIGIT = 0.08  # of a count, which is smaller
_SHADES = "(shades are fractions of a row; cells are too small for counts)"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over a common x axis, which counts, and level lines to compare them with.

    `agreement` names the diagonal of a chart of shares: both axes then go from 0 to 1.
    """

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Points]
    levels: Mapping[str, float] = field(default_factory=dict)
    bands: Mapping[str, Sequence[tuple[float, float, float]]] = field(default_factory=dict)
    smooth: bool = False
    agreement: str = ""


def draw_chart(chart: Chart) -> str:
    """SVG of a chart; few points are marked, a band is (x, low, high)."""
    with mpl.rc_context(STYLE):
        size = (4.0, 4.0) if chart.agreement else (5.4, 3.1)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        for colour, (name, points) in zip(COLOURS, chart.lines.items(), strict=False):
            _draw_line(axes, name, points, colour, chart.smooth)
            _draw_band(axes, chart.bands.get(name, ()), colour)
        for style, (name, level) in zip((":", "--", "-."), chart.levels.items(), strict=False):
            axes.axhline(level, color="#444444", linestyle=style, linewidth=1, label=name)
        if chart.agreement:
            _draw_agreement(axes, chart.agreement)
        else:
            # One tick will do: after a single epoch there are no others.
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
        if len(chart.lines) + len(chart.levels) > 1 or chart.agreement:
            axes.legend(loc="best", fontsize=8)
        return _svg(figure, chart.title)


def _draw_line(axes: Axes, name: str, points: Points, colour: str, smooth: bool) -> None:
    if not points:
        return
    x, y = np.array(points, dtype=float).T
    if smooth and len(y) > 30:
        axes.plot(x, y, color=colour, alpha=0.25, linewidth=0.8)
        y = _running_mean(y, len(y) // 15)
    marker = "o" if len(x) < 12 else None
    axes.plot(x, y, color=colour, linewidth=1.6, marker=marker, markersize=4, label=name)


def _draw_band(axes: Axes, band: Sequence[tuple[float, float, float]], colour: str) -> None:
    if len(band) == 1:
        x, low, high = band[0]
        axes.vlines(x, low, high, color=colour, alpha=0.5)
    elif band:
        x, low, high = np.array(band, dtype=float).T
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _draw_agreement(axes: Axes, name: str) -> None:
    """Both axes as shares, in fifths, with the diagonal; dots at an end are drawn whole."""
    for line in axes.get_lines():
        line.set(marker="o", markersize=4, clip_on=False)
    axes.axline((0, 0), slope=1, color="#444444", linestyle="--", linewidth=1, label=name, zorder=1)
    fifths = np.linspace(0, 1, 6)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=fifths, yticks=fifths, aspect="equal")


def _running_mean(y: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean over a centred window that shrinks at the ends, so that it has no lag."""
    total = np.concatenate([[0.0], np.cumsum(y)])
    place = np.arange(len(y))
    half = np.minimum(width // 2, np.minimum(place, len(y) - 1 - place))
    return np.asarray((total[place + half + 1] - total[place - half]) / (2 * half + 1))


def draw_table(counts: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> str:
    """SVG of a confusion table: rows are true classes, shades are shares of a row. Counts are left
    out where the cells of so many classes have no room for them.
    """
    table = np.array(counts, dtype=float)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    names = _shortened(classes)
    width, height = _table_size(names, title)
    told = len(f"{table.max():,.0f}") * _INCHES_A_DIGIT < _inches_of_cells(len(names)) / len(names)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (i, j), count in np.ndenumerate(table) if told else ():
            ink = "white" if share[i, j] > 0.55 else "#222222"
            axes.text(j, i, f"{count:,.0f}", ha="center", va="center", color=ink, fontsize=8)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="predicted" if told else f"predicted\n{_SHADES}", ylabel="true")
        # Over the whole figure: over the cells of two classes there is no room for it.
        figure.suptitle(title)
        return _svg(figure, title)


def _table_size(names: Sequence[str], title: str) -> tuple[float, float]:
    """Inches that cells, the names beside and, aslant, below them, and the title need."""
    cells = _inches_of_cells(len(names))
    beside = _INCHES_A_LETTER * max(map(len, names))
    wide = max(cells + beside + 0.9, _INCHES_A_LETTER * len(title) + 0.5)
    return wide, cells + 0.75 * beside + 1.2


def _inches_of_cells(many: int) -> float:
    return float(np.clip(0.62 * many, 1.3, 7.0))


def _shortened(names: Sequence[str]) -> list[str]:
    """Names that leave room, in full where two would look the same."""
    counts = Counter(map(short, names))
    return [short(name) if counts[short(name)] == 1 else name for name in names]


def short(name: str) -> str:
    """A name that leaves room for the figure beside it; names often differ in their ends."""
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[1 - half :]}"


def _svg(figure: Figure, label: str) -> str:
    """The drawing as an element to stand inside a page, with a name for screen readers."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return text.replace("<svg", f'<svg role="img" aria-label="{_escaped(label)}"', 1)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
