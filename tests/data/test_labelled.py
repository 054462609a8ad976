"""Labelled files of every form, and what wrong ones get."""

import dataclasses
import gzip
import json
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna.data.labelled import LabelledSplit, decide
from findna.data.labels import read_labelled, sort_classes
from findna.data.parts import LabelSettings
from findna.data.places import RowPlaces
from findna.files import BadInput
from findna.sequence.alphabet import decode, encode
from findna.sequence.genome import Genome
from findna.sequence.records import read_records
from findna.sequence.tables import MISSING

ROWS = [("ACGTACGT", "1"), ("GGGCCC", "0"), ("TTTTA", "0")]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def csv(rows, header="sequence,label", separator=","):
    return "\n".join([header, *(separator.join(row) for row in rows)]) + "\n"


def letters(split):
    return [decode(c) for c in split.codes]


def check_rows(data, rows=ROWS):
    assert data.kind == "binary" and data.classes == ("0", "1")
    assert letters(data.splits["train"]) == [s for s, _ in rows]
    assert data.splits["train"].labels.tolist() == [int(y) for _, y in rows]
    assert data.splits["train"].rows.tolist() == list(range(1, len(rows) + 1))


# ---------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", csv(ROWS)),
        ("a.csv.gz", csv(ROWS)),
        ("a.tsv", csv(ROWS, "sequence\tlabel", "\t")),
        ("a.csv", csv(ROWS, "sequence;label", ";")),
        ("a.csv", "\ufeff" + csv(ROWS)),
        ("a.csv", csv(ROWS).replace("\n", "\r\n")),
        ("a.csv", csv([(f" {s.lower()} ", y) for s, y in ROWS])),
    ],
    ids=["csv", "gzip", "tsv", "semicolon", "bom", "crlf", "spaces and case"],
)
def test_one_table_in_many_spellings(tmp_path, name, text):
    check_rows(read_labelled(write(tmp_path / name, text)))


def test_parquet_with_float_labels(tmp_path):
    table = pd.DataFrame({"sequence": [s for s, _ in ROWS], "label": [float(y) for _, y in ROWS]})
    table.to_parquet(tmp_path / "a.parquet")
    check_rows(read_labelled(tmp_path / "a.parquet"))


@pytest.mark.parametrize("dev", ["dev", "val", "valid", "validation"])
def test_a_folder_of_splits(tmp_path, dev):
    write(tmp_path / "train.csv", csv(ROWS))
    write(tmp_path / f"{dev}.csv.gz", csv(ROWS[:1]))
    # A single label column may be called otherwise.
    write(tmp_path / "test.tsv", csv(ROWS[1:], "sequence\tclass", "\t"))
    write(tmp_path / "README.md", "not data")
    data = read_labelled(tmp_path)
    check_rows(data)
    assert list(data.splits) == ["train", "dev", "test"]
    assert letters(data.splits["test"]) == ["GGGCCC", "TTTTA"]


def test_a_table_with_a_split_column_keeps_row_numbers(tmp_path):
    rows = [("ACGT", "b", "train"), ("CCCC", "a", "test"), ("GGGG", "a", "train")]
    data = read_labelled(write(tmp_path / "a.csv", csv(rows, "sequence,label,split")))
    assert data.splits["train"].rows.tolist() == [1, 3]
    assert data.splits["test"].labels.tolist() == [0]


def test_splits_are_told_whatever_their_case(tmp_path):
    rows = [("ACGT", "b", "Train"), ("CCCC", "a", "TEST"), ("GGGG", "a", "training")]
    data = read_labelled(write(tmp_path / "a.csv", csv(rows, "sequence,label,split")))
    assert data.splits["train"].rows.tolist() == [1, 3]
    assert data.splits["test"].rows.tolist() == [2]


def test_fasta_with_labels_in_headers_or_beside(tmp_path):
    one = write(
        tmp_path / "one.fa", ">a label=1 x\nACGT\nACGT\n>b len=6;label=0\nGGGCCC\n>c|0\nTTTTA\n"
    )
    check_rows(read_labelled(one))
    two = write(tmp_path / "two.fa.gz", ">a\nACGTACGT\n>b x\nGGGCCC\n>c\nTTTTA\n")
    write(tmp_path / "two.tsv", "id\tlabel\nb\t0\na\t1\nc\t0\n")
    check_rows(read_labelled(two))
    table = write(tmp_path / "elsewhere.csv", "name,class\nb,0\na,1\nc,0\n")
    (tmp_path / "two.tsv").unlink()
    check_rows(read_labelled(two, settings=LabelSettings(label_table=table)))
    for header in ("enhancer,id", "label,clone"):
        write(table, f"{header}\n0,b\n1,a\n0,c\n")
        check_rows(read_labelled(two, settings=LabelSettings(label_table=table)))


def test_a_label_in_a_header_ends_where_the_next_field_begins(tmp_path):
    file = write(
        tmp_path / "a.fa", ">a len=4;label=1;score=0.5\nACGT\n>b label=0; x\nGG\n>c label=0|1\nC\n"
    )
    data = read_labelled(file)
    assert data.kind == "binary" and data.splits["train"].labels.tolist() == [1, 0, 0]
    file = write(tmp_path / "b.fa", ">a label=x;y;len=4\nACGT\n>b label=y\nGG\n")
    assert read_labelled(file).splits["train"].labels.tolist() == [[1, 1], [0, 1]]


def test_the_last_bar_of_a_header_holds_the_label(tmp_path):
    file = write(tmp_path / "a.fa", ">chr1|5|peak x|y\nACGT\n>chr2|9|other\nGGGG\n")
    data = read_labelled(file)
    assert data.classes == ("other", "peak") and data.splits["train"].labels.tolist() == [1, 0]


def test_bed_with_a_genome(tmp_path):
    fasta = write(tmp_path / "g.fa", ">chr1\nACGTACGTTTTTA\n>chr2\nGGGCCC\n")
    bed = write(
        tmp_path / "a.bed",
        "# x\nchr1\t0\t8\t1\n1\t8\t13\t0\t0\t-\n".replace("\t1\n", "\t1\t0\t+\n", 1),
    )
    genome = Genome.open(fasta, cache=tmp_path / "cache")
    data = read_labelled(bed, genome=genome)
    assert letters(data.splits["train"]) == ["ACGTACGT", "TAAAA"]
    assert data.splits["train"].labels.tolist() == [1, 0]
    assert data.splits["train"].ids == ["chr1:0-8", "1:8-13"]
    headed = write(
        tmp_path / "b.bed",
        "chrom\tstart\tend\tname\tscore\tstrand\tlabel\nchr1\t0\t8\tp\t0\t+\tx\n"
        "chr1\t8\t13\tq\t0\t-\ty\n",
    )
    assert read_labelled(headed, genome=genome).classes == ("x", "y")
    grouped = read_labelled(bed, genome=genome, settings=LabelSettings(group_column="chrom"))
    assert grouped.splits["train"].groups.tolist() == [0, 1]
    with pytest.raises(BadInput, match="need a genome"):
        read_labelled(bed)


def test_what_stands_beside_a_fasta_is_no_split_of_its_own(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / f"{split}.fa", ">a\nACGT\n>b\nTTTT\n")
        write(tmp_path / f"{split}.fa.fai", "a\t4\t3\t4\t5\n")
    write(tmp_path / "train.labels.tsv", "id\tlabel\na\tyes\nb\tno\n")
    write(tmp_path / "test.csv", "id,label\na,no\nb,yes\n")
    found = read_labelled(tmp_path)
    assert found.classes == ("no", "yes")
    assert [s.labels.tolist() for s in found.splits.values()] == [[1, 0], [0, 1]]


def test_what_can_be_read_once_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("-", tmp_path / "pipe"):
        with pytest.raises(BadInput, match="reads its input more than once"):
            read_labelled(path)


@pytest.mark.parametrize("name", ["seq", "dna"])
def test_sequences_under_any_usual_name_are_read_where_places_stand_beside_them(tmp_path, name):
    """With -g as without: the same file must not become other rows."""
    genome = Genome.open(write(tmp_path / "g.fa", ">chr1\nACGTACGTTTTTA\n"))
    rows = f"{name},label,chrom,start,end\nGGGG,1,chr1,1,4\nCCCC,0,chr1,5,8\n"
    data = read_labelled(write(tmp_path / "t.csv", rows), genome=genome)
    assert letters(data.splits["train"]) == ["GGGG", "CCCC"]


def test_a_bed_in_a_class_folder_is_told(tmp_path):
    for name in ("peak", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.bed").write_text("chr1\t0\t8\n")
    with pytest.raises(BadInput, match=r"a.bed: is a BED: class folders hold sequences"):
        read_labelled(tmp_path)


@pytest.mark.parametrize("name", ["a.narrowPeak", "a.txt", "a.tsv.gz"])
def test_a_bed_is_told_by_its_rows(tmp_path, name):
    genome = Genome.open(write(tmp_path / "g.fa", ">chr1\nACGTACGTTTTTA\n"))
    rows = "chr1\t0\t4\tx\t9\t-\nchr1\t4\t8\ty\t9\t+\n"
    data = read_labelled(write(tmp_path / name, rows), genome=genome)
    assert (data.classes, letters(data.splits["train"])) == (("x", "y"), ["ACGT", "ACGT"])
    with pytest.raises(BadInput, match="intervals need a genome"):
        read_labelled(tmp_path / name)


def test_places_under_names_are_a_table_that_may_be_split(tmp_path):
    genome = Genome.open(write(tmp_path / "g.fa", ">chr1\nACGTACGTTTTTA\n"))
    rows = "chrom\tstart\tend\tlabel\tsplit\n" + "".join(
        f"chr1\t{at}\t{at + 3}\t{'xy'[at % 2]}\t{'train' if at < 4 else 'test'}\n"
        for at in range(8)
    )
    for name in ("a.tsv", "a.bed.tsv"):
        data = read_labelled(write(tmp_path / name, rows), genome=genome)
        assert [len(split) for split in data.splits.values()] == [4, 4]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("@r\nACGT\n+\nIIII\n", "looks like a FASTQ"),
        ("##fileformat=VCFv4.2\n", "is a VCF or BCF"),
        ("chr1\tx\tgene\t2\t3\t.\t+\t.\tid\n", "is a GFF or GTF"),
    ],
)
def test_formats_without_labels_are_told(tmp_path, text, problem):
    file = write(tmp_path / "one" / "train.txt", text)
    for where in (file, file.parent):
        with pytest.raises(BadInput, match=rf"train\.txt: {problem}") as caught:
            read_labelled(where)
        assert "columns sequence and label" in str(caught.value)


def test_a_folder_of_tasks_is_no_folder_of_classes(tmp_path):
    write(tmp_path / "gue" / "mouse" / "train.csv", csv(ROWS))
    write(tmp_path / "gue" / "yeast" / "H3" / "train.csv", csv(ROWS))
    for task, file in (("mouse", "train.csv"), ("yeast", "H3")):
        with pytest.raises(BadInput, match=f"{file}: is (not a sequence|a folder)") as caught:
            read_labelled(tmp_path / "gue")
        assert f"name one: {tmp_path / 'gue' / task}" in str(caught.value)
        (tmp_path / "gue" / "mouse" / "train.csv").unlink(missing_ok=True)
    write(tmp_path / "flat" / "a" / "1.txt", "ACGZ")
    with pytest.raises(BadInput, match="unknown letter 'Z' at position 4"):
        read_labelled(tmp_path / "flat")


def test_places_in_a_table_with_a_genome(tmp_path):
    genome = Genome.open(
        write(tmp_path / "g.fa", ">chr1\nACGTACGTTTTTA\n"), cache=tmp_path / "cache"
    )
    table = write(
        tmp_path / "a.csv",
        csv(
            [("chr1", "0", "4", "-", "x"), ("chr1", "4", "8", "+", "y")],
            "chrom,start,end,strand,label",
        ),
    )
    data = read_labelled(table, genome=genome)
    assert letters(data.splits["train"]) == ["ACGT", "ACGT"]
    for chrom, start, end, said in (
        ("chr1", "4", "99", "chr1:4-99: extends beyond the chromosome, which has 13 bases"),
        ("chr1", "4", "9" * 15, "no chromosome is as long as"),
        ("chr9", "0", "4", "chr9:0-4: is not in"),
    ):
        rows = [("chr1", "0", "4", "x"), (chrom, start, end, "y")]
        far = write(tmp_path / "b.csv", csv(rows, "chrom,start,end,label"))
        with pytest.raises(BadInput, match=f"line 3: {said}"):
            read_labelled(far, genome=genome)


def test_a_bare_sequence_is_called_by_its_file(tmp_path):
    for name in ("NC_000001.11_5.txt", "NC_000001.11_9.txt.gz", "x"):
        write(tmp_path / "a" / name, "ACGT")
    write(tmp_path / "b" / "Y.txt", "TTTT")
    ids = ["a/NC_000001.11_5", "a/NC_000001.11_9", "a/x", "b/Y"]
    assert read_labelled(tmp_path).splits["train"].ids == ids


def test_class_folders_are_sorted_and_split_folders_are_seen(tmp_path):
    for label, text in (("zebra", "ACGT"), ("ape", "GGA\nCC\n"), ("bear", ">r1\nTTT\n>r2\nAAA\n")):
        write(tmp_path / "flat" / label / "1.txt", text)
        write(tmp_path / "parted" / "train" / label / "1.txt", text)
    write(tmp_path / "parted" / "test" / "bear" / "7.txt", "CCC")
    data = read_labelled(tmp_path / "flat")
    assert data.classes == ("ape", "bear", "zebra")
    assert data.splits["train"].ids == ["ape/1", "bear/r1", "bear/r2", "zebra/1"]
    assert letters(data.splits["train"]) == ["GGACC", "TTT", "AAA", "ACGT"]
    assert data.splits["train"].rows.tolist() == [1, 2, 3, 4]
    parted = read_labelled(tmp_path / "parted")
    assert parted.classes == data.classes and parted.splits["test"].labels.tolist() == [1]


# ---------------------------------------------------------------- meaning


def task_of(tmp_path, labels, header="sequence,label", **settings):
    rows = [("ACGT", label) for label in labels]
    text = csv(rows, header, ";" if ";" in header else ",")
    return read_labelled(write(tmp_path / "t.csv", text), settings=LabelSettings(**settings))


def test_the_kind_is_guessed_and_can_be_said(tmp_path):
    assert task_of(tmp_path, ["b", "a", "b"]).kind == "binary"
    assert task_of(tmp_path, ["0", "2", "1"]).kind == "multiclass"
    assert task_of(tmp_path, ["0.5", "2", "1"]).kind == "regression"
    assert task_of(tmp_path, [str(i) for i in range(60)]).kind == "regression"
    values = [f"{i / 7:.3f}" for i in range(1, 30)]
    with pytest.raises(BadInput, match="record 30: the labels are numbers, except 'low'"):
        task_of(tmp_path, [*values, "low"])
    assert task_of(tmp_path, [*values, "low"], task="multiclass").kind == "multiclass"
    assert task_of(tmp_path, ["a;b", "b", "c"]).kind == "multilabel"
    said = task_of(tmp_path, ["0", "2", "1"], task="regression")
    assert said.splits["train"].labels.tolist() == [[0.0], [2.0], [1.0]]
    assert said.classes == ("label",)


def test_names_of_clusters_are_no_numbers(tmp_path):
    data = task_of(tmp_path, ["1_1", "1_2", "2_1"])
    assert (data.kind, data.classes) == ("multiclass", ("1_1", "1_2", "2_1"))
    with pytest.raises(BadInput, match="label '1_2' is not a number"):
        task_of(tmp_path, ["1", "1_2", "3"], task="regression")
    values = task_of(tmp_path, ["1e-3", "+.5", "2.", "-0.25E+1"])
    assert values.kind == "regression"
    assert values.splits["train"].labels[:, 0].tolist() == [1e-3, 0.5, 2.0, -2.5]


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "<NA>"])
def test_a_word_for_nothing_is_no_sequence(tmp_path, word):
    table = write(tmp_path / "a.csv", csv([*ROWS, (f" {word}", "0")]))
    with pytest.raises(BadInput, match="record 4, line 5: the sequence is empty"):
        read_labelled(table)
    with pytest.raises(BadInput, match="record 4, line 5: the sequence is empty"):
        list(read_records(table))
    fasta = write(tmp_path / "a.fa", ">r\nNA\n")
    assert [decode(r.codes) for r in read_records(fasta)] == ["NA"]


def test_what_stands_for_nothing_is_no_class(tmp_path):
    for word in ("NA", "N/A", "NaN", "null", "<NA>"):
        for labels in (["b", "a", word, "a"], ["a;b", "b", word], ["0.5", "2", word]):
            with pytest.raises(BadInput, match=r"line 4: (the row has no|label 'NaN' is)"):
                task_of(tmp_path, labels)
    assert task_of(tmp_path, ["none", "a", "Na"]).classes == ("Na", "a", "none")


def test_of_two_classes_the_second_is_what_one_looks_for(tmp_path, caplog):
    caplog.set_level("INFO")
    for pair in (
        ("not bound", "Bound (strong)"), ("background", "CpG"), ("non-coding", "coding"),
        ("Negative", "ATAC"), ("control", "case"), ("no_site", "acceptor"), ("-", "+"),
        ("wt", "mutant"), ("Wild-type", "R175H"), ("wildtype", "mutated"), ("reference", "alt"),
        ("intergenic", "coding"),
    ):  # fmt: skip
        for labels in (pair, pair[::-1]):
            assert task_of(tmp_path, labels).classes == pair
    assert "the setting task overrides it); acceptor is the positive class" in caplog.text
    assert task_of(tmp_path, ["notch", "nocturnal"]).classes == ("nocturnal", "notch")
    assert task_of(tmp_path, ["wto", "-x"]).classes == ("-x", "wto")
    assert task_of(tmp_path, ["not a", "a", "b"]).classes == ("a", "b", "not a")


def test_a_class_with_and_without_decimals_is_one(tmp_path):
    data = task_of(tmp_path, ["1", "1.0", "0"])
    assert (data.kind, data.classes) == ("binary", ("0", "1"))
    assert data.splits["train"].labels.tolist() == [1, 1, 0]


def test_names_of_rows_are_no_classes(tmp_path):
    names = [f"peak{number}" for number in range(30)]
    with pytest.raises(BadInput, match="30 different labels in 30 rows of label") as error:
        task_of(tmp_path, names)
    assert "--negatives" in str(error.value)
    assert len(task_of(tmp_path, names, task="multiclass").classes) == 30
    assert len(task_of(tmp_path, [*names, *names]).classes) == 30
    assert len(task_of(tmp_path, names[:20]).classes) == 20


def test_number_classes_sort_by_value_and_words_as_words(tmp_path):
    assert task_of(tmp_path, ["10", "2", "1"]).classes == ("1", "2", "10")
    assert task_of(tmp_path, ["10", "2", "x"]).classes == ("10", "2", "x")


@given(st.sets(st.text("abc019-", min_size=1, max_size=4), min_size=1, max_size=8))
def test_sorting_classes_is_an_order_of_the_same_names(names):
    assert set(sort_classes(names)) == names
    assert sort_classes(names) == sort_classes(set(sorted(names, reverse=True)))


def test_multilabel_words_and_columns(tmp_path):
    data = task_of(tmp_path, ["b;a", "", "c"], task="multilabel")
    assert data.classes == ("a", "b", "c")
    assert data.splits["train"].labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    text = "sequence,x,y\nACGT,1,0\nACGT,0,0.0\n"
    wide = read_labelled(
        write(tmp_path / "w.csv", text), settings=LabelSettings(label_column="x,y")
    )
    assert (wide.kind, wide.classes) == ("multilabel", ("x", "y"))
    assert wide.splits["train"].labels.tolist() == [[1, 0], [0, 0]]


def test_decimal_commas_and_several_targets(tmp_path):
    data = task_of(tmp_path, ["0,5", "-1,25", "3"], "sequence;label")
    assert data.kind == "regression"
    assert data.splits["train"].labels[:, 0].tolist() == [0.5, -1.25, 3.0]
    text = "sequence,x,y\nACGT,1.5,2\nACGT,0,3\n"
    wide = read_labelled(
        write(tmp_path / "w.csv", text), settings=LabelSettings(label_column="y,x")
    )
    assert wide.kind == "regression" and wide.classes == ("y", "x")
    assert wide.splits["train"].labels.tolist() == [[2.0, 1.5], [3.0, 0.0]]


def test_names_of_rows_and_places_are_no_labels(tmp_path):
    text = "id,chrom,sequence,kind\nr1,c,ACGT,x\nr2,c,GGGG,y\n"
    data = read_labelled(write(tmp_path / "a.csv", text))
    assert data.classes == ("x", "y") and data.splits["train"].ids == ["r1", "r2"]


def test_letters_of_a_table_that_are_read_as_others_are_said(tmp_path, caplog):
    read_labelled(write(tmp_path / "a.csv", "sequence,label\nACGU,x\nARYT,y\n"))
    assert "a.csv: 1 U read as T" in caplog.text
    assert "2 of 8 letters are IUPAC codes and read as N" in caplog.text


def test_columns_can_be_named_and_the_guess_is_said(tmp_path, caplog):
    caplog.set_level("INFO", "findna")
    text = "promoter,sequence,activity,batch\nAAAA,CCCC,x,1\nGGGG,TTTT,y,1\n"
    file = write(tmp_path / "a.csv", text)
    guessed = read_labelled(file)
    assert letters(guessed.splits["train"]) == ["CCCC", "TTTT"] and guessed.classes == ("x", "y")
    assert "column sequence" in caplog.text and "'activity'" in caplog.text
    assert "binary task over x, y (guessed; the setting task overrides it)" in caplog.text
    named = read_labelled(
        file,
        settings=LabelSettings(
            sequence_column="promoter", label_column="sequence", group_column="batch"
        ),
    )
    assert letters(named.splits["train"]) == ["AAAA", "GGGG"]
    assert named.classes == ("CCCC", "TTTT")
    assert named.splits["train"].groups.tolist() == [0, 0]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\na,1\nb,0\n", "which column holds the sequences"),
        ("sequence,p,q\nACGT,1,0\nAC,0,1\n", "--label-column"),
        ("sequence,label\nACGT,1\n,0\n", r"line 3: the sequence is empty"),
        ("sequence,label\nACGT,1\nACGT,\nACGT,0\n", r"line 3: the row has no label"),
        ("sequence,label\nACGT,1\nACGT,1\n", "training rows have the same class: 1"),
        ("sequence,label\nACGT,1\nACXT,0\n", r"line 3.*unknown letter 'X' at position 3"),
        ("sequence,label\nACGT,0.5\nACGT,nan\n", r"line 3: label 'nan' is not finite"),
        ("sequence,label\nACGT,0.5\nACGT,inf\n", "not finite"),
        ("sequence,label\nACGT,0.5\nACGT,-1e300\n", r"line 3: label '-1e300' is too large"),
        ("sequence,label\n", "no rows"),
        ("", "is empty"),
        ("ACGTACGTACGT,1\nACGTACGTACGA,0\n", "header"),
        ("sequence,label\nMKLVEQ,1\nACGT,0\n", "protein"),
        (
            "sequence,label,split\nACGT,1,train\nACGT,0,holdout\n",
            r"line 3: column split has 'holdout'",
        ),
        ("sequence,label,split\nACGT,1,test\n", "has no train"),
    ],
)
def test_bad_tables_name_the_place_and_leave_code_3(tmp_path, text, message):
    with pytest.raises(BadInput, match=message) as caught:
        read_labelled(write(tmp_path / "bad.csv", text))
    assert caught.value.exit_code == 3 and "bad.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_column": "lable"}, "did you mean label"),
        ({"sequence_column": "seq"}, "no column 'seq'"),
        ({"group_column": "donor"}, "no column 'donor'"),
        ({"task": "regression"}, r"line 2: label 'a' is not a number"),
        ({"task": "binary"}, "found 3: a, b, c"),
        ({"label_column": "label,sequence", "task": "binary"}, "one label column"),
        ({"label_column": "label,sequence", "task": "multilabel"}, "neither 0 nor 1"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, settings, message):
    with pytest.raises(BadInput, match=message):
        task_of(tmp_path, ["a", "b", "c"], **settings)


def test_a_label_that_training_lacks_is_refused_with_its_row(tmp_path):
    write(tmp_path / "train.csv", csv(ROWS))
    write(tmp_path / "test.csv", csv([("ACGT", "0"), ("ACGT", "2")]))
    with pytest.raises(BadInput, match=r"test.csv, record 2, line 3: label '2' does not occur"):
        read_labelled(tmp_path)


def test_a_label_column_that_is_named_twice_is_refused():
    with pytest.raises(BadInput, match="label_column names 'y' twice"):
        LabelSettings.of({"label_column": "y, x,y"})


def test_wrong_folders_and_files(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        read_labelled(tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="neither train"):
        read_labelled(tmp_path / "empty")
    write(tmp_path / "lonely" / "test.csv", csv(ROWS))
    with pytest.raises(BadInput, match="no train split"):
        read_labelled(tmp_path / "lonely")
    write(tmp_path / "twice" / "train.csv", csv(ROWS))
    write(tmp_path / "twice" / "train.tsv", csv(ROWS, "sequence\tlabel", "\t"))
    with pytest.raises(BadInput, match="several files for the train split"):
        read_labelled(tmp_path / "twice")
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 rest")
    with pytest.raises(BadInput, match="save it as CSV"):
        read_labelled(tmp_path / "a.xlsx")


def test_a_fasta_has_no_columns_to_group_by(tmp_path):
    file = write(tmp_path / "a.fa", ">a|x\nACGT\n>b|y\nGGGG\n")
    for column in ("group_column", "sequence_column", "label_column"):
        option = column.replace("_", "-")
        with pytest.raises(BadInput, match=rf"a\.fa: --{option} does not apply to these data"):
            read_labelled(file, settings=LabelSettings(**{column: "batch"}))


@pytest.mark.parametrize("column", ["group_column", "sequence_column", "label_column"])
def test_class_folders_have_no_columns(tmp_path, column):
    for label in ("ape", "bear"):
        write(tmp_path / label / "1.txt", "ACGT")
    with pytest.raises(BadInput, match="does not apply to these data"):
        read_labelled(tmp_path, settings=LabelSettings(**{column: "batch"}))
    with pytest.raises(BadInput, match="--label-table does not apply"):
        read_labelled(tmp_path, settings=LabelSettings(label_table=tmp_path / "none.csv"))


@pytest.mark.parametrize("text", ["ACGT\nACGT\n", "ACGT\nACG\nACGT\nAC\n", "AC\nACG\n"])
def test_a_list_of_bare_sequences_is_not_taken_for_one(tmp_path, text):
    write(tmp_path / "ape" / "1.txt", text)
    write(tmp_path / "bear" / "1.txt", "ACGT")
    with pytest.raises(
        BadInput, match=r"1\.txt: \d lines of letters may be one sequence or as many"
    ):
        read_labelled(tmp_path)


def test_a_label_table_gives_the_columns_that_are_named(tmp_path):
    fasta = write(tmp_path / "a.fa", ">a\nACGT\n>b\nGGGG\n")
    table = write(tmp_path / "t.csv", "id,batch,expr,label\na,1,0.5,x\nb,2,2.5,y\n")

    def read(**named):
        return read_labelled(fasta, settings=LabelSettings(label_table=table, **named))

    assert read().classes == ("x", "y")
    values = read(label_column="expr", task="regression")
    assert values.classes == ("expr",) and values.splits["train"].labels.tolist() == [[0.5], [2.5]]
    both = read(label_column="batch,expr", task="regression")
    assert both.splits["train"].labels.tolist() == [[1.0, 0.5], [2.0, 2.5]]
    with pytest.raises(BadInput, match=r"t\.csv: has no column 'nosuch'"):
        read(label_column="nosuch")
    write(table, "id,batch,expr\na,1,0.5\nb,2,2.5\n")
    with pytest.raises(
        BadInput, match=r"t\.csv: which column holds the labels\? There are batch, expr"
    ):
        read()


def test_a_table_of_something_else_beside_a_fasta_holds_no_labels(tmp_path, caplog):
    fasta = write(tmp_path / "a.fa", ">a label=x\nACGT\n>b label=y\nGGGG\n")
    answers = write(tmp_path / "a.tsv", "id\tlength\tprediction\na\t4\tx\nb\t4\ty\n")
    assert read_labelled(fasta).classes == ("x", "y")
    write(answers, "id\tlabel\na\tu\nb\tv\n")
    with pytest.raises(
        BadInput, match=r"a\.fa: labels are in its headers and, apparently, in a\.tsv"
    ):
        read_labelled(fasta)
    assert read_labelled(fasta, settings=LabelSettings(label_table=answers)).classes == ("u", "v")
    caplog.set_level("WARNING")
    answers.unlink()
    write(
        fasta, '>a label="two words" k=3\nACGT\n>b label=strong enhancer\nGGGG\n>c label=y k=3\nG\n'
    )
    assert read_labelled(fasta).classes == ("strong", "two words", "y")
    assert "a label ends at a blank: strong in 'b label=strong enhancer' and 0 more" in caplog.text


def test_commas_between_thousands_are_no_decimals(tmp_path):
    with pytest.raises(BadInput, match=r"'1,200' may be a decimal .*\n.*write 1200 or 1\.200"):
        task_of(tmp_path, ["900", '"1,200"', '"15,300"'], task="regression")
    data = task_of(tmp_path, ["900", '"1,200"', '"0,125"'], task="regression")
    assert data.splits["train"].labels[:, 0].tolist() == [900, 1.2, 0.125]


def test_rows_without_a_group_are_groups_of_their_own(tmp_path, caplog):
    caplog.set_level("WARNING")
    rows = ["ACGT,a,", "ACGT,b,g", "ACGT,a,NA", "ACGT,b,g", "ACGT,a,"]
    file = write(tmp_path / "t.csv", "sequence,label,batch\n" + "\n".join(rows) + "\n")
    data = read_labelled(file, settings=LabelSettings(group_column="batch"))
    assert data.splits["train"].groups.tolist() == [0, 1, 2, 1, 3]
    assert "3 rows have no group: each is a group of its own" in caplog.text


def test_fasta_without_labels(tmp_path):
    with pytest.raises(BadInput, match=r"record a.*no label"):
        read_labelled(write(tmp_path / "a.fa", ">a x\nACGT\n"))
    write(tmp_path / "b.fa", ">a\nACGT\n>b\nACGT\n")
    write(tmp_path / "b.labels.tsv", "id\tlabel\na\t1\n")
    with pytest.raises(BadInput, match=r"record b: no label for this sequence"):
        read_labelled(tmp_path / "b.fa")


# ---------------------------------------------------------------- rows are kept


@given(
    st.lists(
        st.tuples(
            st.text("ACGTNacgtn", min_size=1, max_size=30).filter(lambda s: s not in MISSING),
            st.sampled_from("xyz"),
        ),
        min_size=3,
        max_size=20,
    ).filter(lambda rows: len({y for _, y in rows}) > 1),
    st.sampled_from([",", ";", "\t"]),
)
def test_every_row_is_kept_in_order(tmp_path_factory, rows, separator):
    file = tmp_path_factory.mktemp("rows") / "a.csv"
    data = read_labelled(write(file, csv(rows, separator.join(["sequence", "label"]), separator)))
    train = data.splits["train"]
    assert letters(train) == [s.upper() for s, _ in rows]
    assert [data.classes[k] for k in train.labels] == [y for _, y in rows]


def test_a_probability_at_the_threshold_is_positive():
    two = np.array([[0.5, 0.5], [0.51, 0.49]])
    assert decide("binary", two).tolist() == [1, 0]
    assert decide("binary", two, 0.4).tolist() == [1, 1]
    assert decide("multilabel", two).tolist() == [[1, 1], [1, 0]]
    assert decide("multiclass", np.array([[0.2, 0.5, 0.3]])).tolist() == [1]
    with pytest.raises(ValueError, match="has no classes"):
        decide("regression", two)


def test_rows_put_behind_others_keep_all_they_have():
    places = RowPlaces.of(["c", "c"], [1, 5], [5, 8], ["+", "-"])
    codes = [encode("ACGT"), encode("GGG")]
    first = LabelledSplit(
        ["a", "b"], codes, np.array([0, 1]), np.array([1, 2]), np.array([7, 8]), places
    )
    last = first.where(np.array([False, True]))
    both = first.and_then(last)
    assert both.ids == ["a", "b", "b"] and letters(both) == ["ACGT", "GGG", "GGG"]
    assert both.labels.tolist() == [0, 1, 1] and both.rows.tolist() == [1, 2, 2]
    assert both.groups.tolist() == [7, 8, 8] and both.places.start.tolist() == [1, 5, 5]
    assert both.places.strand.tolist() == ["+", "-", "-"]
    without = dataclasses.replace(last, groups=None, places=None)
    assert first.and_then(without).groups is None and without.and_then(first).places is None


def test_parts_of_a_split_keep_everything(tmp_path):
    text = "sequence,label,batch\n" + "".join(
        f"{'ACGT' * (i + 1)},{i % 2},{i % 3}\n" for i in range(6)
    )
    split = read_labelled(
        write(tmp_path / "a.csv", text), settings=LabelSettings(group_column="batch")
    ).splits["train"]
    chosen = np.array([True, False, True, False, False, True])
    part = split.where(chosen)
    assert part.rows.tolist() == [1, 3, 6] and part.lengths.tolist() == [4, 12, 24]
    both = part.and_then(split.where(~chosen))
    assert sorted(both.rows.tolist()) == [1, 2, 3, 4, 5, 6] and len(both.groups) == 6


def test_real_gue_folder(shared_data):
    data = read_labelled(shared_data("gue/prom/prom_300_tata"))
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 4904, "dev": 613, "test": 613}
    assert data.kind == "binary" and data.classes == ("0", "1")


def test_settings_have_a_schema():
    assert "sequence_column" in json.dumps(LabelSettings.model_json_schema())


# ---------------------------------------------------------------- places


PLACED = [
    ("a", "chr1", "0", "8", "+", "neg", "0", "lifted", "ACGTACGT"),
    ("b", "2", "5", "11", "", "pos", "1", "exact", "GGGCCC"),
    ("c", "chrX", "7", "12", "-", "pos", "1", "exact", "TTTTA"),
]
PLACED_COLUMNS = "id,region,start,end,strand,class,label,source,sequence"


def test_a_place_no_chromosome_has_is_refused(tmp_path):
    far = ("b", "chr2", str(10**20), str(10**20 + 6), *PLACED[1][4:])
    file = write(tmp_path / "a.csv", csv([PLACED[0], far], PLACED_COLUMNS))
    with pytest.raises(BadInput, match=r"record 2, line 3: no chromosome is as long"):
        read_labelled(file)


def test_places_beside_sequences_are_kept(tmp_path):
    data = read_labelled(write(tmp_path / "a.csv", csv(PLACED, PLACED_COLUMNS)))
    train = data.splits["train"]
    assert letters(train) == ["ACGTACGT", "GGGCCC", "TTTTA"]
    places = train.places
    assert places.chrom.tolist() == ["chr1", "2", "chrX"]
    assert places.start.tolist() == [0, 5, 7] and places.end.tolist() == [8, 11, 12]
    assert places.start.dtype == places.end.dtype == np.int64
    assert places.strand.tolist() == ["+", ".", "-"]
    some = train.where(np.array([True, False, True])).and_then(train.where(train.labels == 1))
    assert some.places.chrom.tolist() == ["chr1", "chrX", "2", "chrX"]
    assert some.places.frame()["end"].tolist() == [8, 12, 11, 12]
    plain = read_labelled(write(tmp_path / "b.csv", csv(ROWS))).splits["train"]
    assert plain.places is None and train.and_then(plain).places is None


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [("1", "8", "in 1 of 3 rows (first in line 2)"), ("", "8", "not every row has a start")],
)
def test_places_that_do_not_fit_are_left_out_aloud(tmp_path, caplog, start, end, said):
    caplog.set_level("INFO", "findna")
    wrong = ("a", "chr1", start, end, *PLACED[0][4:])
    file = write(tmp_path / "a.csv", csv([wrong, *PLACED[1:]], PLACED_COLUMNS))
    assert read_labelled(file).splits["train"].places is None
    assert said in caplog.text


def test_a_table_with_places_in_a_cut_genome_is_read_as_a_bed_is(tmp_path, caplog):
    cut = write(tmp_path / "cut.fa", ">chr1:11-20\nACGTACGTAC\n>chr1:31-40\nACGTACGTAC\n")
    genome = Genome.open(cut, cache=tmp_path / "cache")
    rows = "chrom,start,end,label\nchr1,10,18,1\nchr1,{},{},0\n"
    inside = write(tmp_path / "a.csv", rows.format(30, 38))
    assert letters(read_labelled(inside, genome=genome).splits["train"]) == ["ACGTACGT"] * 2
    partly = write(tmp_path / "b.csv", rows.format(16, 24))
    read = read_labelled(partly, genome=genome).splits["train"]
    assert letters(read) == ["ACGTACGT", "GTACNNNN"]
    assert "1 of 2 intervals lie partly outside the regions" in caplog.text
    for start, end, said in (
        (22, 30, "line 3: chr1:22-30 lies outside"),
        (10**10, 10**10 + 8, r"line 3: chr1:\d+-\d+: lies far beyond the last region"),
        (8, 8, "record 2, line 3: chr1:8-8 is not an interval"),
        ("", 8, "record 2, line 3: chr1:-8 is not an interval"),
        (8, 10**20, "record 2, line 3"),
    ):
        wrong = write(tmp_path / "c.csv", rows.format(start, end))
        with pytest.raises(BadInput, match=said):
            read_labelled(wrong, genome=genome)


def test_places_of_intervals_with_a_genome(tmp_path):
    fasta = write(tmp_path / "g.fa", ">chr1\nACGTACGTTTTTA\n>chr2\nGGGCCC\n")
    genome = Genome.open(fasta, cache=tmp_path / "cache")
    bed = write(tmp_path / "a.bed", "chr1\t0\t8\t1\t0\t+\n1\t8\t13\t0\t0\t-\n")
    table = write(
        tmp_path / "b.csv",
        csv([("chr1", "0", "8", "+", "1"), ("1", "8", "13", "-", "0")],
            "region,start,end,strand,label"),
    )  # fmt: skip
    for file in (bed, table):
        train = read_labelled(file, genome=genome).splits["train"]
        assert letters(train) == ["ACGTACGT", "TAAAA"]
        assert train.places.chrom.tolist() == ["chr1", "1"]
        assert train.places.start.tolist() == [0, 8] and train.places.end.tolist() == [8, 13]
        assert train.places.strand.tolist() == ["+", "-"]


def test_places_of_official_intervals(shared_data):
    data = read_labelled(shared_data("genomic_benchmarks/human_enhancers_cohn"))
    places = data.splits["test"].places
    assert len(places) == len(data.splits["test"]) == 122
    assert (places.end - places.start == 500).all() and places.chrom[0].startswith("chr")


# Names of columns in capitals -------------------------------------------------------------------


def test_strand_and_split_are_found_whatever_their_case(tmp_path):
    genome = Genome.open(write(tmp_path / "g.fa", ">chr1\nAACCGTTTGG\n"), cache=tmp_path / "cache")
    rows = "chr1,0,5,-,1\nchr1,0,5,+,0\n"
    for header in ("chrom,start,end,strand,label", "Chrom,Start,End,Strand,Label"):
        found = read_labelled(write(tmp_path / "t.csv", f"{header}\n{rows}"), genome=genome)
        assert letters(found.splits["train"]) == ["CGGTT", "AACCG"]
    table = "sequence,label,Split\nACGT,1,train\nACGA,0,train\nCCCC,1,test\n"
    found = read_labelled(write(tmp_path / "t.csv", table))
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 2, "test": 1}
    wrong = write(tmp_path / "t.csv", "chrom,start,end,strand,label\nchr1,0,5,minus,1\n")
    with pytest.raises(BadInput, match="line 2: column strand holds 'minus'"):
        read_labelled(wrong, genome=genome)


def test_values_that_are_all_the_same_teach_nothing(tmp_path):
    table = csv([("ACGT", "0.1"), ("ACGG", "0.1"), ("CCGG", "0.1")])
    with pytest.raises(BadInput, match=r"all 3 training rows have the value 0.1 in label"):
        read_labelled(write(tmp_path / "t.csv", table), settings=LabelSettings(task="regression"))


def test_a_digest_is_of_all_that_rows_are_parted_by():
    codes = [encode("ACGT"), encode("TTTT")]
    rows = LabelledSplit(["a", "b"], codes, np.array([0, 1]), np.array([1, 2]))
    places = RowPlaces.of(["1", "1"], [0, 10], [4, 14], ["+", "+"])
    changed = [
        dataclasses.replace(rows, labels=np.array([1, 0])),
        dataclasses.replace(rows, codes=codes[::-1]),
        dataclasses.replace(rows, groups=np.array([0, 0])),
        dataclasses.replace(rows, groups=np.array([0, 1])),
        dataclasses.replace(rows, places=places),
        dataclasses.replace(rows, places=dataclasses.replace(places, chrom=np.array(["1", "2"]))),
    ]
    assert len({rows.digest, *(one.digest for one in changed)}) == 7
    assert dataclasses.replace(rows, ids=["c", "d"]).digest == rows.digest
