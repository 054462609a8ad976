"""`findna mutagenesis` as a person calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from findna.cli import app
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig, TaskConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig

SHAPE = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
)
TASK = TaskConfig(kind="multiclass", classes=("coding", "intergenic", "promoter"))


def dna(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def call(*arguments: str | Path) -> Result:
    command = ["mutagenesis", *map(str, arguments), "--device", "cpu"]
    return CliRunner().invoke(app, command)


def refused(result: Result, *words: str) -> None:
    """Exit code 3, these words, an indented remedy, no trace, and nothing left behind."""
    assert result.exit_code == 3, result.stderr
    said = result.stderr[result.stderr.index("error: ") :]
    assert "Traceback" not in said and "unexpected" not in said
    assert said.splitlines()[1].startswith("  ")
    for word in words:
        assert word in said
    assert not list(Path().glob(".tmp*")) and not Path("out").exists()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with a genome, sequences, two seeds of a task and a pretrained model."""
    monkeypatch.chdir(tmp_path)
    Path("genome.fa").write_text(f">chr1\n{dna(400)}\n>chr2\n{dna(200, 1)}\n")
    Path("two.fa").write_text(f">a\n{dna(20, 2)}\n>b\n{dna(14, 3)}\n")
    for seed in (0, 1):
        model = new_model(SHAPE, seed).with_task(TASK, seed)
        torch.nn.init.normal_(model.task_head.linear.weight)
        model.save(f"seed{seed}")
    new_model(SHAPE, 0).save("pretrained")


def test_files_of_a_task_with_seeds() -> None:
    seeds = ("-m", "seed0", "-m", "seed1")
    done = call("two.fa", *seeds, "-o", "out", "--target", "promoter", "--pictures", "1")
    assert done.exit_code == 0 and done.stdout == ""
    made = {path.name for path in Path("out").iterdir()}
    assert made == {
        "agreement.tsv", "attr.npz", "effects.parquet", "gradient.npz", "index.html",
        "mutagenesis.json", "ohe.npz", "pictures",
    }  # fmt: skip
    assert "agreement of strands: r = " in done.stderr
    assert "agreement of models: r = " in done.stderr
    assert "1 of 2 records are shorter than 20 bp" in done.stderr
    assert "findna mutagenesis" in Path("out/index.html").read_text()
    assert len(list(Path("out/pictures").iterdir())) == 4
    again = call("two.fa", *seeds, "-o", "out", "--target", "promoter")
    assert again.exit_code == 3 and "--overwrite" in again.stderr
    assert call("two.fa", "-m", "pretrained", "-o", "out", "--overwrite").exit_code == 0
    assert not list(Path().glob(".tmp*"))


def test_regions_have_a_track() -> None:
    options = ("-m", "pretrained", "-o", "out", "-g", "genome.fa", "--window", "64")
    done = call("chr2:11-40", "chr1:1-25", *options, "--pictures", "0", "--sets", "8")
    assert done.exit_code == 0, done.stderr
    assert Path("out/effects.bw").is_file()
    assert "chr2:11-40" in Path("out/agreement.tsv").read_text()


def test_an_empty_bed_makes_an_empty_folder() -> None:
    Path("none.bed").write_text("# nothing\n")
    done = call("none.bed", "-m", "pretrained", "-o", "out", "-g", "genome.fa")
    assert done.exit_code == 0 and "no sequences" in done.stderr
    assert Path("out/index.html").is_file()


def test_what_is_wrong_is_said() -> None:
    task, pretrained = ("-m", "seed0", "-o", "out"), ("-m", "pretrained", "-o", "out")
    refused(call("two.fa", *task), "3 outputs", "coding, intergenic, promoter")
    refused(call("two.fa", *task, "--target", "exon"), "no class or target 'exon'")
    refused(call("two.fa", *pretrained, "--target", "coding"), "--target")
    refused(call("two.fa", *task, "--target", "coding", "--window", "64"), "leave them out")
    refused(
        call("two.fa", "-m", "seed0", "-m", "pretrained", "-o", "out"),
        "not models of the same",
    )
    refused(call("two.fa", "-m", "nowhere", "-o", "out"), "nowhere", "no such model")
    refused(call("chr1:1-10", *pretrained), "chr1:1-10", "-g")
    refused(call("chr1:390-410", *pretrained, "-g", "genome.fa"), "ends at 400")
    refused(call("chr1:20-10", *pretrained, "-g", "genome.fa"), "ends before it starts")
    refused(call("chrX:1-10", *pretrained, "-g", "genome.fa"), "no chromosome 'chrX'")
    refused(call("two.fa", "genome.fa", *pretrained, "-g", "genome.fa"), "is not a region")
    refused(call("tow.fa", *pretrained), "no such file", "two.fa")
    Path("bad.fa").write_text(">a\nACGT\n>b\nACXT\n")
    refused(call("bad.fa", *pretrained), "bad.fa", "record b")


def test_usage() -> None:
    assert call("two.fa", "-m", "seed0", "-o", "-").exit_code == 2
    assert call("two.fa", "-m", "seed0", "-o", "out", "--strand", "minus").exit_code == 2
    assert call("two.fa", "-m", "seed0", "-o", "out", "--sets", "1").exit_code == 2
