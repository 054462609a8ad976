"""`findna evaluate` as a person calls it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from findna.cli import app
from findna.files import BadInput
from findna.model.chordmixer import ChordMixerConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig

QUICK = ["--seeds", "1", "--modes", "linear", "--resamples", "100", "-q"]


def _call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    shape = ChordMixerConfig(width=16, hidden=16, track_size=4, depth=3)
    new_model(ModelConfig(backbone=shape), 0).save(tmp_path / "small")
    return tmp_path / "small"


def _rows(n: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    sequences = ["".join(random.choice(list("ACGT"), 60)) for _ in range(n)]
    return pd.DataFrame({"id": [f"{seed}-{i}" for i in range(n)], "sequence": sequences})


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "task"
    folder.mkdir()
    for name, n, seed in (("train", 60, 1), ("dev", 20, 2), ("test", 20, 3)):
        rows = _rows(n, seed)
        rows.assign(label=np.arange(n) % 2).to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_one_command_gives_table_and_picture(task: Path, model: Path, tmp_path: Path) -> None:
    rows = pd.concat(pd.read_csv(task / f"{name}.csv") for name in ("train", "dev", "test"))
    table = tmp_path / "guess.tsv"
    answers = pd.DataFrame({"id": rows["id"], "p_0": 0.4, "p_1": 0.6})
    answers.to_csv(table, sep="\t", index=False)
    out = tmp_path / "out"
    result = _call("evaluate", task, "-m", model, "-o", out, "--table", table, *QUICK)
    assert result.exit_code == 0, result.output
    found = pd.read_csv(out / "table.tsv", sep="\t").set_index("contender")
    assert {"guess", "linear-small", "kmer", "cnn"} <= set(found.index)
    # Of a shape that is no preset the control carries the digest.
    assert sum(name.startswith("linear-random-") for name in found.index) == 1
    assert (out / "comparison.png").stat().st_size > 10_000
    assert found["task"].unique().tolist() == ["task"]
    said = _call("info", out).stdout
    assert "kind\tevaluation" in said and "state\thas tables" in said


@pytest.mark.parametrize(("asked", "read"), [("forward", "forward"), ("auto", "both")])
def test_a_hugging_face_model_reads_the_strands_that_ours_read(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, read: str
) -> None:
    def embedder(name: str, *, strand: str = "both", **_: object) -> None:
        raise BadInput(f"{name} reads {strand}")

    monkeypatch.setattr("findna.cli.evaluate.HuggingFaceEmbedder", embedder)
    result = _call("evaluate", task, "-o", tmp_path / "out", "--hf", "dna", "--strand", asked)
    assert f"dna reads {read}" in result.output


def test_data_without_a_suite_is_ones_own_task(task: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = _call("evaluate", "--data", task, "-m", model, "-o", out, *QUICK)
    assert result.exit_code == 0, result.output
    assert pd.read_csv(out / "table.tsv", sep="\t")["task"].unique().tolist() == ["task"]


def test_rows_are_written_for_a_model_made_elsewhere(
    task: Path, model: Path, tmp_path: Path
) -> None:
    out, file = tmp_path / "out", tmp_path / "rows.tsv"
    call = ("evaluate", task, "-m", model, "-o", out, *QUICK)
    result = _call(*call, "--rows", file)
    assert result.exit_code == 0 and not out.exists(), result.output
    rows = pd.read_csv(file, sep="\t")
    assert rows.columns.tolist() == ["id", "task", "split", "sequence", "label"]
    assert len(rows) == 100 and rows["label"].isna().sum() == 20
    again = _call(*call, "--rows", file)
    assert again.exit_code == 3 and "exists" in again.stderr
    wrong = _call(*call, "--rows", tmp_path / "rows.fa")
    assert wrong.exit_code == 3 and "which format" in wrong.stderr
    gc = rows["sequence"].str.count("[GC]")
    rows[["id"]].assign(gc=gc).to_csv(tmp_path / "gc.csv", index=False)
    result = _call(*call, "--table", tmp_path / "gc.csv")
    assert result.exit_code == 0, result.output
    assert "linear-gc" in set(pd.read_csv(out / "table.tsv", sep="\t")["contender"])


def test_positives_alone_get_negatives_from_a_genome(model: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = [f">chr{c}\n{''.join(random.choice(list('ACGT'), 20_000))}\n" for c in range(1, 4)]
    (tmp_path / "genome.fa").write_text("".join(lines))
    bed = tmp_path / "peaks.bed"
    bed.write_text("".join(f"chr1\t{300 * i}\t{300 * i + 100}\tp{i}\n" for i in range(40)))
    arguments = ["evaluate", bed, "--negatives", tmp_path / "genome.fa", "-m", model]
    result = _call(*arguments, "-o", tmp_path / "out", *QUICK)
    assert result.exit_code == 0, result.output
    sizes = pd.read_csv(tmp_path / "out" / "table.tsv", sep="\t").iloc[0]
    assert sizes["test_rows"] == 16 and 50 <= sizes["train_rows"] <= 64
    assert len(pd.read_csv(tmp_path / "out" / "task.csv")) == 80
    tuned = ("-o", tmp_path / "tuned", "--train", "probe", "--folds", "2")
    result = _call("finetune", *arguments[1:], *tuned)
    assert result.exit_code == 0, result.output
    drawn = pd.read_csv(tmp_path / "tuned" / "task.csv")
    assert drawn["label"].value_counts().to_dict() == {"negative": 40, "positive": 40}
    assert list(drawn.columns) == ["id", "chrom", "start", "end", "strand", "sequence", "label"]
    again = _call("finetune", bed, "--negatives", tmp_path / "none.fa", *tuned)
    assert again.exit_code == 3 and "this run already exists" in again.stderr
    for verb in ("finetune", "evaluate"):
        for flags in (("--group-column", "name"), ("-g", tmp_path / "other.fa")):
            named = _call(verb, *arguments[1:], *flags, "-o", tmp_path / "named")
            assert named.exit_code == 2 and "all rows are positives" in named.stderr, named.stderr
    result = _call("doctor", bed, "-g", tmp_path / "genome.fa")
    assert result.exit_code == 3 and "--negatives" in result.stderr


def test_mistakes_are_told_and_leave_nothing(task: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for arguments, code, words in (
        ((task, "--suite", "gue"), 3, "either labelled data or a suite"),
        ((task, "--data", task), 2, "DATA and --data both name"),
        ((task, "--task", "tf/0"), 3, "belong to a suite"),
        ((task, "--task", "multiclass"), 3, "--set task=multiclass gives"),
        (("--suite", "gue", "--task", "tf/00"), 3, "did you mean"),
        (("--suite", "gue", "--task", "tf/0", "--data", tmp_path), 3, "findna fetch"),
        (("--suite", "gue", "-g", tmp_path / "none.fa"), 2, "-g goes with DATA"),
        ((task, "--trust-remote-code"), 2, "needs --hf"),
        ((task, "--dev-as-train"), 3, "only for tasks of a suite"),
        (("--negatives", tmp_path / "g.fa"), 2, "--negatives goes with DATA"),
        ((task, "--suite", "gue", "--negatives", tmp_path / "g.fa"), 2, "without --suite"),
        ((task, "--seeds", "0"), 2, "seeds"),
        ((task, "--learning-rates", "1e-3,-1"), 2, "greater than 0, not '-1'"),
        ((task, "--learning-rates", "0"), 2, "greater than 0"),
        ((task, "--learning-rates", "nan"), 2, "finite number"),
        ((task, "-m", tmp_path / "none"), 3, "no such model"),
    ):
        result = _call("evaluate", *arguments, "-o", out)
        assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
        assert not out.exists()
