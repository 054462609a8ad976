"""The picture holds every number of the table, once, and nothing that cannot be compared."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from findna.report import comparison
from findna.report.comparison import draw_comparison

TASKS = [f"gue/{name}" for name in ("prom_core_all", "tf/0", "tf/1", "mouse/0")]
CONTENDERS = ["finetune-tiny", "linear-tiny", "kmer", "composition", "majority"]


def _table(tasks=TASKS, contenders=CONTENDERS, metric="mcc"):
    rows = [
        {"task": task, "metric": metric, "contender": name, "mean": 0.3 + 0.1 * k + 0.02 * t}
        for t, task in enumerate(tasks)
        for k, name in enumerate(contenders)
    ]
    table = pd.DataFrame(rows)
    return table.assign(low=table["mean"] - 0.03, high=table["mean"] + 0.02)


def _published(*rows):
    return pd.DataFrame(rows, columns=["task", "model", "metric", "value", "protocol", "source"])


FIGURES = _published(
    ("gue/tf/0", "DNABERT-2", "mcc", 0.7199, "dev-selected: test read once", "paper"),
    ("gue/tf/0", "NT", "mcc", 0.6660, "dev-selected: test read once", "paper"),
    ("gue/tf/0", "HyenaDNA", "mcc", 0.6234, "P1: the test split chose", "paper"),
    ("gue/tf/0", "CNN", "accuracy", 0.99, "P1: the test split chose", "paper"),
    ("gue/tf/2", "NT", "mcc", 0.5, "P2: five seeds", "paper"),
)


def _drawn(table, published=None):
    return comparison._drawn(table, comparison._comparable(table, published), "on test rows")


def _points(axes):
    """Every marker of a panel as (x, y, marker, colour)."""
    return [
        (x, y, line.get_marker(), line.get_color())
        for line in axes.get_lines()
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_both_files_are_written_and_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    files = draw_comparison(_table(), FIGURES, tmp_path / "comparison.png")
    assert [f.name for f in files] == ["comparison.png", "comparison.svg"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    again = draw_comparison(_table(), FIGURES, tmp_path / "again.svg")
    for one, two in zip(files, again, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "again.png", "again.svg", "comparison.png", "comparison.svg",
    ]  # fmt: skip


def test_text_stays_text_and_names_everything(tmp_path: Path) -> None:
    _, svg = draw_comparison(_table(), FIGURES, tmp_path / "comparison")
    text = re.sub(r"<[^>]+>", " ", svg.read_text(encoding="utf-8"))
    for word in [*TASKS, *CONTENDERS, "published, dev-selected", "published, P1", "mcc on test"]:
        assert word in text
    assert "P2" not in text  # no task of the table has a figure under it


def test_every_mean_and_every_comparable_figure_is_one_marker() -> None:
    table = _table()
    points = _points(_drawn(table, FIGURES).axes[0])
    dots = [x for x, _, marker, _ in points if marker != "|"]
    ticks = [x for x, _, marker, _ in points if marker == "|"]
    assert sorted(dots) == pytest.approx(sorted(table["mean"]))
    assert sorted(ticks) == pytest.approx([0.6234, 0.6660, 0.7199])


def test_lanes_never_meet() -> None:
    """Each contender and each protocol of a task has a height of its own, inside the task's row."""
    points = _points(_drawn(_table(), FIGURES).axes[0])
    looks: dict[float, set[tuple[str, str]]] = {}
    for _, y, marker, colour in points:
        looks.setdefault(round(y, 6), set()).add((marker, colour))
    assert all(len(found) == 1 for found in looks.values())
    heights = np.array(sorted(looks))
    assert np.abs(heights - heights.round()).max() < 0.5
    assert np.diff(heights).min() > 0.05


def test_intervals_are_drawn_from_low_to_high() -> None:
    table = _table(["gue/tf/0"], ["kmer"])
    (axes,) = _drawn(table).axes
    (segment,) = axes.collections[0].get_segments()
    assert segment[:, 0].tolist() == pytest.approx([0.27, 0.32])


def test_many_contenders_all_look_different() -> None:
    names = [f"contender-{k}" for k in range(30)]
    (axes,) = _drawn(_table(contenders=names)).axes
    looks = {
        (line.get_marker(), line.get_color(), line.get_markerfacecolor())
        for line in axes.get_lines()
        if len(line.get_xdata())
    }
    assert len(looks) == 30


def test_marks_that_repeat_say_so() -> None:
    for many, said in ((30, ""), (31, "from top to bottom; marks are reused")):
        figure = _drawn(_table(contenders=[f"contender-{k}" for k in range(many)]))
        assert figure.legends[0].get_title().get_text() == said


def test_each_metric_has_a_panel() -> None:
    both = pd.concat([_table(), _table(["own"], metric="r2")])
    panels = _drawn(both, FIGURES).axes
    assert [axes.get_xlabel().split()[0] for axes in panels] == ["mcc", "r2"]
    assert [len(axes.get_yticks()) for axes in panels] == [4, 1]


def test_what_is_undefined_is_left_out_of_the_picture() -> None:
    table = _table(["gue/tf/0"]).astype({"low": object, "high": object})
    table.loc[0, ["mean", "low", "high"]] = [np.nan, None, None]
    table.loc[1, ["low", "high"]] = [None, None]
    (axes,) = _drawn(table).axes
    assert len(_points(axes)) == len(CONTENDERS) - 1
    assert sum(len(c.get_segments()) for c in axes.collections) == len(CONTENDERS) - 2


def test_legend_and_panel_do_not_overlap() -> None:
    names = [f"contender-{k}" for k in range(8)]
    tasks = [f"gue/task/{k}" for k in range(10)]
    figures = _published(
        *((task, "m", "mcc", 0.6, f"protocol {k}: " + "words " * 12, "s") for k in range(3)
          for task in tasks)
    )  # fmt: skip
    figure = _drawn(_table(tasks, names), figures)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    (axes,) = figure.axes
    box = legend.get_window_extent()
    assert box.x0 >= axes.get_window_extent().x1
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
    assert box.y0 >= figure.bbox.y0


def test_of_a_single_task_contenders_stand_on_the_axis_the_best_on_top() -> None:
    table = _table(["gue/tf/0"]).sample(frac=1, random_state=1)
    table.loc[table["contender"] == "kmer", ["mean", "low", "high"]] = np.nan
    figure = _drawn(table, FIGURES)
    (axes,) = figure.axes
    names = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert names == [
        "majority", "composition", "linear-tiny", "finetune-tiny", "kmer (undefined)",
        "published, dev-selected: test read once", "published, P1: the test split chose",
    ]  # fmt: skip
    top, bottom = sorted(axes.get_ylim())
    assert axes.yaxis_inverted() and top < min(axes.get_yticks())
    assert max(axes.get_yticks()) < bottom
    places = {y: x for x, y, marker, _ in _points(axes) if marker != "|"}
    assert [places[y] for y in axes.get_yticks()[:4]] == pytest.approx([0.7, 0.6, 0.4, 0.3])
    assert figure.legends == [] and axes.get_legend() is None
    assert figure.get_suptitle() == "gue/tf/0"


def test_a_long_task_name_is_not_cut_off() -> None:
    names = ["finetune-a_favourite_checkpoint_of_a_long_name_window_1000_seed_1", "kmer"]
    figure = _drawn(_table(["enhancers of the limb and heart " * 5], names))
    figure.draw_without_rendering()
    (title,) = (text for text in figure.texts if text.get_text() == figure.get_suptitle())
    box = title.get_window_extent()
    assert figure.bbox.x0 < box.x0 and box.x1 < figure.bbox.x1
    assert box.y0 > figure.axes[0].get_window_extent().y1


def test_names_may_hold_dollars_and_axes_say_what_values_are(tmp_path: Path) -> None:
    for tasks in (["p$x_$"], ["p$x_$", r"$\q$"]):
        table = _table(tasks, ["$a_b", "50$ of $"])
        _, svg = draw_comparison(table, None, tmp_path / "c", "on dev rows (mean over draws)")
        text = svg.read_text(encoding="utf-8")
        for word in (*tasks, "$a_b", "50$ of $", "mcc on dev rows (mean over draws)"):
            assert f">{word}<" in text
        assert "seeds" not in text


def test_the_legend_is_ordered_by_what_is_drawn_and_looks_stay() -> None:
    """By the mean rank over tasks: contenders of two tasks need not have run on all."""
    table = _table()
    shuffled = table[~((table["contender"] == "majority") & (table["task"] == TASKS[0]))]
    figure = _drawn(shuffled)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*reversed(CONTENDERS)]
    (axes,) = figure.axes
    lanes = sorted((y, marker) for _, y, marker, _ in _points(axes))
    first = next(marker for y, marker in lanes if y > 0.5)
    assert first == "v"  # the fifth to appear is drawn first


@pytest.mark.parametrize(("tasks", "twice"), [(2, False), (20, True)])
def test_the_axis_is_printed_twice_only_where_the_picture_is_tall(tasks: int, twice: bool) -> None:
    (axes,) = _drawn(_table([f"t{k}" for k in range(tasks)])).axes
    assert axes.xaxis.get_tick_params()["labeltop"] is twice
