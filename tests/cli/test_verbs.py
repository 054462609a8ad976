"""The verbs themselves, called as a person calls them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from findna.cli import VERBS, app, verb_command
from findna.sequence.bcf import vcf_to_bcf

CALLS = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchr1\t5\t.\tA\tC\t.\t.\t.\n"
)


def _call(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)


def _facts(result: Result) -> dict[str, str]:
    pairs = [line.split("\t") for line in result.stdout.splitlines()]
    return {name: value for name, value in pairs}


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "g.fa"
    path.write_text(">chr1 first\nACGTacgtNN\n>chr2\nGGGGCCCC\n")
    return path


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_has_help(name: str) -> None:
    result = _call(name, "--help")
    assert result.exit_code == 0
    assert "--debug" in result.stdout and "--threads" in result.stdout
    assert verb_command(name).name == name


def test_a_mistyped_verb_is_usage_and_gets_a_hint() -> None:
    result = _call("pretain")
    assert result.exit_code == 2
    assert "pretrain" in result.stderr


def test_example_writes_and_refuses(tmp_path: Path) -> None:
    out = tmp_path / "example"
    assert _call("example", "-o", out, "--seed", "2").exit_code == 0
    assert (out / "genome.fa").is_file()
    again = _call("example", "-o", out)
    assert again.exit_code == 3
    assert "--overwrite" in again.stderr
    assert "seed 2" in (out / "genome.fa").read_text()[:80]


def test_info_of_a_genome(fasta: Path) -> None:
    facts = _facts(_call("info", fasta))
    assert facts["kind"] == "genome"
    assert facts["bases"] == "18"
    assert facts["N"] == "2 (11.11%)"
    assert facts["GC"] == "75.00%"
    assert facts["lower case"] == "4 (22.22%)"
    assert (facts["chr1"], facts["chr2"]) == ("10", "8")


def test_info_of_intervals_counts_overlaps_once(tmp_path: Path) -> None:
    bed = tmp_path / "a.bed"
    bed.write_text("#comment\nchr1\t0\t10\nchr1\t5\t15\n2\t0\t3\n")
    facts = _facts(_call("info", bed))
    assert facts["intervals"] == "3"
    assert facts["bases covered"] == "18"
    assert facts["chromosomes"] == "2, chr1"


def test_info_of_reads_variants_and_an_evaluation(tmp_path: Path) -> None:
    reads, calls, marked = tmp_path / "r.fq", tmp_path / "calls.vcf", tmp_path / "g.fa"
    reads.write_text("@a\nACGT\n+\nIIII\n@b\nAC\n+\nII\n")
    assert _facts(_call("info", reads))["lengths"] == "2 to 4 bp"
    calls.write_text(CALLS)
    facts = _facts(_call("info", calls))
    assert (facts["rows"], facts["read by"]) == ("1", "findna score-variants")
    vcf_to_bcf(calls, tmp_path / "calls.bcf")
    assert _facts(_call("info", tmp_path / "calls.bcf")) == facts
    marked.write_bytes(b"\xef\xbb\xbf>chr1\nACGT\n")
    assert _facts(_call("info", marked))["kind"] == "genome"
    folder = tmp_path / "evaluation"
    (folder / "runs" / "own" / "kmer").mkdir(parents=True)
    (folder / "runs" / "own" / "kmer" / "0.json").write_text("{}")
    (folder / "settings.yaml").write_text("verb: evaluate\n")
    facts = _facts(_call("info", folder))
    assert (facts["kind"], facts["runs"]) == ("evaluation", "1")


def test_info_of_labels(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("sequence,label\nACGTACGT,b\nACGTAC,a\nACGTACGTAA,a\n")
    facts = _facts(_call("info", table))
    assert facts["classes"] == "a, b"
    assert facts["rows train"] == "3"
    assert facts["lengths"] == "6 to 10 bp"


def test_info_of_a_table_without_labels(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,seq,height,weight\na,ACGT,1,2\nb,ACGTAC,3,4\n")
    facts = _facts(_call("info", table))
    assert facts["kind"] == "sequences (table)"
    assert (facts["records"], facts["lengths"]) == ("2", "4 to 6 bp")
    assert facts["columns"] == "id, seq, height, weight"
    table.write_text("id,seq\n")
    assert _facts(_call("info", table))["records"] == "0"
    table.write_text("chrom,start,end\nchr1,0,5\n")
    facts = _facts(_call("info", table))
    assert (facts["kind"], facts["rows"]) == ("table", "1")


def test_info_of_a_model_and_of_a_missing_file(tmp_path: Path) -> None:
    from findna.model.model import new_model

    new_model("tiny", seed=0).save(tmp_path / "m")
    facts = _facts(_call("info", tmp_path / "m"))
    assert facts["kind"] == "model"
    assert facts["task"] == "none (pretrained)"
    assert int(facts["parameters"].replace(",", "")) > 100_000
    assert _call("info", tmp_path / "none.fa").exit_code == 3


def test_settings_that_cannot_be_are_usage(fasta: Path, tmp_path: Path) -> None:
    result = _call("pretrain", fasta, "-o", tmp_path / "r", "--steps", "1", "--budget", "10m")
    assert result.exit_code == 2
    assert "one of steps, epochs and budget" in result.stderr
    assert not (tmp_path / "r").exists()


def test_a_genome_shorter_than_the_window_is_bad_input(fasta: Path, tmp_path: Path) -> None:
    result = _call("pretrain", fasta, "-o", tmp_path / "r", "--steps", "1")
    assert result.exit_code == 3
    assert not (tmp_path / "r" / "model").exists()


def test_predict_wants_a_model_with_a_task(fasta: Path, tmp_path: Path) -> None:
    from findna.model.model import new_model

    new_model("tiny", seed=0).save(tmp_path / "m")
    result = _call("predict", fasta, "-m", tmp_path / "m", "-o", tmp_path / "o.tsv")
    assert result.exit_code == 3
    assert "finetune" in result.stderr
    assert not (tmp_path / "o.tsv").exists()


def test_predict_streams_from_stdin_to_stdout(tmp_path: Path) -> None:
    from findna.model.heads import TaskConfig
    from findna.model.model import new_model

    task = TaskConfig(kind="binary", classes=("no", "yes"))
    new_model("tiny", seed=0).with_task(task, seed=0).save(tmp_path / "m")
    names = [f"s{i}" for i in range(5)]
    text = "".join(f">{name}\n{'ACGTTGCA' * (i + 2)}\n" for i, name in enumerate(names))
    result = _call("predict", "-", "-m", tmp_path / "m", "-o", "-", "-q", stdin=text)
    assert result.exit_code == 0
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines[1:]] == names
    assert {"prediction", "p_no", "p_yes"} <= set(lines[0])
