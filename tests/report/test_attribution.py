"""Pictures and page of a mutagenesis."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.collections import PathCollection

from findna.files import BadInput
from findna.report import attribution
from findna.report.attribution import (
    PICTURE_BASES,
    Mutated,
    draw_heat_map,
    draw_logo,
    write_attribution_page,
)

RANDOM = np.random.default_rng(4)


def mutated(length, **more):
    ref = "".join(RANDOM.choice(list("ACGT"), length))
    effects, contributions = RANDOM.normal(size=(2, length, 4))
    effects[np.arange(length), ["ACGT".index(base) for base in ref]] = 0
    contributions -= contributions.mean(1, keepdims=True)
    return Mutated("one", ref, effects, contributions, "unit", **more)


def letters(axes):
    """Boxes (x, low, high) of the letters of one line."""
    found = [c for c in axes.collections if isinstance(c, PathCollection)]
    boxes = [path.get_extents() for c in found for path in c.get_paths()]
    return sorted((round(b.x0), round(b.y0, 9), round(b.y1, 9)) for b in boxes)


def test_a_letter_is_as_high_as_its_base_is_worth():
    record = mutated(30)
    top, bottom = draw_logo(record).axes
    worth = -record.effects.mean(1)
    slope = record.contributions[record.one_hot]
    for axes, values in ((top, worth), (bottom, slope)):
        seen = {x: low if low < 0 else high for x, low, high in letters(axes)}
        for place, value in enumerate(values):
            if abs(value) >= 0.02 * np.abs(values).max():
                assert seen[place] == pytest.approx(value, abs=1e-6)
        assert len(seen) > 25
    assert [axes.get_ylabel() for axes in (top, bottom)] == ["mutagenesis", "gradient × input"]
    (only,) = draw_logo(record, gradient=False).axes
    assert letters(only) == letters(top)


def test_a_cell_is_coloured_by_its_effect():
    record = mutated(30)
    record.effects[7] = np.nan
    axes = draw_heat_map(record).axes[0]
    shown = axes.images[0].get_array()
    assert np.array_equal(shown.mask, np.isnan(record.effects.T))
    assert np.allclose(shown.filled(0), np.nan_to_num(record.effects.T))
    low, high = axes.images[0].get_clim()
    assert low == -high == -np.nanmax(np.abs(record.effects))
    dots = axes.lines[0].get_xydata()
    assert ["ACGT"[int(y)] for _, y in dots] == list(record.ref)


def test_columns_of_logo_and_heat_map_stand_over_one_another():
    record = mutated(150)
    logo, cells = draw_logo(record), draw_heat_map(record)
    places = [axes.get_position().intervalx for axes in (*logo.axes, *cells.axes[:-1])]
    assert np.ptp(np.array(places), axis=0).max() == 0
    for base in (0, 149):
        row, place = divmod(base, 120)
        left, right = logo.axes[2 * row], cells.axes[row]
        at = [
            axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0]
            for axes, x in ((left, place + 0.5), (right, place))
        ]
        assert at[0] == pytest.approx(at[1])
    assert cells.axes[-1].get_ylabel() == "effect"


def test_the_logo_of_a_pretrained_model_is_no_worth_of_a_base():
    record = mutated(20)
    assert "effect" in draw_logo(record).get_suptitle()
    title = draw_logo(record, gradient=False).get_suptitle()
    assert "surrounding sequence predicts" in title and "effect" not in title


def test_a_dollar_in_a_name_destroys_nothing(folder):
    table = folder / "agreement.tsv"
    table.write_text(table.read_text().replace("r/1", r"$\bad_{$"))
    write_attribution_page(folder, pictures=1)
    (logo,) = (folder / "pictures").glob("*.logo.svg")
    assert r"$\bad_{$, the effect of each" in logo.read_text(encoding="utf-8")


def test_long_records_are_drawn_where_they_matter():
    record = mutated(PICTURE_BASES + 500)
    record.effects[:300] = 0
    record.effects[-200:] *= 9
    shown = record.stretch
    assert len(shown.ref) == len(shown.effects) == PICTURE_BASES
    sums = [np.abs(record.effects[s : s + PICTURE_BASES]).sum() for s in range(501)]
    assert shown.first == int(np.argmax(sums)) + 1
    assert shown.ref == record.ref[shown.first - 1 :][:PICTURE_BASES]
    assert f"bases {shown.first:,} to" in shown.title
    figure = draw_heat_map(record)
    assert len(figure.axes) == 11
    first = figure.axes[0].get_xticklabels()[0].get_text()
    assert int(first) % 10 == 0 and int(first) >= shown.first
    assert mutated(PICTURE_BASES).stretch.first == 1


@pytest.mark.parametrize("draw", [draw_logo, draw_heat_map])
def test_nothing_but_n_and_no_effect_at_all_can_be_drawn(draw):
    empty = np.full((130, 4), np.nan)
    draw(Mutated("n", "N" * 130, empty, empty, "unit"))
    zero = np.zeros((130, 4))
    figure = draw(Mutated("n", "A" * 130, zero, zero, "unit", stable=False))
    assert "UNSTABLE" in figure.get_suptitle()


@pytest.mark.parametrize("draw", [draw_logo, draw_heat_map])
def test_a_long_name_leaves_room_for_the_warning(draw):
    record = replace(mutated(20), title="n" * 230, stable=False)
    figure = draw(record)
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert "UNSTABLE" in figure.get_suptitle() and box.x0 >= 0 and box.x1 <= figure.bbox.x1


@pytest.fixture
def folder(tmp_path):
    """A folder as the verb writes it: three records, the second unstable."""
    groups = []
    for number in (1, 2, 3):
        record = mutated(20)
        table = pd.DataFrame({"record": number, "id": f"r/{number}", "ref": list(record.ref)})
        for at, letter in enumerate("ACGT"):
            table[letter] = record.effects[:, at]
            table[f"contribution_{letter}"] = record.contributions[:, at]
        groups.append(pa.Table.from_pandas(table))
    with pq.ParquetWriter(tmp_path / "effects.parquet", groups[0].schema) as writer:
        for group in groups:
            writer.write_table(group)
    verdicts = ("stable", "unstable, do not read motifs from this", "stable")
    rows = [f"{n}\tr/{n}\t20\t0.{n}\tNA\t{said}\n" for n, said in enumerate(verdicts, 1)]
    header = "record\tid\tlength\tstrands\tmodels\tverdict\n"
    (tmp_path / "agreement.tsv").write_text(header + "".join(rows))
    facts = {
        "models": [{"name": "run", "digest": "sha256:1", "strand": "both"}], "genome": None,
        "kind": "task", "target": "<yes>", "unit": "logit", "contributions": "slope",
        "window": None, "sets": None, "records": 3, "agreement": {"strands": 0.2, "models": None},
        "agreement_wanted": 0.5, "unstable_records": 1,
        "verdict": "unstable, do not read motifs from this", "command": "findna mutagenesis a & b",
    }  # fmt: skip
    (tmp_path / "mutagenesis.json").write_text(json.dumps(facts))
    return tmp_path


def test_the_page_says_what_was_found_and_needs_nothing_else(folder):
    text = write_attribution_page(folder, pictures=2).read_text()
    assert "unstable, do not read motifs from this; strands agree with r = 0.20" in text
    assert 'class="verdict alarm"' in text
    assert "findna mutagenesis a &amp; b" in text and "&lt;yes&gt;" in text
    assert text.count("data:image/png;base64,") == 4
    assert "red raises the prediction" in text and "grey is N" in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    made = sorted(path.name for path in (folder / "pictures").iterdir())
    names = [f"000{n}-r_{n}" for n in (1, 2)]
    kinds = ("heatmap.png", "heatmap.svg", "logo.png", "logo.svg")
    assert made == [f"{name}.{kind}" for name in names for kind in kinds]
    logo = (folder / "pictures" / "0002-r_2.logo.svg").read_text()
    assert "UNSTABLE" in logo
    assert "UNSTABLE" not in (folder / "pictures" / "0001-r_1.logo.svg").read_text()


def test_a_page_is_written_twice_with_the_same_bytes(folder):
    first = write_attribution_page(folder, pictures=1).read_bytes()
    svg = folder / "pictures" / "0001-r_1.logo.svg"
    drawn = svg.read_bytes()
    assert write_attribution_page(folder, pictures=1).read_bytes() == first
    assert svg.read_bytes() == drawn
    assert len(list((folder / "pictures").iterdir())) == 4


def test_no_pictures_need_no_library(folder, monkeypatch):
    def absent():
        raise BadInput("logos need the library tangermeme")

    monkeypatch.setattr(attribution, "_logo_plotter", absent)
    page = write_attribution_page(folder, pictures=0).read_text()
    assert "<h2>Pictures</h2>" not in page
    assert "<img" not in page and not Path(folder / "pictures").exists()
    with pytest.raises(BadInput, match="tangermeme"):
        write_attribution_page(folder, pictures=1)
