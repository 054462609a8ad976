"""A page of titled parts in one HTML file, and how values are written on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from findna.files import write_text
from findna.report.figures import Chart, draw_chart


@dataclass(frozen=True, slots=True)
class Part:
    """A titled part of the page: a sentence, figures as SVG, a table of rows with a header."""

    title: str
    text: str = ""
    figures: Sequence[Markup] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def write_page(file: Path, title: str, folder: str, verdict: str, parts: Sequence[Part]) -> Path:
    """Write a page of parts, over what was there; `folder` says in its heading what it is about."""
    loader = PackageLoader("findna.report", package_path="")
    pages = Environment(loader=loader, autoescape=select_autoescape(["j2", "html"]))
    template = pages.get_template("page.html.j2")
    text = template.render(title=title, folder=folder, verdict=verdict, parts=parts)
    write_text(file, text)
    return file


def figures_of(chart: Chart) -> list[Markup]:
    """The figure of a chart; none where there is nothing to draw."""
    return [Markup(draw_chart(chart))] if any(chart.lines.values()) else []


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows of dotted names."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        rows += flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, shown(value))]
    return rows


def shown(value: Any) -> str:
    """A value as a cell of a table."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        return ", ".join(shown(item) for item in value)
    return str(value)


def score(value: Any) -> str:
    """A score or loss, to as many digits as it is worth."""
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def listed(words: Sequence[str], last: str) -> str:
    """`a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
