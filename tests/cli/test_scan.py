"""`findna scan` as it is typed: what it writes, what it says, what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from findna.cli import app
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig, TaskConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.tracks import read_track

TUNED = TaskConfig(kind="binary", classes=("no", "yes"))


def model(folder: str, task: TaskConfig | None = None) -> None:
    config = ModelConfig(
        backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
        projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
        task=task,
    )
    new_model(config, 0).save(folder)


def dna(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINDNA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    contigs = "".join(f">contig{k}\n{dna(20 + 3 * k, k)}\n" for k in range(40))
    Path("genome.fa").write_text(f">chr1\n{dna(3000, 99)}\n{contigs}>gap\n{'N' * 600}\n")
    Path("sample.bed").write_text("chr1\t5\t9\n")
    model("model")
    model("tuned", TUNED)
    return tmp_path


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


QUICK = ("--window", "64", "--device", "cpu")


def refused(result: Result, *words: str) -> None:
    """Exit code 3, a sentence with these words and an indented remedy, and nothing written."""
    assert result.exit_code == 3, result.stderr
    said = result.stderr[result.stderr.index("error: ") :]
    assert "Traceback" not in said and "unexpected" not in said
    assert len(said.splitlines()) >= 2 and said.splitlines()[1].startswith("  ")
    for word in words:
        assert word in said
    assert result.stdout == "" and not Path("out").exists()
    assert not list(Path().glob(".tmp-*"))


def test_an_assembly_of_many_small_contigs_becomes_a_folder_of_tracks() -> None:
    pytest.importorskip("figwig")
    result = call("scan", "genome.fa", "-m", "model", "-o", "out", *QUICK)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "no soft mask in this FASTA" in result.stderr and "r with GC" in result.stderr
    table = pd.read_csv("out/tracks.tsv", sep="\t")
    assert table["track"].tolist() == ["surprise", "pc1", "pc2", "pc3"]
    assert table["lower_case_pearson"].isna().all()
    for name in table["file"]:
        values = read_track(f"out/{name}", "contig7", 0, 41)
        assert not np.isnan(values).any()
        assert np.isnan(read_track(f"out/{name}", "gap", 0, 600)).all()
    assert {p.name for p in Path("out").iterdir()} == {
        *table["file"], "tracks.tsv", "scan.json", "components.npz", "genome.chrom.sizes",
        "hub.txt", "genomes.txt", "trackDb.txt", "igv_session.xml", "README.txt",
    }  # fmt: skip


def test_a_fine_tuned_model_gives_classes_of_regions_as_bedgraph() -> None:
    result = call(
        "scan", "genome.fa", "-m", "tuned", "-o", "out", *QUICK, "--format", "bedgraph",
        "--regions", "chr1:101-200", "--regions", "contig3:1-5", "-q",
    )  # fmt: skip
    assert result.exit_code == 0 and result.stderr == ""
    values = read_track("out/p_yes.bedgraph.gz", "chr1", 95, 205)
    assert np.isnan(values[:5]).all() and np.isnan(values[105:]).all()
    assert ((values[5:105] > 0) & (values[5:105] < 1)).all()
    assert not Path("out/hub.txt").exists()
    assert "a hub needs --format bigwig" in Path("out/README.txt").read_text()


def test_a_genome_from_standard_input() -> None:
    text = Path("genome.fa").read_bytes()
    result = CliRunner().invoke(
        app, ["scan", "-", "-m", "model", "-o", "out", *QUICK, "--format", "bedgraph"], input=text
    )
    assert result.exit_code == 0, result.stderr
    assert Path("out/surprise.bedgraph.gz").exists()


def test_no_regions_are_an_empty_valid_folder_and_a_warning() -> None:
    Path("none.bed").write_text("# nothing\n")
    result = call("scan", "genome.fa", "-m", "model", "-o", "out", *QUICK, "--regions", "none.bed")
    assert result.exit_code == 0 and "no regions are given" in result.stderr
    assert Path("out/tracks.tsv").read_text().count("\n") == 5


WRONG = {
    "an unknown track": (("--tracks", "surprise,colour"), "no track 'colour'"),
    "classes of a pretrained model": (("--tracks", "classes"), "has no classes"),
    "a step beyond the window": (("--step", "65"), "a step of 65 does not fit"),
    "an uneven step": (("--step", "33"), "window - step must be even"),
    "a region backwards": (("--regions", "chr1:9-5"), "ends before it starts"),
    "a region off the end": (("--regions", "chr1:5-4000"), "extends beyond the chromosome"),
    "another naming": (("--regions", "NC_1:5-40"), "has no chromosome of genome.fa"),
    "a BED that is not there": (("--regions", "simple.bed"), "no such file"),
    "a device that is not there": (
        ("--device", "mps" if sys.platform != "darwin" else "cuda"),
        "has no device",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_scanned(what: str) -> None:
    flags, words = WRONG[what]
    refused(call("scan", "genome.fa", "-m", "model", "-o", "out", *QUICK, *flags), words)


def test_wrong_files_and_places(place: Path) -> None:
    Path("bad.fa").write_text("hello\n")
    refused(call("scan", "bad.fa", "-m", "model", "-o", "out", *QUICK), "bad.fa, line 1: is not a")
    refused(call("scan", "genome.fa", "-m", "nothing", "-o", "out", *QUICK), "nothing")
    Path("taken").mkdir()
    Path("taken/mine").write_text("mine")
    refused(call("scan", "genome.fa", "-m", "model", "-o", "taken", *QUICK), "taken: exists")
    assert Path("taken/mine").read_text() == "mine"


def test_usage() -> None:
    for flags, words in (
        (("-o", "-"), "cannot go to standard output"),
        (("-o", "out", "--format", "wig"), "'wig' is not one of 'bigwig', 'bedgraph'"),
        (("-o", "out", "--strand", "reverse"), "'reverse' is not one of 'both', 'forward'"),
        (("-o", "out", "--bin", "0"), "--bin"),
    ):
        result = call("scan", "genome.fa", "-m", "model", *flags)
        assert result.exit_code == 2 and words in result.stderr, result.stderr
    assert not Path("out").exists()


def test_without_figwig_the_remedy_is_said_and_bedgraph_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "figwig", None)
    refused(call("scan", "genome.fa", "-m", "model", "-o", "out", *QUICK), "findna[tracks]")
    flags = ("--format", "bedgraph", "--regions", "contig3:1-20")
    assert call("scan", "genome.fa", "-m", "model", "-o", "out", *QUICK, *flags).exit_code == 0
