"""The report says what the run folder says, and nothing is needed to read it."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from findna.files import BadInput
from findna.report import write_report
from findna.report.figures import Chart, _running_mean, draw_chart, draw_table


def _run(
    folder: Path, settings: dict[str, Any], rows: list[dict[str, Any]], tail: str = ""
) -> Path:
    folder.mkdir()
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
    page = _text(write_report(_run(tmp_path / "r", {"verb": "pretrain"}, [])))
    assert "<svg" not in page
    assert "Settings" in page


def test_settings_are_escaped(tmp_path: Path) -> None:
    page = _text(write_report(_run(tmp_path / "r", {"verb": "other", "x": "<b>&"}, [])))
    assert "&lt;b&gt;&amp;" in page and "<b>" not in page


def test_a_report_is_written_again(pretrained: Path) -> None:
    first = _text(write_report(pretrained))
    assert _text(write_report(pretrained)) == first


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
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


def test_running_mean_keeps_a_line_and_has_no_lag() -> None:
    line = np.arange(50.0)
    assert np.allclose(_running_mean(line, 9), line)
    spike = np.zeros(21)
    spike[10] = 5.0
    smooth = _running_mean(spike, 5)
    assert np.allclose(smooth[8:13], 1.0) and smooth[[7, 13]].sum() == 0
