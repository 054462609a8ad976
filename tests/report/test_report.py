"""The report says what the run folder says, and nothing is needed to read it."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.textpath import TextPath

from findna.files import BadInput
from findna.report import write_report
from findna.report.figures import Chart, _running_mean, draw_chart, draw_table
from findna.training.judgement import write_table


def _run(
    folder: Path,
    settings: dict[str, Any],
    rows: list[dict[str, Any]],
    tail: str = "",
    finished: bool = True,
) -> Path:
    folder.mkdir()
    if finished:
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text('{"provenance": {"finished": true}}')
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines + tail)
    return folder


def _check(step: int, loss: float) -> dict[str, Any]:
    return {
        "step": step,
        "mask_loss": loss,
        "mask_loss_low": loss - 0.01,
        "mask_loss_high": loss + 0.01,
        "letter_entropy": 1.38,
        "markov_loss": 1.26,
        "effective_rank": 20.0 + step,
        "teacher_entropy": 2.0,
        "token_information": 0.5,
        "strand_agreement": 0.9,
        "distillation_loss": 1.0,
        "verdict": f"learning at step {step}",
    }


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    training = [
        {"step": s, "masked_loss": 1.3, "train_distillation_loss": 2.0, "learning_rate": 1e-3}
        for s in range(1, 60)
    ]
    checks = [
        _check(20, 1.35),
        {**_check(40, 1.29), "by_length": {"70": {"loss": 1.3, "low": 1.2, "high": 1.4}}},
    ]
    settings = {"verb": "pretrain", "settings": {"preset": "tiny", "sampling": {"window": 512}}}
    return _run(tmp_path / "run", settings, training + checks, tail='{"step": 61, "mas')


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_pretraining_report_has_its_figures_and_numbers(pretrained: Path) -> None:
    page = _text(write_report(pretrained))
    for title in (
        "MASK-only loss on held-out DNA",
        "MASK-only loss by window length",
        "Effective rank of embeddings",
        "Entropy of the teacher",
        "Agreement of the two strands",
        "Training losses",
        "letter entropy",
        "two-sided Markov model",
    ):
        assert title in page
    assert '<p class="verdict">learning at step 40</p>' in page
    assert "settings.sampling.window</td><td>512" in page


def test_the_page_needs_nothing_from_elsewhere(pretrained: Path) -> None:
    page = _text(write_report(pretrained))
    links = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert links == []
    assert "<script" not in page


def test_a_fine_tuning_report_has_its_metrics_and_confusion(tmp_path: Path) -> None:
    curve = [
        {"stage": "fit", "epoch": e, "strand": s, "train_loss": 0.7 / e, "validation_mcc": e / 9}
        for s in ("both", "forward")
        for e in (1, 2, 3)
    ]
    folder = _run(tmp_path / "r", {"verb": "finetune"}, curve)
    metrics = {
        "protocol": "test split, read once at the end",
        "metrics": {
            "mcc": {"value": 0.6123, "low": 0.5, "high": 0.7},
            "auroc": {"value": None, "reason": "one class only"},
        },
        "rows": {"train": 100, "test": 20},
        "chosen": {"train": "last"},
        "tried": [
            {"train": "probe", "strand": "both", "auroc": 0.75, "loss": 0.625, "parts": 3},
            {"train": "last", "strand": "both", "auroc": None, "loss": 0.5, "parts": 3},
        ],
        "permutation_p_values": {"mcc": 0.001},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "confusion.tsv").write_text("label\tno\tyes\nno\t8\t2\nyes\t3\t7\n")
    page = _text(write_report(folder))
    assert "<td>mcc</td><td>0.612</td><td>0.500 to 0.700</td>" in page
    assert "<td>auroc</td><td>undefined</td><td>one class only</td>" in page
    assert "Test split, read once at the end." in page
    assert page.count("<svg") == 3
    assert "Chosen: last." in page and "<td>probe</td><td>both</td><td>0.75</td>" in page
    assert "<td>last</td><td>both</td><td>–</td><td>0.5</td><td>3</td>" in page
    for text in ("strand: both", "strand: forward", "permutation p-value of mcc", "predicted"):
        assert text in page


def test_labels_of_a_confusion_table_may_hold_anything(tmp_path: Path) -> None:
    folder = _run(tmp_path / "r", {"verb": "finetune"}, [])
    (folder / "metrics.json").write_text(json.dumps({"metrics": {}, "rows": {}}))
    table = pd.DataFrame([[8, 2], [3, 7]], ["a\tb", 'the "c"'], ["a\tb", 'the "c"'])
    table.index.name = "label"
    write_table(table, folder / "confusion.tsv", index=True)
    page = _text(write_report(folder))
    assert "the &quot;c&quot;" in page or 'the "c"' in page
    assert '""' not in page.split("True and predicted class")[1]


def test_curves_are_those_of_runs_that_took_part_to_their_end(tmp_path: Path) -> None:
    """Parts that choose in turn and probes draw no line; what is trained names one."""
    each = {"stage": "fit", "strand": "both", "train_loss": 0.5}
    curve = [
        {**each, "train": "full", "part": 1, "epoch": 1},
        {"stage": "fit", "train": "probe", "strand": "both", "validation_loss": 0.5},
        *({**each, "train": name, "epoch": e} for name in ("full", "last") for e in (1, 2)),
    ]
    page = _text(write_report(_run(tmp_path / "r", {"verb": "finetune"}, curve)))
    assert page.count("<svg") == 1
    assert "full, strand: both" in page and "last, strand: both" in page and "probe" not in page


def test_an_alarm_looks_like_one(tmp_path: Path) -> None:
    row = {**_check(20, 1.4), "verdict": "COLLAPSING: all alike"}
    page = _text(write_report(_run(tmp_path / "r", {"verb": "pretrain"}, [row])))
    assert 'class="verdict alarm"' in page


def test_a_run_that_was_stopped_early_still_has_a_report(tmp_path: Path) -> None:
    page = _text(write_report(_run(tmp_path / "r", {"verb": "pretrain"}, [], finished=False)))
    assert "<svg" not in page
    assert "Settings" in page
    for empty in ("Held-out DNA", "Health", "Training", "Final check", "Environment"):
        assert f"<h2>{empty}</h2>" not in page


def test_a_run_without_a_model_says_first_that_it_is_not_finished(tmp_path: Path) -> None:
    settings = {"verb": "pretrain", "settings": {"steps": 4000}}
    folder = _run(tmp_path / "p", settings, [_check(10, 1.4)], finished=False)
    page = _text(write_report(folder, "interrupted"))
    words = "Not finished: step 10 of 4,000. Stopped: interrupted. At the last check: learning at"
    assert f'<p class="verdict alarm">{words}' in page

    (folder / "checkpoints" / "last").mkdir(parents=True)
    state = {"step": 1200, "plan": {"steps": 5000}}
    (folder / "checkpoints" / "last" / "state.json").write_text(json.dumps(state))
    assert "Not finished: step 1,200 of 5,000. At" in _text(write_report(folder))

    folder = _run(tmp_path / "f", {"verb": "finetune"}, [], finished=False)
    page = _text(write_report(folder, "the loss is not finite in epoch 1"))
    assert "written no model. Stopped: the loss is not finite in epoch 1.</p>" in page
    assert "<h2>Result</h2>" not in page and "<h2>How it was tested</h2>" not in page


def test_a_model_of_fewer_steps_than_planned_is_not_finished(tmp_path: Path) -> None:
    folder = _run(tmp_path / "r", {"verb": "pretrain"}, [_check(40, 1.3)])
    seen = {"finished": False, "steps": 40, "planned_steps": 90}
    (folder / "model" / "config.json").write_text(json.dumps({"provenance": seen}))
    assert "Not finished: step 40 of 90. At" in _text(write_report(folder))


def test_without_distillation_nothing_is_shown_of_its_untaught_head(tmp_path: Path) -> None:
    settings = {"verb": "pretrain", "settings": {"distillation": {"distillation_weight": 0.0}}}
    training = [{"step": s, "masked_loss": 1.3, "train_distillation_loss": 0.0} for s in (1, 2)]
    page = _text(write_report(_run(tmp_path / "r", settings, [*training, _check(20, 1.3)])))
    page = page[: page.index("<h2>Settings</h2>")]
    assert "istillation" not in page and "teacher" not in page
    assert "Collapse: all windows" in page and "Training loss at masked bases" in page
    assert "Effective rank" in page and "Agreement of the two strands" in page


def test_a_short_run_shows_its_closing_check(tmp_path: Path) -> None:
    lengths = {n: {"loss": 1.3, "low": 1.2, "high": 1.4} for n in ("70", "500")}
    closing = {**_check(40, 1.29), "by_length": lengths}
    page = _text(write_report(_run(tmp_path / "r", {"verb": "pretrain"}, [closing])))
    charts = {
        name: page[page.index(f'aria-label="{name}') :].partition("</svg>")[0]
        for name in ("MASK-only loss on held-out DNA", "MASK-only loss by window length")
    }
    for chart in charts.values():
        assert ">letter entropy<" in chart and ">two-sided Markov model<" in chart
    assert "Effective rank of embeddings" in page


def test_settings_are_escaped(tmp_path: Path) -> None:
    page = _text(write_report(_run(tmp_path / "r", {"verb": "other", "x": "<b>&"}, [])))
    assert "&lt;b&gt;&amp;" in page and "<b>" not in page


def test_a_report_is_written_again(pretrained: Path) -> None:
    first = _text(write_report(pretrained))
    assert _text(write_report(pretrained)) == first


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"settings\.yaml"):
        write_report(tmp_path)


@pytest.mark.parametrize("text", ["settings: [", "- 1", ""])
def test_damaged_settings_are_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"settings\.yaml"):
        write_report(tmp_path)


def test_charts_are_well_formed_and_named() -> None:
    chart = Chart('a "b" <c>', "x", "y", {"one": [(0, 1), (1, 2)]}, {"level": 1.5})
    root = ElementTree.fromstring(draw_chart(chart))
    assert root.attrib["aria-label"] == 'a "b" <c>'
    assert draw_chart(chart) == draw_chart(chart)


def test_confusion_table_shows_its_counts() -> None:
    svg = draw_table([[1234, 5], [6, 7]], ["no", "yes"], "Confusion")
    ElementTree.fromstring(svg)
    for text in ("1,234", "5", "6", "7", "predicted", "true"):
        assert f">{text}<" in svg


def _title_and_width(svg: str, title: str) -> tuple[float, float, float]:
    """Left and right end of a title, as wide as it is in its own font, and the width of the SVG."""
    root = ElementTree.fromstring(svg)
    (text,) = (one for one in root.iter() if one.text == title)
    size = re.search(r"font-size: ([\d.]+)px", text.attrib["style"])
    assert size and "middle" in text.attrib["style"]
    half = TextPath((0, 0), title, size=float(size[1])).get_extents().width / 2
    middle, width = float(text.attrib["x"]), float(root.attrib["width"].removesuffix("pt"))
    return middle - half, middle + half, width


@pytest.mark.parametrize(
    "classes", [["no", "yes"], ["background", "promoter"], ["c" * 60, "a class of a long name"]]
)
def test_the_title_of_a_confusion_table_is_not_cut_off(classes: list[str]) -> None:
    """Fonts differ from machine to machine: a tenth of it is left free."""
    title = "True and predicted class of the evaluated rows"
    left, right, width = _title_and_width(draw_table([[1, 2], [3, 4]], classes, title), title)
    spare = (right - left) / 20
    assert left > spare and right < width - spare


def test_cells_keep_their_size_beside_long_names() -> None:
    """The figure grows by the names; of a long one 24 letters are left, its end among them."""
    heights = []
    for name in ("a", "a" * 24, "a" * 80):
        svg = draw_table([[1, 2], [3, 4]], [name, f"b{name}"], "Confusion")
        places = {text: float(y) for y, text in re.findall(r' y="([\d.]+)"[^>]*>(1|3)<', svg)}
        heights.append(places["3"] - places["1"])
    assert min(heights) > 45 and max(heights) < 1.3 * min(heights)  # points
    assert f">{'a' * 12}…{'a' * 11}<" in svg and f">b{'a' * 11}…{'a' * 11}<" in svg


def test_names_that_would_be_shortened_alike_stand_in_full() -> None:
    one, other = ("start of a name" + "x" * 20 + letter + "x" * 30 for letter in "ab")
    svg = draw_table([[1, 2, 3], [3, 4, 5], [6, 7, 8]], [one, other, "c" * 40], "Confusion")
    assert svg.count(f">{one}<") == svg.count(f">{other}<") == 2
    assert f">{'c' * 12}…{'c' * 11}<" in svg


def test_counts_without_room_are_left_out() -> None:
    names = [f"class {k}" for k in range(40)]
    for most, told in ((9, True), (1234, False)):
        svg = draw_table(np.diag([most] * 40).tolist(), names, "Confusion")
        assert (f">{most:,}<" in svg) is told and ("too small for counts" in svg) is not told


def test_a_dollar_in_a_name_is_a_dollar() -> None:
    svg = draw_table([[1, 2], [3, 4]], ["$a_b", r"50$ \x$"], "$t_$")
    assert svg.count(">$a_b<") == 2 and r">50$ \x$<" in svg


def test_counts_of_several_labels_a_row_are_no_confusion_table(tmp_path: Path) -> None:
    folder = _run(tmp_path / "r", {"verb": "finetune"}, [])
    kinds = "true_negative\tfalse_positive\tfalse_negative\ttrue_positive"
    (folder / "confusion.tsv").write_text(f"label\t{kinds}\na\t8\t2\t3\t7\nb\t1\t2\t3\t4\n")
    page = _text(write_report(folder))
    assert "<svg" not in page and "<h2>Predictions for each label</h2>" in page
    assert "<td>a</td><td>8</td><td>2</td><td>3</td><td>7</td>" in page


def test_digests_alone_are_broken_anywhere(tmp_path: Path) -> None:
    page = _text(write_report(_run(tmp_path / "r", {"verb": "x", "digest": "sha256:12"}, [])))
    assert '<td>digest</td><td class="digest">sha256:12</td>' in page
    assert page.count("overflow-wrap: anywhere") == 1 and '<div class="table">' in page


def _finetuned(
    folder: Path, rows: list[dict[str, Any]] | None = None, settings: Any = None, **found: Any
) -> str:
    _run(folder, {"verb": "finetune", "settings": settings or {}}, rows or [])
    metrics = {"protocol": "test split, read once at the end", "metrics": {}, "rows": {}, **found}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return _text(write_report(folder))


_JUDGED = {
    "expected_calibration_error": 0.1,
    "reliability": [[0.02, 0.0, 50.0], [0.4, 0.5, 50.0], [0.97, 0.9, 50.0]],
}


@pytest.mark.parametrize(
    ("kind", "classes", "x", "y"),
    [
        ("binary", ["background", "promoter"], "class promoter", "rows of class promoter"),
        ("multiclass", ["a", "b", "c"], "a class (all classes together)", "rows of that class"),
        ("multilabel", ["a", "b"], "a label (all labels together)", "rows with that label"),
    ],
)
def test_reliability_is_drawn_on_shares_and_says_of_what(
    tmp_path: Path, kind: str, classes: list[str], x: str, y: str
) -> None:
    page = _finetuned(
        tmp_path / "r",
        task={"kind": kind, "classes": classes},
        calibration={"what": "fitted", "before": _JUDGED, "after": _JUDGED},
    )
    svg = page[page.index("<svg") : page.index("</svg>")]
    ticks = re.findall(r">(-?\d\.\d+)<", svg)
    assert ticks == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"] * 2
    assert f"mean probability of {x}<" in svg and f"share of {y}<" in svg
    for name in ("before calibration", "after calibration", "ideal"):
        assert f">{name}<" in svg
    assert "honest" not in page
    # Six points are dots; the diagonal has none.
    assert len(re.findall(r"<use [^>]*clip-path|<use xlink:href", svg)) >= 6
    dashed = re.findall(r'<path d="([^"]+)"[^>]*stroke-dasharray', svg)
    assert len(dashed) == 2  # the diagonal and its sample in the legend


@pytest.mark.parametrize(("loss", "harm"), [(0.3, False), (0.52, True)])
def test_a_calibration_that_did_harm_says_so(tmp_path: Path, loss: float, harm: bool) -> None:
    before = {**_JUDGED, "brier": 0.2, "log_loss": 0.40179}
    after = {**_JUDGED, "brier": 0.2, "log_loss": loss}
    page = _finetuned(
        tmp_path / "r",
        task={"kind": "binary", "classes": ["a", "b"]},
        calibration={"what": "fitted", "before": before, "after": after},
    )
    assert ("calibration made it worse: log loss 0.4018 → 0.52." in page) is harm
    assert ("made it worse" in page) is harm


_TRIED = {"train": "probe", "strand": "both", "auroc": 0.83, "loss": 0.5, "parts": 15}


def test_a_probe_shows_no_epochs_and_no_curves(tmp_path: Path) -> None:
    chosen = {"train": "probe", "epoch": 0, "strand": "both", "strength": 0.1, "epochs": 10}
    note = {"stage": "fit", "train": "probe", "strand": "both", "validation_loss": 0.5}
    page = _finetuned(tmp_path / "r", [note], chosen={**chosen, "threshold": None}, tried=[_TRIED])
    assert "chosen.C (larger: less regularised)</td><td>0.1" in page
    for absent in ("strength", "Learning", "chosen.epoch", "chosen.threshold"):
        assert absent not in page


def test_a_network_shows_its_epoch_of_how_many(tmp_path: Path) -> None:
    chosen = {"train": "full", "epoch": 3, "strand": "both", "epochs": 10, "threshold": 0.4}
    each = {"stage": "fit", "strand": "both", "train": "full", "train_loss": 0.5}
    page = _finetuned(tmp_path / "r", [{**each, "epoch": 1}], chosen=chosen)
    assert "chosen.epoch</td><td>3 of 10<" in page and "chosen.epochs" not in page
    assert "chosen.threshold</td><td>0.4<" in page
    svg = page[page.index("<svg") : page.index("</svg>")]
    assert "Learning" in page and ">1</text>" in svg and "1.005" not in svg


@pytest.mark.parametrize(
    ("settings", "kind", "note", "words"),
    [
        ({}, "binary", {}, "choose what is trained, the epoch, the strand and the threshold."),
        ({"train": "full", "strand": "both"}, "binary", {"part": 2}, "choose the threshold."),
        ({"train": "last", "strand": "both"}, "regression", {}, "choose the epoch."),
    ],
)
def test_what_validation_chose_is_said_as_it_was(
    tmp_path: Path, settings: dict[str, str], kind: str, note: dict[str, int], words: str
) -> None:
    settings = {"train": "auto", "strand": "auto", **settings}
    fit = {"stage": "fit", "strand": "both", "train": "full", "epoch": 1, "train_loss": 0.5}
    rows = [fit, {**fit, "stage": "choice", "validation_loss": 0.4, **note}]
    page = _finetuned(tmp_path / "r", rows, settings, task={"kind": kind})
    assert f"Validation rows {words} Scores on validation rows are not results." in page


def test_an_error_of_values_is_named_as_one(tmp_path: Path) -> None:
    tried = [{"train": "probe", "strand": "both", "r2": 0.9, "loss": 6e-7, "parts": 1}]
    page = _finetuned(tmp_path / "r", task={"kind": "regression"}, tried=tried)
    assert "<th>squared error (in variances)</th>" in page and "<th>loss</th>" not in page
    assert "<td>6e-07</td>" in page


def test_the_rules_of_choice_stand_beside_what_was_tried(tmp_path: Path) -> None:
    """The better line of a cross-validation need not be the one that was taken."""
    forward = {**_TRIED, "strand": "forward", "auroc": 0.859, "parts": 6}
    full = {**_TRIED, "train": "full"}
    chosen = {"train": "probe", "strand": "both"}
    crossed = {"protocol": "5-fold cross-validation repeated 2 times"}
    folds, clearly = "Each fold chose for itself", "by more than a standard error"
    probe, best = "A probe uses the strand, poolings and C", "the highest auroc is chosen"

    page = _finetuned(tmp_path / "1", tried=[forward, _TRIED], chosen=chosen, **crossed)
    assert "Chosen: probe. It reads both strands." in page and "The best of those" not in page
    assert folds in page and probe in page and clearly not in page and best not in page

    page = _finetuned(tmp_path / "2", tried=[_TRIED, full], chosen=chosen)
    assert best in page and probe in page and clearly in page and folds not in page

    settled = {"strand": "forward", "pooling": ["mean"], "begin": "probe"}
    page = _finetuned(tmp_path / "3", tried=[_TRIED, full], chosen=chosen, settings=settled)
    assert "A probe uses the C with the lowest loss" in page and clearly not in page

    zeros = {"strand": "auto", "pooling": ["auto"], "begin": "zeros"}
    page = _finetuned(tmp_path / "4", tried=[full], chosen=chosen, settings=zeros)
    assert clearly not in page


def test_running_mean_keeps_a_line_and_has_no_lag() -> None:
    line = np.arange(50.0)
    assert np.allclose(_running_mean(line, 9), line)
    spike = np.zeros(21)
    spike[10] = 5.0
    smooth = _running_mean(spike, 5)
    assert np.allclose(smooth[8:13], 1.0) and smooth[[7, 13]].sum() == 0
