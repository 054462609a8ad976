"""Benchmarks that need a machine nobody has at hand are run here on shapes that take seconds."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from findna.evaluation.settings import EvaluateSettings
from findna.inference.embed import embeddings
from findna.model.model import new_model
from findna.sequence.alphabet import reverse_complement
from findna.sequence.genome import Genome
from findna.training.recipes import seconds

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """A benchmark by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def gpu(load: Load) -> ModuleType:
    return load("gpu")


@pytest.mark.slow
def test_every_figure_of_the_gpu_table_is_made(gpu: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    gpu.main(["--device", "cpu", "--quick", "-o", str(file)])
    found = json.loads(file.read_text())
    assert found["failed"] == {} and found["quick"] and found["card"] == "CPU"
    values = {row["what"]: row["value"] for row in found["rows"]}
    assert all(value > 0 for value in values.values())
    for what in (
        "base: pretraining", "base: MFU", "base: step over plain, in speed",
        "base: layer forward and backward over its products", "paper: 100,000 windows, 30 epochs",
        "long: a base at 300 over 64 bp", "findna tiny over transformer, forward at 64 bp",
    ):  # fmt: skip
        assert what in values


def test_a_section_that_fails_is_told_and_the_others_go_on(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("out of memory")

    row = gpu.Row("what", 2.0, bar=1.0, at_most=True)
    monkeypatch.setattr(gpu, "SECTIONS", {"bad": broken, "good": lambda *_: iter([row])})
    file = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--quick", "-o", str(file)]) == 1
    found = json.loads(file.read_text())
    assert "out of memory" in found["failed"]["bad"] and found["rows"][0]["missed"]
    gpu.main(["--device", "cpu", "--quick", "--budget", "-1", "-o", str(file)])
    assert "not begun" in json.loads(file.read_text())["failed"]["good"]


def test_plain_layers_give_the_same_numbers(gpu: ModuleType) -> None:
    for preset in ("tiny", "paper"):
        config = gpu.quick("cpu").config(preset)
        ours, plain = (gpu.new_model(config, 0) for _ in range(2))
        codes = torch.randint(0, 5, (2, 37))
        wanted = ours.encode(codes).bases
        torch.testing.assert_close(gpu.plain(plain).encode(codes).bases, wanted)


def test_a_bar_is_missed_on_one_side_only(gpu: ModuleType) -> None:
    assert gpu.Row("rate", 1.0, bar=2.0).missed and not gpu.Row("rate", 3.0, bar=2.0).missed
    assert gpu.Row("cost", 3.0, bar=2.0, at_most=True).missed
    assert not gpu.Row("cost", 1.0, bar=2.0, at_most=True).missed and not gpu.Row("x", 1.0).missed


def test_trials_are_not_published(gpu: ModuleType, tmp_path: Path) -> None:
    for options in (["--device", "cpu"], ["--quick", "--publish", str(tmp_path)]):
        with pytest.raises(SystemExit):
            gpu.main(options)


def test_passes_are_timed_however_the_model_is_called(load: Load) -> None:
    """`variants.py` had not heard that passes are asked for moments, too."""
    model = new_model("tiny", 0).eval()
    codes = [np.arange(40, dtype=np.uint8) % 4]
    wanted = embeddings(model, codes)
    timer = load("variants").PassTimer(model)
    np.testing.assert_array_equal(embeddings(model, codes), wanted)
    assert timer.seconds > 0 and timer.bases == 2 * 40


def test_a_demo_that_is_not_there_is_made_before_it_is_read(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = load("example_variants")

    def made(demo: Path) -> list[Path]:
        (demo / "example").mkdir(parents=True)
        rows = (f"chr6\t{at}\t.\tA\tC\t.\t.\tEFFECT={effect}" for at, effect in enumerate(effects))
        (demo / "example" / "variants.vcf").write_text("\n".join(rows))
        return []

    effects = ("motif_breaking", "neutral") * 2
    monkeypatch.setattr(script, "demo_models", made)
    monkeypatch.setattr(script, "scores_of", lambda *_: {"score": np.array([1.0, 0, 1, 0])})
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "demo"), "-o", str(tmp_path / "out")])
    script.main()
    assert (tmp_path / "out" / "auroc.tsv").read_text().count("1.0000") == 6


def test_a_run_does_not_stand_behind_a_line_that_was_cut(load: Load, tmp_path: Path) -> None:
    script, file = load("small_data"), tmp_path / "runs.jsonl"
    script.drop_cut_line(file)
    for text, kept in (('{"a": 1}\n{"a"', '{"a": 1}\n'), ('{"a": 1', ""), ("", "")):
        file.write_text(text)
        script.drop_cut_line(file)
        assert file.read_text() == kept


def test_a_budget_is_that_of_all_evaluations(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each of the ten had all of it."""
    script = load("probe_lengths")
    budgets: list[float] = []

    def evaluate(*_: object, settings: EvaluateSettings, **__: object) -> SimpleNamespace:
        budgets.append(seconds(settings.budget or ""))
        time.sleep(0.15)
        # As after a budget that ended before the first run.
        return SimpleNamespace(table=(), failed=("no run",) if len(budgets) > 1 else ())

    monkeypatch.setattr(script, "evaluate", evaluate)
    monkeypatch.setattr(script, "prepare", lambda *_: None)
    monkeypatch.setattr(script, "places", lambda *_, **__: {})
    monkeypatch.setattr(script, "Genome", SimpleNamespace(open=lambda _: None))
    monkeypatch.setattr(sys, "argv", ["x", "-m", "tiny", "-o", str(tmp_path), "--budget", "0.4s"])
    assert script.main() == (len(budgets) > 1)  # runs failed
    assert 1 <= len(budgets) <= 3 and budgets == sorted(budgets, reverse=True)


@pytest.mark.skipif(importlib.util.find_spec("figwig") is None, reason="figwig is not installed")
def test_no_benchmark_hides_a_module_that_a_library_looks_for() -> None:
    """Scripts lie first on the path: numba, which figwig needs, took coverage.py for Coverage."""
    path = os.pathsep.join([str(BENCHMARKS), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", "import figwig"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_stands_often_is_masked(load: Load, tmp_path: Path) -> None:
    mask_repeats = load("mask_repeats")
    random = np.random.default_rng(0)
    element = "".join(random.choice(list("ACGT"), 300))
    other = reverse_complement(element)
    unique = ["".join(random.choice(list("ACGT"), 500)) for _ in range(13)]
    copies = [element, other] * 6
    letters = unique[0] + "".join(c + u for c, u in zip(copies, unique[1:], strict=True))
    source = tmp_path / "g.fa"
    source.write_text(f">chr1\n{letters}NN\n>short\nACGT\n")
    share = mask_repeats.mask(source, tmp_path / "masked.fa.gz")
    genome = Genome.open(tmp_path / "masked.fa.gz", cache=tmp_path / "cache")
    assert genome.digest == Genome.open(source, cache=tmp_path / "cache").digest
    repeats = np.zeros(genome.total, bool)
    for start, end in genome.soft_runs:
        repeats[start:end] = True
    planted = np.zeros(genome.total, bool)
    for copy in range(12):
        planted[500 + 800 * copy : 800 + 800 * copy] = True
    assert share == pytest.approx(repeats.mean())
    assert repeats[planted].mean() > 0.9 and repeats[~planted].mean() < 0.05


def test_strengths_tells_what_the_ones_that_are_asked_miss(load: Load) -> None:
    """Of two readings one falls and rises; the other has a second, lower valley."""
    usual = {0.01: (0.5, 1.0), 0.1: (0.4, 1.0), 1.0: (0.6, 2.0), 10.0: (0.7, 4.0)}
    twice = {0.01: (0.5, 1.0), 0.1: (0.6, 1.0), 1.0: (0.3, 2.0), 10.0: (0.7, 4.0)}
    told = load("strengths").compared([usual, twice])
    assert (told["readings"], told["readings_missed"], told["seconds"]) == (2, 1, 6.0)
    assert told["of_all_strengths"] == pytest.approx(6 / 16)
    assert told["choice_missed_by"] == pytest.approx(0.4 - 0.3)


def test_a_mean_over_sets_of_two_folders_by_hand(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"one": [("a", 0.6, 0.5), ("b", 0.5, 0.5)], "two": [("c", 0.7, 0.5)]}
    for name, tasks in rows.items():
        lines = [f"{t}\t{who}\t{m}" for t, x, y in tasks for who, m in (("x", x), ("y", y))]
        (tmp_path / name).mkdir()
        text = "\n".join(["task\tcontender\tmean", *lines])
        (tmp_path / name / "table.tsv").write_text(text + "\n")
    call = ["x", *(str(tmp_path / name) for name in rows), "--contender", "x", "--against", "y"]
    monkeypatch.setattr(sys, "argv", call)
    load("over_sets").main()
    # Differences 0.1, 0 and 0.2: deviation 0.1, t of two degrees of freedom 4.303.
    said = "ahead on 2, by +0.100 [-0.148, 0.348], p 0.23\n"
    assert capsys.readouterr().out.split("sets; ")[1] == said
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "two"), *call[1:]])
    with pytest.raises(SystemExit, match="stands in two"):
        load("over_sets").main()
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "two"), *call[3:]])
    with pytest.raises(SystemExit, match="two sets or more"):
        load("over_sets").main()


def test_gue_publishes_the_answers(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gue = load("gue")

    def evaluate(_: None, folder: Path, **__: object) -> SimpleNamespace:
        (folder / "runs/gue").mkdir(parents=True)
        (folder / "runs/gue/0.parquet").write_text("answers")
        return SimpleNamespace(table=[1], failed=())

    monkeypatch.setattr(gue, "evaluate", evaluate)
    for name in ("prepare", "finish"):
        monkeypatch.setattr(gue, name, lambda *_: None)
    call = ["x", "full", "-m", "tiny", "-o", str(tmp_path), "--publish", str(tmp_path / "docs")]
    monkeypatch.setattr(sys, "argv", call)
    assert gue.main() == 0
    assert (tmp_path / "docs/full/runs/gue/0.parquet").read_text() == "answers"
