"""`findna predict` as a person uses it: tracks, prevalence, empty and wrong input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from findna.cli import app
from findna.cli.predict import _prevalence
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig, TaskConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.tracks import read_track

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
    task=TaskConfig(kind="binary", classes=("no", "yes"), prevalence=(0.75, 0.25)),
)


def dna(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def call(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)], input=stdin)


def refused(result: Result, *words: str) -> None:
    """Exit code 3, a sentence with these words and an indented remedy, and no stack trace."""
    assert result.exit_code == 3, result.stderr
    said = result.stderr[result.stderr.index("error: ") :]
    assert "Traceback" not in said and "unexpected" not in said
    assert len(said.splitlines()) >= 2 and said.splitlines()[1].startswith("  ")
    for word in words:
        assert word in said


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a genome, a model and a BED that are all in order."""
    monkeypatch.chdir(tmp_path)
    Path("genome.fa").write_text(f">chr1\n{dna(3000)}\n>chr2\n{dna(800, 1)}\n")
    Path("a.bed").write_text("chr2\t100\t200\nchr1\t500\t700\nchr1\t600\t800\n")
    new_model(SMALL, 0).save("model")
    return tmp_path


def test_a_bed_becomes_a_track() -> None:
    result = call("a.bed", "-g", "genome.fa", "-m", "model", "-o", "out.bw")
    assert result.exit_code == 0, result.stderr
    assert "out.bw: 3 windows, ln odds of yes minus those in training" in result.stderr
    # A fresh head says 0.5 of everything: 3 times the odds of training.
    seen = read_track("out.bw", "chr1", 400, 900)
    assert np.isnan(seen[:100]).all() and np.isnan(seen[400:]).all()
    assert seen[100:400] == pytest.approx(np.log(3))


def test_a_genome_is_cut_and_turned_to_a_prevalence() -> None:
    result = call("genome.fa", "-m", "model", "--tile", "500,250", "-o", "out.bedgraph",
                  "--prevalence", "0.01")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    rows = [line.split("\t") for line in Path("out.bedgraph").read_text().splitlines()]
    assert rows[0][:3] == ["chr1", "0", "375"] and rows[-1][:3] == ["chr2", "525", "800"]
    odds = 3 * 0.01 / 0.99
    assert float(rows[0][3]) == pytest.approx(odds / (1 + odds), rel=1e-5)
    result = call("genome.fa", "-m", "model", "--tile", "500", "-o", "-", "-q")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1 + 6 + 2


def test_classes_by_name() -> None:
    result = call("a.bed", "-g", "genome.fa", "-m", "model", "-o", "out.tsv", "--prevalence",
                  "no=0.75,yes=0.25")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert pd.read_csv("out.tsv", sep="\t")["p_yes"].tolist() == pytest.approx([0.5] * 3)


def test_a_class_may_have_a_comma_in_its_name() -> None:
    assert _prevalence("LTR=é,x=0.5,b=.25, c=0.25") == {"LTR=é,x": 0.5, "b": 0.25, "c": 0.25}


WRONG = {
    "a FASTA without places": (("genome.fa", "-o", "out.bw"), "give a BED and its genome with -g"),
    "a table without places": (("rows.csv", "-o", "out.bw"), "these sequences have none"),
    "a place that stands twice": (("twice.bed", "-g", "genome.fa", "-o", "out.bw"), "line 2"),
    "a window of nothing": (("genome.fa", "--tile", "0", "-o", "out.tsv"), "cannot cut windows"),
    "a table that is cut": (("rows.csv", "--tile", "90", "-o", "out.tsv"), "is not a FASTA"),
    "a prevalence of all": (("genome.fa", "--prevalence", "1", "-o", "out.tsv"), "leaves nothing"),
    "a zipped bigWig": (("a.bed", "-g", "genome.fa", "-o", "out.bw.gz"), "which format"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_answered(what: str) -> None:
    Path("rows.csv").write_text(f"sequence\n{dna(50)}\n")
    Path("twice.bed").write_text("chr1\t1\t90\nchr1\t1\t90\n")
    arguments, words = WRONG[what]
    refused(call(*arguments, "-m", "model"), words)
    assert not list(Path().glob("out*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tile", "9,9,9"),
        ("--tile", "wide"),
        ("--tile", "10²"),
        ("--prevalence", "a=b"),
        ("--prevalence", "no=0.9,no=0.1"),
    ],
)
def test_usage(arguments: tuple[str, str]) -> None:
    assert call("genome.fa", "-m", "model", "-o", "out.tsv", *arguments).exit_code == 2


def test_a_model_that_comes_with_findna_has_no_task() -> None:
    refused(call("genome.fa", "-m", "findna-human-tiny", "-o", "out.tsv"), "no task")


def test_an_existing_track_is_kept() -> None:
    Path("out.bw").write_text("mine")
    refused_result = call("a.bed", "-g", "genome.fa", "-m", "model", "-o", "out.bw")
    refused(refused_result, "out.bw: exists")
    assert Path("out.bw").read_text() == "mine"


def test_an_empty_input_is_answered_by_an_empty_output() -> None:
    Path("none.csv").write_text("sequence,label\n")
    Path("none.bed").write_text("#chrom\tstart\tend\n")
    result = call("none.csv", "-m", "model", "-o", "out.tsv")
    assert result.exit_code == 0 and "warning: the input holds no sequences" in result.stderr
    assert Path("out.tsv").read_text() == "id\tlength\tfrac_n\tprediction\tp_no\tp_yes\n"
    for name in ("out.bw", "out.bedgraph"):
        result = call("none.bed", "-g", "genome.fa", "-m", "model", "-o", name)
        assert result.exit_code == 0 and "warning: the input holds no windows" in result.stderr
    assert Path("out.bedgraph").read_text() == "" and Path("out.bw").stat().st_size > 0
