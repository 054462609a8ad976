"""`findna export` on the command line: a folder comes out, and what bad input gets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
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
    return CliRunner().invoke(app, [str(a) for a in ("export", *arguments)])


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model, a run that has none yet, and a folder of something else."""
    monkeypatch.chdir(tmp_path)
    new_model(SMALL, 0).save("model-a")
    settings = {"verb": "pretrain", "settings": {"seed": 0}}
    for name in ("running", "strange"):
        Path(name).mkdir()
        Path(name, "settings.yaml").write_text(yaml.safe_dump(settings))
    new_model(SMALL, 0).save("strange/model")
    Path("strange/settings.yaml").write_text("verb: evaluate\nsettings: {}\n")
    Path("empty").mkdir()
    return tmp_path


def test_a_folder_to_give_away_is_written() -> None:
    result = call("model-a", "-o", "out/given", "--half", "--name", "my-model")
    assert result.exit_code == 0, result.stderr
    assert {f.name for f in Path("out/given").iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    assert "# my-model" in Path("out/given/README.md").read_text()
    assert "half precision changes" in result.stderr and result.stdout == ""


def test_an_existing_folder_needs_overwrite() -> None:
    assert call("model-a", "-o", "out").exit_code == 0
    refused = call("model-a", "-o", "out")
    assert refused.exit_code == 3 and "--overwrite" in refused.stderr
    assert call("model-a", "-o", "out", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), ("nowhere: no such model",)),
        (("empty",), ("empty: this is not a model folder",)),
        (("running",), ("running: this run has written no model yet", "--resume")),
        (("strange",), ("strange/settings.yaml: is not the settings file of a run",)),
        (("model-a", "--name", "two words"), ("'two words' is not a valid name", "letters")),
        (("model-a", "--licence", "do what you like"), ("not a licence identifier", "spdx")),
        (("model-a", "--evaluation", "empty"), ("empty: is not an evaluation", "findna evaluate")),
        (("model-a", "--evaluation", "nowhere"), ("nowhere: is not an evaluation",)),
        (("model-a", "--regions", "nowhere.bed"), ("nowhere.bed: no such file",)),
        (("model-a", "--half", "-g", "nowhere.fa"), ("nowhere.fa",)),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    result = call(*arguments, "-o", "out")
    assert result.exit_code == 3, result.stderr
    said = result.stderr[result.stderr.index("error: ") :]
    assert "Traceback" not in said and "unexpected" not in said and result.stdout == ""
    for word in words:
        assert word in said
    assert not Path("out").exists()


def test_a_folder_cannot_go_to_standard_output() -> None:
    result = call("model-a", "-o", "-")
    assert result.exit_code == 2 and "the output is a folder" in result.stderr
