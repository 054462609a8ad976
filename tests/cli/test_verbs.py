"""The verbs themselves, called as a person calls them."""

import dis
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from labelled_rows import gc_data, small_model
from typer.testing import CliRunner, Result

import findna
from findna.cli import VERBS, app, verb_command
from findna.files import BadInput
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


@pytest.mark.parametrize("name", sorted(name.replace("-", "_") for name in VERBS))
def test_an_option_that_is_not_given_is_that_of_the_function(name: str) -> None:
    nothing = (None, (), inspect.Parameter.empty)
    function, verb = (
        inspect.signature(getattr(place, name)).parameters
        for place in (findna, import_module(f"findna.cli.{name}"))
    )
    shared = [option for option in verb if option in function]
    assert shared
    for option in shared:
        typed, called = verb[option].default, function[option].default
        assert typed == called or (typed in nothing and called in nothing), option


@pytest.mark.parametrize("name", sorted(name.replace("-", "_") for name in VERBS))
def test_no_option_of_a_verb_is_lost(name: str) -> None:
    """One that is never read would be taken from the command line and do nothing."""
    code = inspect.unwrap(getattr(import_module(f"findna.cli.{name}"), name)).__code__
    options = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    read = set(code.co_cellvars)
    for step in dis.get_instructions(code):
        if step.opname.startswith("LOAD_FAST"):  # some versions load two at once
            read |= set(step.argval if isinstance(step.argval, tuple) else [step.argval])
    assert options and set(options) <= read


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
    (folder / "runs" / "own" / "kmer" / ".tmp-1-aa-1.json").write_text("{")
    (folder / "settings.yaml").write_text("verb: evaluate\n")
    (folder / "command.txt").write_text("findna evaluate own.csv -o evaluation\n")
    facts = _facts(_call("info", folder))
    assert (facts["kind"], facts["runs"]) == ("evaluation", "1")
    assert (facts["tasks"], facts["contenders"]) == ("own", "kmer")


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


# ---------------------------------------------------------------- info of what findna wrote


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model called `m` and a genome of two chromosomes, in the current folder."""
    monkeypatch.setenv("FINDNA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    letters = np.random.default_rng(0).choice(list("ACGT"), 700)
    Path("g.fa").write_text(f">chr1\n{''.join(letters[:400])}\n>chr2\n{''.join(letters[400:])}\n")
    small_model().save("m")
    return tmp_path


def _written(*arguments: str) -> dict[str, str]:
    """What `info` says of what a verb wrote to the path that comes last."""
    done = _call(*arguments, "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    return _facts(_call("info", arguments[-1]))


@pytest.mark.parametrize("ending", ["npz", "parquet", "h5ad"])
def test_info_of_embeddings(written: Path, ending: str) -> None:
    if ending == "h5ad":
        pytest.importorskip("anndata")
    facts = _written("embed", "g.fa", "-m", "m", "--half", "-o", f"e.{ending}")
    assert facts["kind"] == f"embeddings ({ending})"
    assert (facts["rows"], facts["width"], facts["vectors"]) == ("2", "32", "one per row")
    assert (facts["model"], facts["pooling"], facts["dtype"]) == ("m", "mean", "float16")
    assert facts["window"] == "512" and facts["model_digest"].startswith("sha256:")


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_info_of_embeddings_of_bases(written: Path, ending: str) -> None:
    facts = _written("embed", "g.fa", "-m", "m", "--pooling", "base", "-o", f"e.{ending}")
    assert (facts["rows"], facts["vectors"], facts["pooling"]) == ("2", "one per base", "base")


def test_info_of_other_archives(written: Path) -> None:
    import zipfile

    np.savez("a.npz", one=np.zeros((1500, 4), np.float32), two=np.arange(3))
    facts = _facts(_call("info", "a.npz"))
    assert facts["kind"] == "arrays (npz)" and facts["one"] == "float32 1,500 x 4"
    with zipfile.ZipFile("book.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    refused = _call("info", "book.xlsx")
    assert refused.exit_code == 3 and "spreadsheet" in refused.stderr


def test_info_of_a_track(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("figwig")
    from findna.sequence.tracks import TrackPiece, write_track

    piece = TrackPiece("chr1", np.array([0, 10]), np.array([2, 20]), np.array([1.0, -0.5]))
    write_track("t.bw", {"chr1": 400, "chr2": 1300}, [piece])
    facts = _facts(_call("info", "t.bw"))
    assert (facts["kind"], facts["bases with a value"]) == ("track (bigWig)", "12")
    assert (facts["min"], facts["mean"], facts["max"]) == ("-0.5", "-0.25", "1")
    assert (facts["chromosomes"], facts["names"], facts["bases"]) == ("2", "chr1, chr2", "1,700")
    monkeypatch.setitem(sys.modules, "figwig", None)
    facts = _facts(_call("info", "t.bw"))
    assert facts["mean"] == "-0.25" and "findna[tracks]" in facts["chromosomes"]
    Path("cut.bw").write_bytes(Path("t.bw").read_bytes()[:50])
    assert "truncated" in _call("info", "cut.bw").stderr


def test_info_of_an_h5ad_names_the_extra_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "e.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    result = _call("info", tmp_path / "e.h5ad")
    assert result.exit_code == 3 and "HDF5" in result.stderr
    monkeypatch.setitem(sys.modules, "anndata", None)
    assert "findna[anndata]" in _call("info", tmp_path / "e.h5ad").stderr


def test_info_of_a_scan(written: Path) -> None:
    flags = ("--window", "64", "--embeddings", "--format", "bedgraph")
    facts = _written("scan", "g.fa", "-m", "m", *flags, "-o", "scan")
    assert (facts["kind"], facts["model"], facts["window"]) == ("scan", "m", "64")
    assert facts["bases"] == "700" and "track surprise.bedgraph.gz" in facts
    vectors = _facts(_call("info", "scan/embeddings.parquet"))
    assert vectors["kind"] == "embeddings (parquet)" and vectors["width"] == "32"


def test_info_of_a_mutagenesis(written: Path) -> None:
    Path("two.fa").write_text(">a\nACGTACGTACGTAC\n>b\nTTTTACGTAC\n")
    facts = _written("mutagenesis", "two.fa", "-m", "m", "--pictures", "0", "-o", "out")
    assert (facts["kind"], facts["records"], facts["models"]) == (
        "mutagenesis", "2", "m (strand both)",
    )  # fmt: skip
    assert "unit" in facts and "verdict" in facts
    assert _facts(_call("info", "out/ohe.npz"))["arr_0"] == "float32 2 x 4 x 14"


def test_info_of_a_search_index(written: Path) -> None:
    flags = ("-g", "g.fa", "-m", "m", "--window", "64", "-o", "hits.bed", "--index")
    facts = _written("search", "chr1:101-164", *flags, "index")
    assert (facts["kind"], facts["model"], facts["genome"]) == ("search index", "m", "g.fa")
    assert (facts["window"], facts["step"], facts["whiten"]) == ("64", "32", "yes")
    assert facts["windows"] == str(12 + 9) and facts["model digest"].startswith("sha256:")


def test_info_of_scored_variants(written: Path) -> None:
    base = Path("g.fa").read_text().splitlines()[1][4]
    other = "C" if base == "A" else "A"
    Path("v.vcf").write_text(CALLS.replace("A\tC", f"{base}\t{other}"))
    facts = _written("score-variants", "v.vcf", "-g", "g.fa", "-m", "m", "-o", "v.parquet")
    assert (facts["kind"], facts["alleles"]) == ("scored variants (parquet)", "1")
    assert "findna_model" in facts


def test_info_of_a_run_is_for_people(written: Path) -> None:
    from findna.model.loading import load_model
    from findna.training.finetune import finetune

    start = load_model("m")
    start.provenance = {"name": "dog-tiny", "genome": "dog.fa", "steps": 7000, "seed": 0}
    start.save("dog")
    finetune(
        gc_data(96, 0, 40), "run", model="dog",
        settings={"train": "probe", "pooling": ("mean",), "strand": "both"}, device="cpu",
    )  # fmt: skip
    result = _call("info", "run")
    facts = _facts(result)
    assert (facts["kind"], facts["verb"], facts["state"]) == ("run", "finetune", "finished")
    assert facts["started from"] == "dog"
    assert facts["model started_from"] == "dog-tiny, genome dog.fa, 7,000 steps"
    assert facts["model task"] == "binary over at, gc" and "in turn 96, test 40," in facts["rows"]
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, \d\.\d{3}\]", facts["test mcc"])
    assert re.fullmatch(r"auroc [\d.]+, loss [\d.e-]+, parts 3", facts["tried probe (both)"])
    assert not set("={}'") & set(result.stdout) and max(map(len, result.stdout.splitlines())) < 160
    alone = _facts(_call("info", "run/model"))
    assert alone["test mcc"] == facts["test mcc"] and alone["kind"] == "model"


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("random initialisation", "random initialisation"),
        ({"seed": 0}, "a model of unknown origin"),
        (
            {"task_data": "a.csv", "started_from": {"genome": "g.fa", "steps": 5}},
            "fine-tuned on a.csv, itself from genome g.fa, 5 steps",
        ),
    ],
)
def test_info_says_what_a_model_began_with(written: Path, start: object, words: str) -> None:
    model = small_model()
    metric = {"value": None, "reason": "the same class"}
    model.provenance = {
        "protocol": "5-fold cross-validation", "metrics": {"mcc": metric}, "started_from": start,
    }  # fmt: skip
    model.save("tuned")
    facts = _facts(_call("info", "tuned"))
    assert facts["started_from"] == words
    assert facts["cross-validation mcc"] == "undefined (the same class)"


def test_settings_that_cannot_be_are_usage(fasta: Path, tmp_path: Path) -> None:
    result = _call("pretrain", fasta, "-o", tmp_path / "r", "--steps", "1", "--budget", "10m")
    assert result.exit_code == 2
    assert "one of steps, epochs and budget" in result.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("name", "option"),
    [("pretrain", "validation-chroms"), ("pretrain", "contigs"), ("finetune", "pooling")],
)
def test_an_empty_list_is_usage(name: str, option: str, fasta: Path, tmp_path: Path) -> None:
    result = _call(name, fasta, "-o", tmp_path / "r", f"--{option}", "")
    assert result.exit_code == 2 and "is empty" in result.stderr, result.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "given",
    [
        ("--taxon", "turtle=a.fa", "--taxon", "turtle=b.fa"),
        ("-g", "hg38=a.fa", "-g", "hg38=b.fa"),
        ("-g", "a.fa", "-g", "b.fa"),
    ],
)
def test_no_source_of_a_build_takes_the_place_of_another(given: tuple[str, ...]) -> None:
    result = _call("fetch", "mtcdna", "--build", "--dry-run", *given)
    assert result.exit_code == 2
    assert given[0] in result.stderr and "a.fa and b.fa" in result.stderr


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_a_run_goes_on_or_begins_anew(name: str, fasta: Path, tmp_path: Path) -> None:
    result = _call(name, fasta, "-o", tmp_path / "r", "--resume", "--overwrite")
    assert result.exit_code == 2 and "--resume" in result.stderr
    function = getattr(findna, name)
    with pytest.raises(BadInput, match="give either --resume or --overwrite"):
        function(fasta, tmp_path / "r", resume=True, overwrite=True)
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


@pytest.mark.parametrize(
    "verb",
    ["example", "mutagenesis g.fa", "scan g.fa", "search chr1:1-8 -g g.fa --index mine",
     "export findna-human-tiny", "pretrain g.fa", "finetune task.csv", "evaluate task.csv"],
)  # fmt: skip
def test_a_folder_of_somebody_else_is_not_replaced(
    verb: str, fasta: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.chdir(fasta.parent)
    letters = ("".join(rng.choice(list("ACGT"), 40)) for _ in range(60))
    rows = "".join(f"{each},{n % 2}\n" for n, each in enumerate(letters))
    Path("task.csv").write_text(f"sequence,label\n{rows}")
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("precious")
    result = _call(*verb.split(), "-o", "hits.bed" if "search" in verb else "mine", "--overwrite")
    assert result.exit_code == 3, result.stderr
    assert "error: mine: " in result.stderr and "Traceback" not in result.stderr
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]
    assert Path("mine/thesis.txt").read_text() == "precious"
