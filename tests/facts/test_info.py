"""What a file, a model or a run is, asked for from a notebook."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_rows import small_model
from typer.testing import CliRunner

import findna
from findna.cli import app
from findna.files import BadInput
from findna.model.model import new_model
from findna.model.presets import PRESETS
from findna.model.published import PUBLISHED


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "g.fa"
    path.write_text(">chr1\nACGTacgtNN\n>chr2\nGGGGCCCC\n")
    return path


def test_a_suite_lists_its_tasks_and_a_task_its_figures() -> None:
    suite = findna.info("gue")
    assert suite["kind"] == "suite" and suite["gue/tf/0"] == "train 32,378, dev 1,000, test 1,000"
    task = findna.info("gue/tf/0")
    assert task["task"] == "gue/tf/0" and "0.7199 mcc dev-selected DNABERT-2" in task["published"]
    assert not any("\n" in str(value) for value in task.values())
    with pytest.raises(BadInput, match="did you mean gue/tf/"):
        findna.info("gue/tf/9")


def test_a_folder_of_the_name_of_a_suite_is_what_lies_there(
    fasta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fasta.parent)
    fasta.rename("gue")
    assert findna.info("gue")["kind"] == "genome"


def test_the_function_tells_what_the_command_prints(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_model().save(tmp_path / "m")
    asked = [fasta, tmp_path / "m", "findna-human-tiny", None]
    answers = [findna.info(one) for one in asked]
    assert capsys.readouterr().out == ""
    for one, facts in zip(asked, answers, strict=True):
        printed = CliRunner().invoke(app, ["info", *([str(one)] if one else [])]).stdout
        assert printed == "".join(f"{name}\t{value}\n" for name, value in facts.items())
    genome, model, named, known = answers
    assert (genome["kind"], genome["bases"], genome["chr2"]) == ("genome", "18", "8")
    assert model["kind"] == "model" and named["name"] == "findna-human-tiny"
    assert known.keys() == PUBLISHED.keys()
    assert findna.info(str(fasta)) == genome


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(findna.BadInput, match=r"none\.fa: no such file"):
        findna.info(tmp_path / "none.fa")


def test_what_is_no_model_is_told_without_torch(fasta: Path) -> None:
    told = f"import sys, findna; findna.info({str(fasta)!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_files_of_other_programs_are_none_of_ours(tmp_path: Path) -> None:
    rows = "sequence,label\n" + "ACGTACGT,1\nTTTTACGT,0\n" * 4
    for name, content in (("settings.yaml", "colour: red\n"), ("config.json", '{"a": 1}')):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / "train.csv").write_text(rows)
        (folder / name).write_text(content)
        assert findna.info(folder)["kind"] == "labelled sequences"
        assert findna.info(folder)["lengths"] == "8 bp"


def test_a_table_may_carry_bytes_of_another_program(tmp_path: Path) -> None:
    rows = {"sequence": ["ACGT", "TTTT"] * 4, "label": [0, 1] * 4}
    table = pa.table(rows).replace_schema_metadata({b"\xff": b"\xfe"})
    pq.write_table(table, tmp_path / "x.parquet")
    assert findna.info(tmp_path / "x.parquet")["kind"] == "labelled sequences"


def test_a_note_among_the_runs_of_an_evaluation_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "command.txt").write_text("findna evaluate task\n")
    (tmp_path / "settings.yaml").write_text("verb: evaluate\n")
    (tmp_path / "runs/task/model").mkdir(parents=True)
    for name in ("notes.json", "task/model/0.json"):
        (tmp_path / "runs" / name).write_text("{}")
    assert findna.info(tmp_path)["runs"] == "1"


@pytest.mark.parametrize("checkpoint", [None, "folds", "last"])
def test_a_run_that_stopped_says_whether_it_can_go_on(
    tmp_path: Path, checkpoint: str | None
) -> None:
    (tmp_path / "command.txt").write_text("findna finetune task -o run\n")
    (tmp_path / "settings.yaml").write_text("verb: finetune\n")
    if checkpoint:
        (tmp_path / "checkpoints" / checkpoint).mkdir(parents=True)
    wanted = "can be resumed" if checkpoint else "has no checkpoint"
    assert findna.info(tmp_path)["state"] == wanted


def test_a_run_whose_time_was_over_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "command.txt").write_text("findna pretrain g.fa -o run\n")
    (tmp_path / "settings.yaml").write_text("verb: pretrain\n")
    (tmp_path / "checkpoints" / "last").mkdir(parents=True)
    model = new_model(PRESETS["tiny"], 0)
    for finished, state in ((False, "can be resumed"), (True, "finished")):
        model.provenance = {"finished": finished, "steps": 3}
        model.save(tmp_path / "model", overwrite=True)
        told = findna.info(tmp_path)
        assert told["state"] == state and told["model preset"] == "tiny"


def test_a_file_of_a_folder_is_told_by_the_folder(tmp_path: Path) -> None:
    new_model(PRESETS["tiny"], 0).save(tmp_path / "model")
    for name in ("config.json", "model.safetensors", "README.md"):
        told = findna.info(tmp_path / "model" / name)
        assert told["kind"] == "part of a folder"
        assert told["read by"] == f"findna info {tmp_path / 'model'}"
    (tmp_path / "notes.json").write_text("{}\n")
    assert findna.info(tmp_path / "notes.json")["kind"] == "table"


@pytest.mark.parametrize("content", ["", "- a list", "a: ["])
def test_a_run_whose_settings_are_broken_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "command.txt").write_text("findna pretrain g.fa -o run\n")
    (tmp_path / "settings.yaml").write_text(content)
    with pytest.raises(BadInput, match=r"settings\.yaml: does not say"):
        findna.info(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scan.json", "[]"),
        ("index.json", '{"made_from": 3}'),
        ("mutagenesis.json", '{"models": 1}'),
    ],
)
def test_what_is_damaged_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match="is damaged, or was written by another program"):
        findna.info(tmp_path)


def test_what_can_be_read_once_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for given in ("-", tmp_path / "pipe"):
        with pytest.raises(BadInput, match="info reads its input more than once"):
            findna.info(given)


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "none.fa").touch()
    assert findna.info(tmp_path / "none.fa") == {"kind": "an empty file"}


def test_a_table_of_predictions_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "predictions.tsv"
    path.write_text("id\tlength\tfrac_n\tprediction\nr1\t20\t0\tyes\n")
    assert findna.info(path)["kind"] == "table"
    # Scored variants with numbers for names, as those of ClinVar.
    path.write_text("#chrom\tpos\tid\tref\talt\tFINDNA_LLR\nchr1\t1626711\t100000\tA\tG\t0.5\n")
    assert findna.info(path)["kind"] == "table"
    path.write_text("##gff-version 3\n")
    assert "$4-1" in str(findna.info(path)["as BED"])


def test_columns_of_a_bed_are_those_it_has(tmp_path):
    (tmp_path / "a.bed").write_text("chr1\t0\t9\nchr2\t5\t10\n")
    assert findna.info(tmp_path / "a.bed")["columns"] == "chrom, start, end"


def test_chromosomes_of_a_bed_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_text("".join(f"chr{k:02}\t0\t9\n" for k in range(30)))
    told = str(findna.info(tmp_path / "a.bed")["chromosomes"])
    assert told.startswith("chr00, chr01, ") and told.endswith("chr11 and 18 more")


def test_a_record_does_not_take_the_place_of_a_fact(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">N\nACGTN\n>kind\nACG\n")
    told = findna.info(tmp_path / "g.fa")
    assert told["kind"] == "genome" and told["N"] == "1 (12.50%)"
    assert told["record N"] == "5" and told["record kind"] == "3"
