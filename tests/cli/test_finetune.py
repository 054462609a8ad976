"""`findna finetune` as a person uses it: what is trained is chosen, named and said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from findna.cli import app
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


def write_rows(file: Path, rows: int, seed: int) -> None:
    """Half of the rows are rich in G and C."""
    random = np.random.default_rng(seed)
    lines = ["sequence,label"]
    for label in random.permutation(np.arange(rows) % 2):
        p = [0.1, 0.4, 0.4, 0.1] if label else [0.4, 0.1, 0.1, 0.4]
        lines.append(f"{''.join(random.choice(list('ACGT'), 30, p=p))},{label}")
    file.write_text("\n".join(lines) + "\n")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model and a task that are in order."""
    monkeypatch.chdir(tmp_path)
    Path("task").mkdir()
    write_rows(Path("task/train.csv"), 60, 0)
    write_rows(Path("task/test.csv"), 40, 1)
    new_model(SMALL, 0).save("model")
    return tmp_path


def test_the_default_says_what_it_chose_and_the_model_answers() -> None:
    result = call("finetune", "task", "-m", "model", "-o", "run", "--epochs", "2")
    assert result.exit_code == 0, result.stderr
    found = json.loads(Path("run/metrics.json").read_text())
    assert f"chosen: {found['chosen']['train']}, strand" in result.stderr
    assert {one["train"] for one in found["tried"]} == {"probe", "last", "full"}
    page = Path("run/report.html").read_text()
    assert f"Chosen: {found['chosen']['train']}." in page
    assert call("predict", "task/test.csv", "-m", "run", "-o", "said.tsv").exit_code == 0
    said = pd.read_csv("said.tsv", sep="\t")
    wrote = pd.read_csv("run/predictions.tsv", sep="\t")
    assert said["prediction"].tolist() == wrote["prediction"].tolist()
    assert (said["prediction"] == wrote["label"]).mean() > 0.8


def test_a_probe_by_name() -> None:
    result = call("finetune", "task", "-m", "model", "-o", "run", "--train", "probe")
    assert result.exit_code == 0, result.stderr
    chosen = json.loads(Path("run/metrics.json").read_text())["chosen"]
    assert chosen["train"] == "probe" and chosen["pooling"] and chosen["strength"] > 0


def test_something_else_to_train_is_refused() -> None:
    result = call("finetune", "task", "-m", "model", "-o", "run", "--train", "everything")
    assert result.exit_code in (2, 3)
    assert all(word in result.stderr for word in ("auto", "probe", "last", "full"))
    assert not Path("run").exists()
