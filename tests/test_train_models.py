"""benchmarks/train_models.py on a small genome: trained, given away, gone on with, and in parts."""

import importlib.util
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from findna.files import BadInput
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.loading import load_model
from findna.model.presets import PRESETS, ModelConfig

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "train_models.py"
REGIONS = (("chr1", 100, 12_100), ("chr10", 0, 1200), ("chr21", 50, 1250))
SMALL = ModelConfig(
    preset="tiny",
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("train_models", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Data classes of postponed annotations look their module up here.
    monkeypatch.setitem(sys.modules, "train_models", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(PRESETS, "tiny", SMALL)
    yield module


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A data folder with small genomes under the names of the real ones."""
    rng = np.random.default_rng(0)
    human, yeast = (tmp_path / "data" / name for name in ("human_hg38", "yeast"))
    human.mkdir(parents=True)
    yeast.mkdir()
    fasta = "".join(
        f">{c}:{s}-{e}\n{''.join(rng.choice(list('ACGT'), e - s))}\n" for c, s, e in REGIONS
    )
    (human / "hg38_regions.fa.gz").write_text(fasta)
    bed = "".join(f"{c}\t{s}\t{e}\n" for c, s, e in REGIONS)
    (tmp_path / "regions.bed").write_text(f"# limits: letters by chance\n{bed}")
    (yeast / "Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz").write_text(
        f">I\n{''.join(rng.choice(list('ACGT'), 30_000))}\n"
    )
    places = {"--data": "data", "-o": "runs", "--to": "out", "--regions": "regions.bed"}
    flags = [text for flag, name in places.items() for text in (flag, str(tmp_path / name))]
    return [*flags, "--device", "cpu", "--steps", "2"]


def test_models_are_trained_once_and_given_away(
    script: ModuleType, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("findna-human-tiny", "findna-yeast-tiny")
    only = [text for name in names for text in ("--only", name)]
    script.main([*arguments, *only])
    said = capsys.readouterr().out
    assert said.count("finished, 2 steps") == 2
    held_out = [load_model(tmp_path / "out" / n).provenance["held_out_chromosomes"] for n in names]
    assert held_out == [["chr10", "chr21"], []]
    card = (tmp_path / "out" / names[0] / "README.md").read_text()
    assert "letters by chance" in card and "human GRCh38" in card
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "out").rglob("*")}
    script.main([*arguments, *only])
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "out").rglob("*")} == before


def test_a_run_that_was_interrupted_goes_on(
    script: ModuleType,
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first call is stopped by its deadline before the first step, and says what is left."""
    only = ["--only", "findna-human-tiny"]
    work = script.pretrain

    def stopped(*given: object, **how: object) -> None:
        monkeypatch.setattr(script, "pretrain", work)
        time.sleep(60)

    monkeypatch.setattr(script, "pretrain", stopped)
    monkeypatch.setattr(script, "LEAST_SECONDS", 0.0)
    script.main([*arguments, *only, "--budget", "0.2s"])
    assert "left: 2 of 2 steps" in capsys.readouterr().out
    script.main([*arguments, *only])
    assert "finished, 2 steps" in capsys.readouterr().out


def test_a_trial_is_no_finished_model(
    script: ModuleType, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two steps were said to be 8,000, and what they made stayed where the model is given away."""
    only = ["--only", "findna-yeast-tiny"]
    script.main([*arguments, *only])
    longer = [*arguments[:-1], "3", *only]
    script.main([*longer, "--budget", "1s"])
    assert "left: 1 of 3 steps" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"settings\.steps \(was 2, now 3\)"):
        script.main(longer)
    shutil.rmtree(tmp_path / "runs")
    script.main(longer)
    assert load_model(tmp_path / "out" / "findna-yeast-tiny").provenance["steps"] == 3


def test_weights_are_cut_by_the_call_after_one_that_was_killed(
    script: ModuleType, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = ["--only", "findna-yeast-tiny"]
    cut = script.cut
    monkeypatch.setattr(script, "cut", lambda file: [])
    script.main([*arguments, *only])
    whole = tmp_path / "out" / "findna-yeast-tiny" / "model.safetensors"
    assert whole.is_file()
    monkeypatch.setattr(script, "cut", lambda file: cut(file, limit=1000))
    for _ in range(2):
        script.main([*arguments, *only])
        assert not whole.exists() and whole.with_name(f"{whole.name}.part-0").is_file()
    shutil.rmtree(tmp_path / "runs")
    script.main([*arguments[:-1], "3", *only])
    assert script.provenance(whole.parent)["steps"] == 3


def test_no_run_is_begun_with_too_little_time(
    script: ModuleType, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main([*arguments, "--budget", "1s"])
    assert capsys.readouterr().out.count("left: 2 of 2 steps") == len(script.MODELS)
    assert not (tmp_path / "runs").exists()


def test_a_person_who_interrupts_is_obeyed(script: ModuleType) -> None:
    with pytest.raises(KeyboardInterrupt), script.interrupted_at(time.monotonic() + 0.1):
        time.sleep(60)


def test_large_weights_are_cut_into_parts_that_join(script: ModuleType, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    assert script.cut(file, limit=2560) == [file] and file.read_bytes() == content
    parts = script.cut(file, limit=1000)
    assert [p.name for p in parts] == [f"model.safetensors.part-{i}" for i in range(3)]
    assert not file.exists() and sorted(tmp_path.iterdir()) == parts
    assert b"".join(p.read_bytes() for p in parts) == content
    assert max(p.stat().st_size for p in parts) <= 1000


def test_every_plan_is_a_preset_that_fits_its_place(script: ModuleType) -> None:
    assert {plan.preset for plan in script.MODELS} <= PRESETS.keys()
    assert len({plan.name for plan in script.MODELS}) == len(script.MODELS)
