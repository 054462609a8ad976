"""`findna search` as a user meets it: what it writes, and what bad input gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from findna.cli import app
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.intervals import read_bed

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
)
WANTED = ("-g", "genome.fa", "-m", "model", "--window", "64")


def dna(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a genome and a model that are in order."""
    monkeypatch.setenv("FINDNA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("genome.fa").write_text(f">chr1\n{dna(3000)}\n>chr2\n{dna(1000, 1)}\n")
    new_model(SMALL, 0).save("model")
    return tmp_path


def call(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["search", *map(str, arguments)], input=stdin)


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 3, result.stderr
    said = result.stderr[result.stderr.index("error: ") :]
    assert "Traceback" not in said and "unexpected" not in said
    for word in words:
        assert word in said
    assert result.stdout == ""


def test_a_region_gives_a_bed_and_an_index_beside_it() -> None:
    result = call("chr1:101-164", *WANTED, "--index", "genome.idx", "-o", "hits.bed", "-k", "5")
    assert result.exit_code == 0, result.stderr
    assert "5 hits of 1 queries" in result.stderr and result.stdout == ""
    lines = Path("hits.bed").read_text().splitlines()
    bed = read_bed("hits.bed")
    assert len(bed) == 5 and bed["name"].tolist() == [f"chr1:101-164.{n}" for n in range(1, 6)]
    assert bed["score"].astype(int).between(0, 1000).all() and set(bed["strand"]) == {"."}
    assert not ((bed["chrom"] == "chr1") & (bed["start"] < 164) & (bed["end"] > 100)).any()
    again = call("chr1:101-164", *WANTED, "--index", "genome.idx", "-o", "-", "-k", "5")
    assert "using the existing index" in again.stderr
    header, *rows = again.stdout.splitlines()
    assert header.startswith("#chrom\tstart\tend\tname\tscore\tstrand\tsimilarity\tpercentile\t")
    # A BED has six columns, and no header that a reader might take for a row.
    assert ["\t".join(row.split("\t")[:6]) for row in rows] == lines


def test_queries_of_every_kind_in_their_order() -> None:
    Path("q.fa").write_text(f">one\n{dna(64, 5)}\n>two\n{dna(64, 6)}\n")
    Path("q.bed").write_text("chr2\t10\t74\tthree\n")
    result = call("chr1:1-64", "q.fa", "q.bed", *WANTED, "-o", "-", "-k", "1")
    assert [line.split("\t")[8] for line in result.stdout.splitlines()[1:]] == [
        "chr1:1-64", "one", "two", "three",
    ]  # fmt: skip
    piped = call("-", *WANTED, "-o", "-", "-k", "1", stdin=Path("q.fa").read_text())
    assert piped.stdout.splitlines()[1:] == result.stdout.splitlines()[2:4]


def test_no_query_gives_an_empty_table_and_a_warning() -> None:
    Path("none.bed").write_text("# nothing\n")
    for output in ("hits.bed", "hits.parquet"):
        result = call("none.bed", *WANTED, "-o", output)
        assert result.exit_code == 0 and "the input holds no sequences" in result.stderr
    assert Path("hits.bed").read_text() == ""
    assert Path("hits.parquet").stat().st_size > 0


BAD = {
    "off the chromosome": (("chr2:900-1100",), "lies beyond chr2, which ends at 1,000"),
    "far off the chromosome": (("chr2:9000-9100",), "lies beyond chr2"),
    "of no chromosome": (("chr9:1-64",), "has no chromosome 'chr9'"),
    "backwards": (("chr1:90-5",), "ends before it starts"),
    "from 0": (("chr1:0-64",), "the region 'chr1:0-64'"),
    "no file": (("genome.fq",), "genome.fq: no such file"),
    "protein": (("bad.fa",), "bad.fa, record p, line 2: unknown letter 'L'"),
    "an output of no format": (("chr1:1-64", "-o", "hits.vcf"), "does not say which format"),
    "no windows": (("chr1:1-64", "--step", "65"), "no index can have"),
    "N alone": (("chr1:1-64", "--max-n", "1"), "max-n at least 0 and below 1"),
    "no share of N": (("chr1:1-64", "--max-n", "nan"), "max-n at least 0 and below 1"),
    "no limit": (("chr1:1-64", "--min-similarity", "nan"), "nan is not a similarity"),
    "a limit in percent": (("chr1:1-64", "--min-similarity", "90"), "give one from -1 to 1"),
    "no region": (("chr1:1-64", "--regions", "nothing.bed"), "nothing.bed: covers no part of"),
    "a folder that is no index": (("chr1:1-64", "--index", "model"), "this is not a search index"),
    "no model": (("chr1:1-64", "-m", "genome.fa"), "this is not a model folder"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_bad_input_gets(what: str, place: Path) -> None:
    given, words = BAD[what]
    Path("bad.fa").write_text(">p\nMKVLAAGIVGLLLAQ\n")
    Path("nothing.bed").touch()
    refused(call(*given[:1], *WANTED, "-o", "hits.bed", *given[1:]), words)
    assert not Path("hits.bed").exists()
    assert not [path for path in place.rglob("*") if ".tmp" in path.name]


def test_an_existing_output_is_kept_before_anything_is_computed() -> None:
    Path("hits.bed").write_text("mine\n")
    refused(call("chr1:1-64", *WANTED, "-o", "hits.bed"), "hits.bed: exists", "--overwrite")
    assert Path("hits.bed").read_text() == "mine\n" and not Path("cache/search").exists()
    assert call("chr1:1-64", *WANTED, "-o", "hits.bed", "--overwrite").exit_code == 0
    assert len(read_bed("hits.bed")) == 20


def test_an_index_of_other_windows_is_refused() -> None:
    assert call("chr1:1-64", *WANTED, "--index", "i", "-o", "-").exit_code == 0
    refused(
        call("chr1:1-64", *WANTED, "--window", "80", "--index", "i", "-o", "-"),
        "i: the index was made with window 64, not 80",
    )


@pytest.mark.parametrize("wrong", [("--engine", "annoy"), ("--strand", "minus"), ("-k", "0")])
def test_usage_errors(wrong: tuple[str, str]) -> None:
    assert call("chr1:1-64", *WANTED, "-o", "-", *wrong).exit_code == 2


def test_a_closed_pipe_leaves_no_trace() -> None:
    """The reader takes one line of thousands and goes."""
    search = [sys.executable, "-m", "findna", "search", "chr1:1-3000", *WANTED, "-o", "-", "-q"]
    with subprocess.Popen(
        search, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        assert running.stdout.readline().startswith(b"#chrom")
        running.stdout.close()
        said = running.stderr.read()
    assert running.returncode in (0, 141) and b"Traceback" not in said and b"Error" not in said
