"""`findna score-variants` on the command line, with a true scorer: formats, pipes, bad input."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pysam
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
DNA = "".join(np.random.default_rng(5).choice(list("ACGT"), 4000))
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}


def row(pos: int, ref: str = "", alt: str = "", chrom: str = "chr1") -> str:
    ref = ref or DNA[pos - 1]
    return f"{chrom}\t{pos}\t.\t{ref}\t{alt or OTHER[ref[0].upper()]}\t.\t.\tX"


def written(rows: list[str], header: str = "") -> None:
    lines = ["##fileformat=VCFv4.2", *header.splitlines(), COLUMNS, *rows]
    Path("in.vcf").write_text("\n".join(lines) + "\n")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("genome.fa").write_text(f">chr1\n{DNA}\n>chrM\n{DNA[:200]}\n")
    new_model(SMALL, 0).save("model")
    written([row(p) for p in range(100, 160)])
    return tmp_path


def call(*arguments: str, inputs: bytes | None = None, percentiles: bool = False) -> Result:
    given = ["-g", "genome.fa", "-m", "model", "--window", "32", "--device", "cpu"]
    given += [] if percentiles else ["--no-percentiles"]
    shared = [] if "--merge" in arguments else given
    return CliRunner().invoke(app, ["score-variants", *arguments, *shared], input=inputs)


def refused(result: Result, *said: str) -> None:
    assert result.exit_code == 3, result.stderr
    error = result.stderr[result.stderr.index("error: ") :]
    assert "Traceback" not in error and "unexpected" not in error
    assert len(error.splitlines()) >= 2 and error.splitlines()[1].startswith("  ")
    for word in said:
        assert word in error
    assert result.stdout == "" and not list(Path().glob("*out*"))


def test_a_vcf_goes_in_and_comes_out() -> None:
    result = call("in.vcf", "-o", "y.vcf.gz")
    assert result.exit_code == 0, result.stderr
    assert "scored 60 of 60 alternative alleles in 60 rows" in result.stderr
    before = Path("in.vcf").read_text().splitlines()
    after = gzip.decompress(Path("y.vcf.gz").read_bytes()).decode().splitlines()
    rows = [line for line in after if not line.startswith("#")]
    assert [line.split(";FINDNA_LLR=")[0] for line in rows] == before[2:]
    assert any(line.startswith("##findna_model=model sha256:") for line in after)
    with pysam.VariantFile("y.vcf.gz") as records:
        assert len(list(records.fetch("chr1", 99, 129))) == 30
    assert call("in.vcf", "-o", "y.vcf.gz").exit_code == 3
    assert call("in.vcf", "-o", "y.vcf.gz", "--overwrite").exit_code == 0


def test_standard_input_and_output() -> None:
    plain = call("in.vcf", "-o", "-")
    data = Path("in.vcf").read_bytes()
    for given in (data, gzip.compress(data)):
        piped = call("-", "-o", "-", inputs=given)
        assert piped.exit_code == 0, piped.stderr
        assert piped.stdout.replace("score-variants - ", "score-variants in.vcf ") == plain.stdout


def test_scores_do_not_depend_on_the_batch_or_on_other_rows() -> None:
    def scores(*more: str) -> dict[str, list[float]]:
        lines = call("in.vcf", "-o", "-", *more).stdout.splitlines()
        cells = [line.split("\t") for line in lines if not line.startswith("#")]
        return {c[1]: [float(x.split("=")[1]) for x in c[7].split(";")[1:]] for c in cells}

    whole = scores()
    for bases in ("32", "256"):
        for pos, values in scores("-b", bases).items():
            assert values == pytest.approx(whole[pos], abs=1e-5)
    written([row(150), row(150, chrom="chrM"), row(110)])
    for pos, values in scores().items():
        if pos != "150":
            assert values == pytest.approx(whole[pos], abs=1e-5)


def test_shards_merge_byte_for_byte() -> None:
    written([row(p) for p in range(100, 1300)])
    assert call("in.vcf", "-o", "one.bcf").exit_code == 0
    for k in (1, 2):
        assert call("in.vcf", "-o", f"s{k}.vcf.gz", "--shard", f"{k}/2").exit_code == 0
    merged = call("s2.vcf.gz", "s1.vcf.gz", "--merge", "-o", "all.bcf")
    assert merged.exit_code == 0, merged.stderr
    assert "scored 1,200 of 1,200" in merged.stderr
    assert Path("all.bcf").read_bytes() == Path("one.bcf").read_bytes()
    refused(call("s2.vcf.gz", "--merge", "-o", "out.bcf"), "of 2 shards are missing: 1")


def test_percentiles_stand_beside_the_scores() -> None:
    written([row(100)])
    result = call("in.vcf", "-o", "-", percentiles=True)
    assert result.exit_code == 0, result.stderr
    assert "##INFO=<ID=FINDNA_LLR_PCT,Number=A,Type=Float" in result.stdout


ODD = {
    "position 0": (row(100).replace("\t100\t", "\t0\t"), "position_0"),
    "past the end": (row(100).replace("\t100\t", "\t4001\t"), "off_the_end"),
    "REF N": (row(100, "N", "A"), "ref_not_acgt"),
    "no such contig": (row(100, chrom="chr9"), "contig_missing"),
    "a 10 kb insertion": (row(100, DNA[99], DNA[99] + "A" * 10_000), "longer_than_half_of_the"),
    "another REF": (row(100, OTHER[DNA[99]], DNA[99]), "ref_mismatch"),
    "no ALT": (row(100, DNA[99], "."), "no_alt"),
    "symbolic": (row(100, DNA[99], "<DUP>"), "symbolic"),
    "a breakend": (row(100, DNA[99], f"{DNA[99]}[chr1:5["), "breakend"),
    "*": (row(100, DNA[99], "*"), "star"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_cannot_be_scored_passes_with_a_reason(what: str) -> None:
    line, reason = ODD[what]
    written([row(50), line])
    result = call("in.vcf", "-o", "-")
    assert result.exit_code == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert last.startswith(line) and f";FINDNA_REASON={reason}" in last
    assert f"scored 1 of 2 alternative alleles in 2 rows; not scored: 1 {reason}" in result.stderr


@pytest.mark.parametrize(
    "line",
    [row(1), row(4000), row(100, DNA[99].lower()), row(100, chrom="1"), row(3, chrom="MT")],
    ids=["chromosome start", "chromosome end", "lower-case REF", "without chr", "MT"],
)
def test_what_can_be_scored_is(line: str) -> None:
    written([line, line])
    result = call("in.vcf", "-o", "-", "--circular", "MT")
    assert result.exit_code == 0 and "scored 2 of 2" in result.stderr
    assert result.stdout.splitlines()[-1].startswith(f"{line};FINDNA_LLR=")


def test_no_header_no_order_and_nothing_at_all() -> None:
    Path("in.vcf").write_text(f"{row(100)}\n{row(90)}\n")
    result = call("in.vcf", "-o", "y.vcf.gz")
    assert result.exit_code == 0 and "has no VCF header; a minimal one" in result.stderr
    assert "not sorted: no index is written" in result.stderr
    assert not Path("y.vcf.gz.tbi").exists()
    for text in ("", "##fileformat=VCFv4.2\n" + COLUMNS + "\n"):
        Path("in.vcf").write_text(text)
        result = call("in.vcf", "-o", "e.bcf", "--overwrite")
        assert result.exit_code == 0 and "in.vcf: holds no variants" in result.stderr
        with pysam.VariantFile("e.bcf") as records:
            assert list(records) == []


def test_bad_input() -> None:
    out = ("-o", "out.vcf.gz")
    refused(call("no.vcf", *out), "no.vcf: no such file")
    refused(call("genome.fa", *out), "genome.fa, line 1: has 1 columns where a VCF has 8")
    refused(call("in.vcf", "-o", "out.txt"), "out.txt: the file name does not say")
    refused(call("in.vcf", *out, "--circular", "chrX"), "has no chromosome 'chrX'")
    refused(call("in.vcf", *out, "--shard", "3/2"), "'3/2' is not a shard")
    written([row(p, OTHER[DNA[p - 1]], DNA[p - 1]) for p in range(100, 130)])
    refused(call("in.vcf", *out), "30 of 30 REF alleles", "wrong genome build?")
    refused(call("in.vcf", "-o", "-"), "wrong genome build?")
    written([row(100)], "##contig=<ID=chr1,length=9>")
    refused(call("in.vcf", *out), "chr1 has 9 bases here and 4,000 there", "wrong genome build?")
    written([row(100, chrom="NC_1")])
    refused(call("in.vcf", *out), "has no chromosome of genome.fa: NC_1 here")
    written([row(100), "chr1\t5"])
    refused(call("in.vcf", *out), "in.vcf, line 4: has 2 columns where the header names 8")
    Path("in.vcf").write_bytes(gzip.compress(Path("in.vcf").read_bytes() * 99)[:-20])
    refused(call("in.vcf", *out), "in.vcf: the gzip data is truncated")


@pytest.mark.parametrize(
    "given",
    [["in.vcf", "-o", "y.vcf"], ["in.vcf", "x.vcf", "-o", "y.vcf", "-g", "genome.fa"],
     ["s.vcf", "--merge", "-o", "y.vcf", "-g", "genome.fa"],
     ["in.vcf", "-o", "y.vcf", "-g", "genome.fa", "--strand", "back"]],
)  # fmt: skip
def test_usage(given: list[str]) -> None:
    assert CliRunner().invoke(app, ["score-variants", *given]).exit_code == 2


def test_a_reader_that_goes_away_leaves_no_trace() -> None:
    written([f"{row(p % 3900 + 1)};{'Y' * 600}" for p in range(300)])
    command = [sys.executable, "-m", "findna", "score-variants", "in.vcf", "-g", "genome.fa"]
    more = ["-m", "model", "--window", "16", "--no-percentiles", "-o", "-", "-q"]
    with subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == 141 and said == b""
