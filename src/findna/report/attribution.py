"""Pictures and page of a mutagenesis, from the files of its folder.

Logos are drawn by tangermeme. A picture shows at most `PICTURE_BASES` bases: of a longer record the
stretch where substitutions do most, and its title says which.
"""

from __future__ import annotations

import base64
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from findna.files import BadInput, read_json
from findna.report.figures import STYLE, short
from findna.report.page import Part, write_page

Floats = NDArray[np.float64]

LETTERS = "ACGT"
ROW_BASES = 120
PICTURE_BASES = 10 * ROW_BASES
_ALARM = "#b03a2e"
_RIGHT = 0.93  # of the width of a picture; behind it stands the bar of colours
_EXPECTED = "how strongly the surrounding sequence predicts each base"


@dataclass(frozen=True, eq=False)
class Mutated:
    """What is drawn of one record: `effects` and `contributions` (L, 4), NaN at N.

    `ref` is its L letters, `first` the number of the first base drawn, from 1.
    """

    title: str
    ref: str
    effects: Floats
    contributions: Floats
    unit: str
    stable: bool = True
    first: int = 1

    @property
    def stretch(self) -> Mutated:
        """The record itself, or its `PICTURE_BASES` bases of the largest effects."""
        if len(self.ref) <= PICTURE_BASES:
            return self
        sums = np.cumsum(np.append(0, np.nansum(np.abs(self.effects), axis=1)))
        start = int(np.argmax(sums[PICTURE_BASES:] - sums[:-PICTURE_BASES]))
        here = slice(start, start + PICTURE_BASES)
        title = f"{self.title}, bases {start + 1:,} to {start + PICTURE_BASES:,}"
        title += f" of {len(self.ref):,}"
        return Mutated(
            title, self.ref[here], self.effects[here], self.contributions[here],
            self.unit, self.stable, start + 1,
        )  # fmt: skip

    @property
    def one_hot(self) -> NDArray[np.bool_]:
        """(L, 4), all False at N."""
        return np.array([[letter == base for letter in LETTERS] for base in self.ref], np.bool_)

    def rows(self) -> Iterator[slice]:
        """Lines of the picture."""
        for start in range(0, len(self.ref), ROW_BASES):
            yield slice(start, min(start + ROW_BASES, len(self.ref)))


# ---------------------------------------------------------------- the heat map


def draw_heat_map(record: Mutated) -> Figure:
    """Every substitution as a coloured cell, blue less and red more; a dot marks the base that
    stands there, grey is N.
    """
    shown = record.stretch
    rows = list(shown.rows())
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure, places = _lines(len(rows), 1.1)
        top = float(np.nanmax(np.abs(shown.effects), initial=0)) or 1.0
        for axes, row in zip(places, rows, strict=True):
            image = _draw_cells(axes, shown, row, top)
        low, high = places[-1].get_position().y0, places[0].get_position().y1
        bar = figure.add_axes((_RIGHT + 0.01, low, 0.008, high - low))
        figure.colorbar(image, cax=bar, label="effect")
        _title(figure, shown, "effect of every substitution")
    return figure


def _lines(count: int, inches: float) -> tuple[Figure, list[Axes]]:
    """A figure of so many lines, each so high; columns of all pictures stand over one another."""
    height = 0.6 + inches * count
    room = {"left": 0.05, "right": _RIGHT, "top": 1 - 0.3 / height, "bottom": 0.25 / height}
    figure = Figure(figsize=(15, height), dpi=110)
    places = figure.subplots(count, squeeze=False, gridspec_kw={**room, "hspace": 0.35})[:, 0]
    return figure, list(places)


def _draw_cells(axes: Axes, shown: Mutated, row: slice, top: float) -> Any:
    colours = mpl.colormaps["RdBu_r"].with_extremes(bad="#bbbbbb")
    cells = np.ma.masked_invalid(shown.effects[row].T)
    image = axes.imshow(cells, cmap=colours, vmin=-top, vmax=top, aspect="auto")
    place, letter = np.nonzero(shown.one_hot[row])
    axes.plot(place, letter, ".", color="#444444", markersize=2)
    axes.set_yticks(range(4), list(LETTERS))
    _number_bases(axes, shown, row, 0)
    return image


def _number_bases(axes: Axes, shown: Mutated, row: slice, middle: float) -> None:
    """Ticks at every tenth base, counted from 1 in reading direction; all lines equally long."""
    numbers = np.arange(row.start, row.stop) + shown.first
    tenth = np.flatnonzero(numbers % 10 == 0)
    axes.set_xticks(tenth + middle, [str(n) for n in numbers[tenth]])
    axes.set_xlim(middle - 0.5, middle - 0.5 + min(ROW_BASES, len(shown.ref)))
    axes.tick_params(length=2, labelsize=7)


# ---------------------------------------------------------------- the logo


def draw_logo(record: Mutated, gradient: bool = True) -> Figure:
    """Letters as high as the base that stands there is worth: by mutagenesis, and below it by
    gradient × input.

    By mutagenesis a base is worth minus the mean effect of the four letters at its place. Without
    `gradient` the effects are those of a pretrained model, from the masked base.

    Raises:
        BadInput: tangermeme, which draws the letters, is not installed.
    """
    shown = record.stretch
    name = "mutagenesis" if gradient else "masked base"
    kinds = {name: shown.effects - shown.effects.mean(1, keepdims=True)}
    if gradient:
        kinds["gradient × input"] = shown.contributions
    rows = list(shown.rows())
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure, places = _lines(len(rows) * len(kinds), 1.15)
        each = iter(places)
        for row in rows:
            for kind, worth in kinds.items():
                _draw_letters(next(each), shown, row, worth, kind)
        _title(figure, shown, "the effect of each base" if gradient else _EXPECTED)
    return figure


def _draw_letters(axes: Axes, shown: Mutated, row: slice, worth: Floats, kind: str) -> None:
    heights = np.where(shown.one_hot, np.nan_to_num(worth), 0.0)
    low, high = float(heights.min(initial=0)), float(heights.max(initial=0))
    if heights[row].any():
        _logo_plotter()(heights[row].T, ax=axes, ylim=(low, high))
    axes.axhline(0, color="#888888", linewidth=0.5)
    axes.set_ylabel(kind, fontsize=7)
    _number_bases(axes, shown, row, 0.5)


def _logo_plotter() -> Any:
    try:
        from tangermeme.plot import plot_logo
    except ImportError:
        raise BadInput(
            "logos need the library tangermeme",
            remedy="pip install 'findna[interpret]', or --pictures 0",
        ) from None
    return plot_logo


def require_logos() -> None:
    """Nothing, or `BadInput` if logos cannot be drawn: better known before hours of mutagenesis."""
    _logo_plotter()


def _title(figure: Figure, shown: Mutated, what: str) -> None:
    alarm = "" if shown.stable else ": UNSTABLE, do not read motifs from this"
    colour = "#222222" if shown.stable else _ALARM
    text = f"{short(shown.title)}, {what} ({shown.unit}){alarm}"
    y = 1 - 0.06 / figure.get_figheight()
    figure.suptitle(text, y=y, va="top", fontsize=9, color=colour)


# ---------------------------------------------------------------- the page


def write_attribution_page(folder: str | Path, pictures: int = 10) -> Path:
    """Write `index.html`, and pictures of the first records, into the folder of a mutagenesis.

    Every picture is there as PNG and SVG, below `pictures/`; the page holds the PNGs itself.

    Raises:
        BadInput: this is no such folder, or pictures are asked for without tangermeme.
    """
    folder = Path(folder)
    facts = read_json(folder / "mutagenesis.json")
    # A record may be called NA.
    absent = {"strands": ["NA"], "models": ["NA"]}
    table = pd.read_csv(
        folder / "agreement.tsv", sep="\t", dtype={"id": str}, na_values=absent,
        keep_default_na=False,
    )  # fmt: skip
    drawn = [
        _picture_part(folder, number, one, facts["kind"] == "task")
        for number, one in enumerate(_drawn(folder, facts, table, pictures), 1)
    ]
    parts = [
        _agreement_part(facts, table),
        Part("Pictures", _HOW_TO_READ[facts["kind"]] if drawn else ""),
        *drawn,
        Part("What was measured", "", (), ("what", "value"), _facts(facts)),
        Part("Command", "", (), ("command",), [(str(facts["command"]),)]),
    ]
    what = f"{facts['records']:,} record{'s' if facts['records'] != 1 else ''}"
    return write_page(folder / "index.html", "findna mutagenesis", what, _sentence(facts), parts)


_HOW_TO_READ = {
    "task": (
        "In a logo, letters above the line raise the prediction, those below lower it. In a heat"
        " map each column is a base and each row the base it is changed to: red raises the"
        " prediction, blue lowers it, a dot marks the reference base, grey is N."
    ),
    "pretrained": (
        "In a logo, letters above the line are expected from the surrounding sequence, those"
        " below are not. In a heat map each column is a base and each row another base: red is"
        " expected more than the reference base, blue less, a dot marks the reference base, grey"
        " is N."
    ),
}


def _drawn(
    folder: Path, facts: Mapping[str, Any], table: pd.DataFrame, pictures: int
) -> Iterator[Mutated]:
    with pq.ParquetFile(folder / "effects.parquet") as file:
        for group in range(min(pictures, file.num_row_groups)):
            rows = file.read_row_group(group).to_pandas()
            effects = rows[list(LETTERS)].to_numpy(float)
            contributions = rows[[f"contribution_{letter}" for letter in LETTERS]].to_numpy(float)
            verdict = table["verdict"][group]
            title, ref = str(table["id"][group]), "".join(rows["ref"])
            stable = not str(verdict).startswith("unstable")
            yield Mutated(title, ref, effects, contributions, str(facts["unit"]), stable)


def _picture_part(folder: Path, number: int, record: Mutated, gradient: bool) -> Part:
    name = f"{number:04d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', record.title)[:60]}"
    figures = {
        "logo": draw_logo(record, gradient),
        "heatmap": draw_heat_map(record),
    }
    images = [
        _save(figure, folder / "pictures" / f"{name}.{kind}", f"{kind} of {record.title}")
        for kind, figure in figures.items()
    ]
    return Part(record.title, "", images)


def _save(figure: Figure, path: Path, label: str) -> Markup:
    """Write PNG and SVG; the PNG as an element of the page."""
    path.parent.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        svg, png = path.with_name(f"{path.name}.svg"), path.with_name(f"{path.name}.png")
        with warnings.catch_warnings():
            # Letters of a name that no font here has are boxes in the picture, and in the table.
            warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
            figure.savefig(svg, metadata={"Date": None})
            figure.savefig(png, metadata={"Software": None})
    data = base64.b64encode(png.read_bytes()).decode()
    return Markup('<img style="max-width:100%" alt="{}" src="data:image/png;base64,{}">').format(
        label, data
    )


def _sentence(facts: Mapping[str, Any]) -> str:
    """The verdict with its numbers."""
    found = [
        f"{kind} agree with r = {r:.2f}" for kind, r in facts["agreement"].items() if r is not None
    ]
    return "; ".join([str(facts["verdict"]), *found])


def _agreement_part(facts: Mapping[str, Any], table: pd.DataFrame) -> Part:
    text = (
        "Pearson correlation of the effects of all substitutions, between the two strands and"
        " between models. The correlation of two repetitions is the share of either that is"
        f" signal: below {facts['agreement_wanted']:g} a matrix holds more noise than signal. The"
        " strands of one model share its weights: models of several seeds (several -m) are the"
        " harder test."
    )
    names = ["record", "id", "length", "strands", "models", "verdict"]
    rows = [tuple(map(_cell, row)) for row in table[names].itertuples(index=False)]
    return Part("Agreement", text, (), names, rows)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.3f}"
    return str(value)


def _facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    models = [
        (f"model {number}", f"{model['name']}, strand {model['strand']}, {model['digest']}")
        for number, model in enumerate(facts["models"], 1)
    ]
    genome = facts["genome"]
    wanted = ("target", "unit", "contributions", "window", "sets")
    rows = [(name, str(facts[name])) for name in wanted if facts[name] is not None]
    if genome:
        rows.append(("genome", f"{genome['source']}, {genome['digest']}"))
    return [*models, *rows]
