"""`findna embed` on the command line: what it writes, and what bad input gets."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
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


def dna(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def call(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(a) for a in ("embed", *arguments)], input=stdin)


def npz(path: str) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def refused(result: Result, *words: str) -> None:
    """Exit code 3, a sentence with these words and an indented remedy, and nothing on stdout."""
    assert result.exit_code == 3, result.stderr
    said = result.stderr[result.stderr.index("error: ") :]
    assert "Traceback" not in said and "unexpected" not in said
    assert len(said.splitlines()) >= 2 and said.splitlines()[1].startswith("  ")
    for word in words:
        assert word in said
    assert result.stdout == ""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model, a genome and intervals that are all in order."""
    monkeypatch.setenv("FINDNA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    new_model(SMALL, 0).save("model")
    Path("genome.fa").write_text(f">chr1\n{dna(2000)}\n")
    Path("a.bed").write_text("chr1\t0\t100\tx\t0\t+\nchr1\t900\t1700\ty\t0\t-\n")
    Path("a.fq").write_text("".join(f"@q{i}\n{dna(20, i)}\n+\n{'I' * 20}\n" for i in range(3)))
    Path("a.csv").write_text("name,sequence\n" + f"t,{dna(30)}\nt,{dna(30)}\n")
    Path("a.fa").write_text(f">one\n{dna(700)}\n>two\n{dna(50, 1).lower()}\n")
    return tmp_path


def test_every_kind_of_input_gets_its_rows() -> None:
    for source, ids in (
        ("a.fa", ["one", "two"]),
        ("a.fq", ["q0", "q1", "q2"]),
        ("a.csv", ["t"] * 2),
    ):
        result = call(source, "-m", "model", "-o", "out.npz", "--overwrite")
        assert result.exit_code == 0, result.stderr
        held = npz("out.npz")
        assert held["id"].tolist() == ids and held["embedding"].shape == (len(ids), 16)
        assert ("occurs more than once" in result.stderr) == (source == "a.csv")
        assert result.stdout == ""


def test_a_bed_keeps_its_places_and_says_how_it_was_made() -> None:
    flags = ("--pooling", "max", "--strand", "forward", "--window", "300", "-b", "500", "--half")
    result = call("a.bed", "-g", "genome.fa", "-m", "model", "-o", "out.parquet", *flags)
    assert result.exit_code == 0, result.stderr
    table = pq.read_table("out.parquet")
    assert table["start"].to_pylist() == [0, 900] and table["strand"].to_pylist() == ["+", "-"]
    assert table["length"].to_pylist() == [100, 800]
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: halffloat>[16]"
    facts = json.loads(table.schema.metadata[b"findna"])
    assert facts["model"] == "model" and facts["genome"] == "genome.fa" and facts["window"] == 300
    assert facts["pooling"] == "max" and facts["strand"] == "forward"


def test_standard_input_to_standard_output() -> None:
    text = Path("a.fa").read_text()
    result = call("-", "-m", "model", "-o", "-", "-q", stdin=text)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(io.StringIO(result.stdout), sep="\t")
    assert table["id"].tolist() == ["one", "two"]
    assert list(table.columns) == ["id", "length", "frac_n", *(f"e{d}" for d in range(16))]
    call("a.fa", "-m", "model", "-o", "out.npz")
    assert np.allclose(table.filter(regex=r"^e\d").to_numpy(), npz("out.npz")["embedding"],
                       rtol=1e-5)  # fmt: skip


def test_a_vector_a_base() -> None:
    result = call("a.fa", "-m", "model", "-o", "out.npz", "--pooling", "base")
    assert result.exit_code == 0, result.stderr
    held = npz("out.npz")
    assert held["base_0"].shape == (700, 16) and held["base_1"].shape == (50, 16)


def test_a_table_without_rows_gives_an_empty_file() -> None:
    Path("none.csv").write_text("id,sequence\n")
    result = call("none.csv", "-m", "model", "-o", "out.parquet")
    assert result.exit_code == 0 and "warning: the input holds no sequences" in result.stderr
    assert pq.read_table("out.parquet").num_rows == 0
    assert call("none.csv", "-m", "model", "-o", "-", "-q").stdout.startswith(
        "id\tlength\tfrac_n\te0"
    )


def test_bad_input() -> None:
    Path("bad.fa").write_text(">a\nACGT\n>b\nMKLV\n")
    refused(call("bad.fa", "-m", "model", "-o", "out.npz"), "bad.fa, record b, line 4")
    refused(call("none.fa", "-m", "model", "-o", "out.npz"), "none.fa: no such file")
    refused(call("a.bed", "-m", "model", "-o", "out.npz"), "a.bed: is a BED", "-g")
    refused(call("a.fa", "-m", "nothing", "-o", "out.npz"), "nothing: no such model")
    refused(call("a.fa", "-m", "model", "-o", "out.xlsx"), "out.xlsx: the file name does not say")
    refused(call("a.fa", "-m", "model", "-o", "out.h5ad", "--pooling", "base"), "not one per base")
    refused(call("a.fa", "-m", "model", "-o", "-", "--pooling", "base"), "standard output: this")
    refused(call("a.fa", "-m", "model", "-o", "out.npz", "--device", "cuda:9"), "no device")
    Path("mine.npz").write_text("mine")
    refused(call("a.fa", "-m", "model", "-o", "mine.npz"), "mine.npz: exists", "--overwrite")
    assert Path("mine.npz").read_text() == "mine" and not list(Path().glob("*out*"))
    assert not list(Path().glob(".tmp*"))


@pytest.mark.parametrize(
    "flags", [("--pooling", "cls"), ("--strand", "reverse"), ("--window", "3"), ("-b", "0")]
)
def test_a_wrong_flag_is_usage(flags: tuple[str, str]) -> None:
    result = call("a.fa", "-m", "model", "-o", "out.npz", *flags)
    assert result.exit_code == 2 and flags[0] in result.stderr
    assert not Path("out.npz").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_said_once() -> None:
    Path("full.parquet").symlink_to("/dev/full")
    refused(call("a.fa", "-m", "model", "-o", "full.parquet"), "full.parquet: the disk is")
