"""What bad input gets, on the command line: exit code 3, file, record or line, and a remedy.

One case a line of the list in the issue; the rules behind them are tested beside their modules.
"""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from findna.cli import app
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig, TaskConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
    task=TaskConfig(kind="binary", classes=("no", "yes")),
)
QUICK = ("--steps", "20", "--window", "128", "--validation-bases", "1024",
         "--validation-final-bases", "1024", "--precision", "fp32", "--device", "cpu")  # fmt: skip


def dna(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


ROWS = "sequence,label\n" + "".join(f"{dna(30, k)},{k % 2}\n" for k in range(40))


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(result: Result, *words: str) -> None:
    """Exit code 3, a sentence with these words and an indented remedy, and no stack trace."""
    assert result.exit_code == 3, result.stderr
    said = result.stderr[result.stderr.index("error: ") :]
    assert "Traceback" not in said and "unexpected" not in said
    assert len(said.splitlines()) >= 2 and said.splitlines()[1].startswith("  ")
    for word in words:
        assert word in said
    assert result.stdout == ""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a genome, a model and rows that are all in order."""
    monkeypatch.setenv("FINDNA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("genome.fa").write_text(f">chr1\n{dna(30_000)}\n>chr2\n{dna(8_000, 1)}\n")
    Path("rows.csv").write_text(ROWS)
    new_model(SMALL, 0).save("model")
    return tmp_path


def foreign() -> None:
    with zipfile.ZipFile("bad", "w") as book:
        book.writestr("xl/workbook.xml", "<x/>")


def written(text: str | bytes) -> Callable[[], None]:
    content = text.encode() if isinstance(text, str) else text
    return lambda: void(Path("bad").write_bytes(content))


def void(_: object) -> None:
    """A value that is not needed."""


FASTA = {
    "not a FASTA": (written("hello\n"), "bad, line 1: is not a FASTA"),
    "empty": (written(""), "bad: has no sequences"),
    "truncated gzip": (written(gzip.compress(dna(9000).encode())[:900]), "bad: the gzip data"),
    "duplicate names": (written(f">a\n{dna(900)}\n>a\n{dna(900)}\n"), "bad, record a, line 3"),
    "protein": (written(">p\nMKVLAAGIVGLLLAQ\n"), "bad, record p, line 2: unknown letter 'L'"),
    "shorter than the window": (written(f">a\n{dna(100)}\n"), "bad: no window of 128 bp fits"),
    "a record without sequence": (written(">a\n>b\nACGT\n"), "bad, record a, line 1"),
    "a header without a name": (written(">\nACGT\n"), "bad, line 1: a header without a name"),
    "a spreadsheet": (foreign, "bad: is a spreadsheet"),
}


@pytest.mark.parametrize("what", FASTA)
def test_a_genome_that_is_none(what: str, place: Path) -> None:
    make, words = FASTA[what]
    make()
    refused(call("pretrain", "bad", "-o", "run", *QUICK), words)
    assert not Path("run").exists()
    assert not [p for p in (place / "cache").rglob("*") if ".tmp" in p.name]


BED = {
    "off the chromosome": ("chr2\t5\t90\nchr2\t7900\t8100\n", "line 2: chr2:7900-8100: extends"),
    "of another naming": ("NC_1\t5\t90\n", "bad: has no chromosome of genome.fa"),
    "backwards": ("chr1\t90\t5\n", "bad, line 1: chr1:90-5: end is before start"),
    "without numbers": ("chr1\tten\t90\n", "bad, line 1: start is 'ten'"),
}


@pytest.mark.parametrize("what", BED)
def test_a_bed_that_does_not_fit(what: str) -> None:
    text, words = BED[what]
    written(text)()
    refused(call("pretrain", "genome.fa", "--exclude", "bad", "-o", "run", *QUICK), words)
    Path("bad").rename("bad.bed")
    words = words.replace("bad", "bad.bed", 1)
    refused(call("predict", "bad.bed", "-g", "genome.fa", "-m", "model", "-o", "out.tsv"), words)
    assert not Path("run").exists() and not Path("out.tsv").exists()


TABLES = {
    "no column of sequences": ("id,label\na,1\n", "which column holds the sequences"),
    "no column of labels": ("sequence,a,b\nACGT,1,2\n", "which column holds the labels"),
    "the same class": ("sequence,label\nACGT,x\nACGA,x\n", "the same class: x"),
    "an empty sequence": (ROWS + ",1\n", "bad.csv, record 41, line 42: the sequence is empty"),
    "a row without label": (ROWS + "ACGT,\n", "bad.csv, record 41, line 42: the row has no label"),
    "protein": (ROWS + "MKVLA,1\n", "bad.csv, record 41, line 42: unknown letter 'L'"),
    "a row too wide": (ROWS + "ACGT,1,1\n", "bad.csv, line 42: has 3 cells"),
    "nothing": ("", "bad.csv, line 1: is empty"),
}


def test_a_table_without_rows() -> None:
    Path("bad.csv").write_text("sequence,label\n")
    assert call("finetune", "bad.csv", "-m", "model", "-o", "run").exit_code == 3
    assert not Path("run").exists()


@pytest.mark.parametrize("what", TABLES)
def test_a_table_that_cannot_be_learned(what: str) -> None:
    text, words = TABLES[what]
    Path("bad.csv").write_text(text)
    refused(call("finetune", "bad.csv", "-m", "model", "-o", "run"), words)
    assert not Path("run").exists()


def test_a_label_that_training_lacks() -> None:
    Path("task").mkdir()
    Path("task/train.csv").write_text(ROWS)
    Path("task/test.csv").write_text(ROWS + "ACGTACGT,7\n")
    words = "test.csv, record 41, line 42: label '7' does not occur in training"
    refused(call("finetune", "task", "-m", "model", "-o", "run"), words)


def test_a_spreadsheet_says_how_to_save_it_as_csv() -> None:
    foreign()
    refused(call("finetune", "bad", "-m", "model", "-o", "run"), "bad: is a spreadsheet", "CSV UTF")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(ROWS, "utf-8-sig"), (ROWS.replace(",", ";"), "utf-8"), (ROWS, "utf-16")],
    ids=["byte-order mark", "semicolons", "UTF-16"],
)
def test_tables_as_offices_write_them_are_read(text: str, encoding: str) -> None:
    Path("rows.csv").write_text(text, encoding=encoding)
    result = call("predict", "rows.csv", "-m", "model", "-o", "-", "-q")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 41


def changed_weights(how: str) -> None:
    weights = load_file("model/model.safetensors")
    if how == "missing":
        del weights["base_head.weight"]
    else:
        weights["base_head.weight"] = torch.full((4, 17 if how == "shape" else 16), torch.nan)
    save_file(weights, "model/model.safetensors")


def changed_version(version: object) -> None:
    described = json.loads(Path("model/config.json").read_text())
    Path("model/config.json").write_text(json.dumps({**described, "format_version": version}))


MODELS: dict[str, tuple[Callable[[], None], str]] = {
    "a missing tensor": (lambda: changed_weights("missing"), "base_head.weight is missing"),
    "a changed shape": (lambda: changed_weights("shape"), "base_head.weight has shape (4, 17)"),
    "weights that are no numbers": (lambda: changed_weights("nan"), "base_head.weight has"),
    "an unknown version": (lambda: changed_version(99), "config.json: format version 99"),
    "no description": (
        lambda: Path("model/config.json").unlink(),
        "model: this is not a model folder",
    ),
}


@pytest.mark.parametrize("what", MODELS)
def test_a_model_folder_that_is_damaged(what: str) -> None:
    make, words = MODELS[what]
    make()
    refused(call("predict", "rows.csv", "-m", "model", "-o", "out.tsv"), words)
    refused(call("finetune", "rows.csv", "-m", "model", "-o", "run"), words)
    refused(call("pretrain", "genome.fa", "--from", "model", "-o", "run", *QUICK), words)
    assert not Path("out.tsv").exists() and not Path("run").exists()


def test_an_output_that_exists_is_kept() -> None:
    Path("out.tsv").write_text("mine")
    Path("run").mkdir()
    Path("run/mine").write_text("mine")
    refused(call("predict", "rows.csv", "-m", "model", "-o", "out.tsv"), "out.tsv: exists")
    refused(
        call("finetune", "rows.csv", "-m", "model", "-o", "run"), "run: was not written by findna"
    )
    refused(call("pretrain", "genome.fa", "-o", "run", *QUICK), "run: was not written by findna")
    assert Path("out.tsv").read_text() == Path("run/mine").read_text() == "mine"


def test_a_folder_does_not_go_to_standard_output() -> None:
    for result in (
        call("example", "-o", "-"),
        call("finetune", "rows.csv", "-o", "-"),
        call("pretrain", "genome.fa", "-o", "-", *QUICK),
        call("fetch", "sacCer3", "--dry-run", "-o", "-"),
    ):
        assert result.exit_code == 2 and "cannot go to standard output" in result.stderr
    assert call("doctor", "-g", "genome.fa", "-o", "-").exit_code == 2
    assert call("doctor", "-m", "tiny").exit_code == 2
    assert not Path("-").exists()


def test_a_device_that_is_not_there() -> None:
    device = "mps" if sys.platform != "darwin" else "cuda"
    for result in (
        call("predict", "rows.csv", "-m", "model", "-o", "out.tsv", "--device", device),
        call("finetune", "rows.csv", "-m", "model", "-o", "run", "--device", device),
        call("pretrain", "genome.fa", "-o", "run", *QUICK[:-1], device),
    ):
        refused(result, f"this machine has no device '{device}'")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint() -> None:
    diverging = ("--learning-rate", "1e20", "--clip", "1e20")
    result = call("pretrain", "genome.fa", "--from", "model", "-o", "run", *QUICK, *diverging)
    refused(result, "run: the loss is not finite at step", "--learning-rate")
    kept = load_file("run/checkpoints/last/state.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    assert not Path("run/model").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_said_once(tmp_path: Path) -> None:
    Path("full.tsv").symlink_to("/dev/full")
    refused(call("predict", "rows.csv", "-m", "model", "-o", "full.tsv"), "full.tsv: the disk is")
