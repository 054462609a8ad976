"""Records of every format: order, number, names; refusal with the line."""

import gzip
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from findna.files import BadInput
from findna.sequence.alphabet import decode, encode
from findna.sequence.genome import Genome
from findna.sequence.inputs import Inputs, records_from
from findna.sequence.records import Record, RecordFormat, read_records
from findna.sequence.tables import need_column, read_table


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text or bytes to a file and return its path."""

    def write(content: str | bytes, name: str = "a.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def listed(path: str | Path, **options: object) -> list[tuple[str, str]]:
    return [(r.id, decode(r.codes)) for r in read_records(path, **options)]  # type: ignore[arg-type]


FASTA = ">r1 words\nACGT\nacgt\n>r2\nGGR\n>r1\nUU\n"
FASTQ = "@r1 words\nACGTacgt\n+\nIIIIIIII\n@r2\nGGR\n+r2\n@@@\n@r1\nUU\n+\nII\n"
CSV = "label,sequence,id\n1,ACGTacgt,r1\n0, GGR ,r2\n1,UU,r1\n"
EXPECTED = [("r1", "ACGTACGT"), ("r2", "GGN"), ("r1", "TT")]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (FASTA, "fasta"),
        (FASTQ, "fastq"),
        (CSV, "table"),
        (CSV.replace(",", "\t"), "table"),
        (CSV.replace(",", ";").replace("\n", "\r\n"), "table"),
        ("\ufeff" + CSV, "table"),
        (CSV.encode("utf-16"), "table"),
    ],
    ids=["fasta", "fastq", "csv", "tsv", "semicolon", "bom", "utf16"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_gives_the_same_records(
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    content: str | bytes,
    kind: RecordFormat,
    packed: bool,
) -> None:
    raw = content.encode() if isinstance(content, str) else content
    raw = gzip.compress(raw) if packed else raw
    path = write(raw, "file.of.no.kind")
    assert listed(path) == listed(path, format=kind) == EXPECTED
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert listed("-") == EXPECTED


def test_a_pipe_is_read_as_a_file_is_however_it_is_filled(write: Callable[..., Path]) -> None:
    """`<(head -1 a.bed; tail -n +2 a.bed | sort)` gives a header first, and rows much later."""
    genome = Genome.open(write(">chr1\nACGT\n", "g.fa"))
    read, end = os.pipe()

    def fill() -> None:
        for text in (b"#chr\tstart\tend\n", b"chr1\t1\t3\n"):
            os.write(end, text)
            time.sleep(0.2)
        os.close(end)

    writer = threading.Thread(target=fill)
    writer.start()
    time.sleep(0.1)
    assert listed(f"/dev/fd/{read}", genome=genome) == [("chr1:1-3", "CG")]
    writer.join()
    os.close(read)


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    table = {"id": ["r1", "r2", "r1"], "seq": ["ACGTacgt", "GGR", "UU"], "label": [1, None, 0]}
    pd.DataFrame(table).to_parquet(path)
    assert listed(path) == EXPECTED
    assert read_table(path)["label"].tolist() == ["1.0", "", "0.0"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert listed("-") == EXPECTED
    bare = {"id": [b"r1", b"r2"], "seq": [b"ACGT", b"GG"]}
    pd.DataFrame(bare).to_parquet(tmp_path / "bytes.parquet")
    assert listed(tmp_path / "bytes.parquet") == [("r1", "ACGT"), ("r2", "GG")]
    pd.DataFrame({"seq": [b"ACGT"], "x": [b"\xff"]}).to_parquet(tmp_path / "odd.parquet")
    with pytest.raises(BadInput, match="record 1: holds bytes that are not UTF-8"):
        listed(tmp_path / "odd.parquet")
    whole = path.read_bytes()
    damaged = whole[:4] + b"\xff" * 40 + whole[44:]
    for broken in (whole[:100], damaged):
        path.write_bytes(broken)
        with pytest.raises(BadInput, match="not a complete parquet file"):
            listed(path)


def test_what_is_changed_is_said(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for content in (FASTA, FASTQ, CSV):
        caplog.clear()
        listed(write(content))
        assert "2 U read as T" in caplog.text and "1 IUPAC letters read as N" in caplog.text
    assert "sequences are read from column sequence" in caplog.text


def test_columns_by_name_and_by_number(write: Callable[..., Path]) -> None:
    path = write("promoter,x\nACGT,a\nGGG,b\n")
    assert listed(path, sequence_column="promoter", id_column="x") == [("a", "ACGT"), ("b", "GGG")]
    assert listed(path, sequence_column="promoter") == [("1", "ACGT"), ("2", "GGG")]
    with pytest.raises(BadInput, match=r"There are promoter, x\n .*--sequence-column"):
        listed(path)
    with pytest.raises(BadInput, match=r"no column 'promotor'; it has promoter, x\n .*promoter\?"):
        listed(path, sequence_column="promotor")
    assert need_column(["a", "b"], "b", "x.csv") == 1


def test_a_sequence_longer_than_the_csv_module_allows(write: Callable[..., Path]) -> None:
    ((_, letters),) = listed(write("sequence\n" + "ACGT" * 50_000 + "\n"))
    assert letters == "ACGT" * 50_000


def test_records_come_one_at_a_time(write: Callable[..., Path]) -> None:
    path = write(">a\nACGT\n>b\nAXC\n")
    records = read_records(path)
    assert next(records).id == "a"
    with pytest.raises(BadInput, match=r"record b, line 4: unknown letter 'X' at position 2"):
        next(records)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("sequence,y\nACGT,1\n,2\n", r"a\.csv, record 2, line 3: the sequence is empty"),
        ("sequence,y\nACGT,1\n  ,2\n", r"line 3: the sequence is empty"),
        ("sequence,y\nACGT,1\nACGT\n", r"line 3: has 1 cells where the header has 2"),
        ("sequence,y\nACGT,1\n\nACQT,1\n", r"record 2, line 4: unknown letter 'Q' at position 3"),
        ('sequence,y\n"AC\n', "line 2: unexpected end of data"),
        ("ACGTACGTAA,1\nACGTACGTAC,0\n", "there is no header"),
        ("sequence,sequence\nA,C\n", "two columns are named 'sequence'"),
        (b"sequence,y\nACGT,\xe9\n", "iconv"),
        (b"PK\x03\x04....", "Save As > CSV"),
        (">a\n\n>b\nAC\n", r"record a, line 1: a record without sequence"),
        ("@r\nACGT\n+\nIII\n", r"record r, line 1: is not a complete FASTQ"),
        ("@r\nACGT\n+\nIIII\n@s\nAC\n", r"record s, line 5: is not a complete FASTQ"),
        ("@r\nAC*T\n+\nIIII\n", r"record r, line 2: unknown letter '\*' at position 3"),
        ("@r\n\n+\n\n", r"record r, line 2: the sequence is empty"),
        ("@HD\tVN:1.0\nr\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\t*\n", "SAM file\n  samtools fasta"),
        ("@SQ\tSN:chr1\tLN:9\n", "is a SAM file"),
        ("LOCUS       NM_1  24 bp    DNA\nDEFINITION  x, y\n//\n", "GenBank or EMBL"),
        ("ID   X56734; SV 1; linear; mRNA\n", "GenBank or EMBL"),
        ("# made by X\nid,sequence\na,AC\nb\n", r"line 4: has 1 cells where the header has 2"),
        ('# made by X\nid,sequence\na,"AC\n', "line 3: unexpected end of data"),
        ("# made by X, now\nsequence\tsequence\nA\tC\n", "line 2: two columns are named"),
        ("# made by X\nid\tsequence\na\tAC\nb\tAQ\n", r"record b, line 4: unknown letter 'Q'"),
    ],
)
def test_bad_files(write: Callable[..., Path], content: str | bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        listed(write(content))


def test_a_file_without_a_byte_holds_no_record(write: Callable[..., Path]) -> None:
    assert listed(write("")) == []
    with pytest.raises(BadInput, match="is empty"):
        list(read_records(write("\n"), format="table"))


@pytest.mark.parametrize("kind", ["fasta", "table"])
def test_an_empty_file_is_none_of_a_format_that_was_named(
    write: Callable[..., Path], kind: RecordFormat
) -> None:
    with pytest.raises(BadInput, match="empty"):
        listed(write(""), format=kind)


# What a notebook holds ------------------------------------------------------------------------


def held(inputs: Inputs, **columns: str) -> list[tuple[str, str]]:
    return [(r.id, decode(r.codes)) for r in records_from(inputs, **columns)]


def test_sequences_as_text_are_called_by_their_number() -> None:
    given = Record("mine", encode("GG"))
    assert held(["ACgt", given, "UU"]) == [("1", "ACGT"), ("mine", "GG"), ("3", "TT")]


def test_rows_of_a_data_frame_by_usual_and_by_named_columns() -> None:
    frame = pd.DataFrame({"seq": ["AC", "GG"], "name": ["x", 7], "probe": ["T", "TT"]})
    assert held(frame) == [("x", "AC"), ("7", "GG")]
    assert held(frame, sequence_column="probe") == [("x", "T"), ("7", "TT")]
    assert held(frame, id_column="probe") == [("T", "AC"), ("TT", "GG")]
    assert held(frame[["seq"]]) == [("1", "AC"), ("2", "GG")]
    with pytest.raises(BadInput, match="the data frame: which column holds the sequences"):
        held(frame[["name"]])


def test_a_file_is_read_by_the_columns_that_are_named(write: Callable[..., Path]) -> None:
    path = write("promoter,x\nACGT,a\nGGG,b\n")
    assert held(path, sequence_column="promoter", id_column="x") == [("a", "ACGT"), ("b", "GGG")]


@pytest.fixture
def cut(write: Callable[..., Path]) -> Genome:
    """Two regions of chr9 with four bases between them that nobody has."""
    return Genome.open(write(">chr9:10-16\nAACCGT\n>chr9:20-24\nTTTT\n", "cut.fa"))


def test_regions_are_records_with_a_place(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(">chr1\nAACCGTN\n>chr2\nGG\n", "g.fa"))
    (alone,) = records_from("chr1:2-5", genome)
    assert (alone.id, decode(alone.codes)) == ("chr1:2-5", "ACCG")
    assert (alone.chrom, alone.start, alone.end, alone.strand) == ("chr1", 1, 5, "+")
    among = records_from(["ACG", "2:1-2", Record("mine", encode("T"))], genome)
    assert [(r.id, decode(r.codes), r.chrom) for r in among] == [
        ("1", "ACG", None), ("2:1-2", "GG", "chr2"), ("mine", "T", None),
    ]  # fmt: skip
    file = write("seq,id\nAC,x\n", "chr1:2-5")
    assert [r.id for r in records_from(file, genome)] == ["x"]


def test_a_region_may_lie_partly_in_regions_that_were_cut(
    cut: Genome, caplog: pytest.LogCaptureFixture
) -> None:
    (whole,) = records_from("chr9:11-16", cut)
    assert decode(whole.codes) == "AACCGT" and not caplog.text
    (partly,) = records_from("chr9:15-30", cut)
    assert decode(partly.codes) == "GTNNNNTTTTNNNNNN" and partly.start == 14
    assert "chr9:15-30 lies partly outside the regions" in caplog.text
    with pytest.raises(BadInput, match="chr9:17-20 lies outside the regions of chr9"):
        list(records_from("chr9:17-20", cut))
    with pytest.raises(BadInput, match="lies outside the regions of chr9"):
        list(records_from("chr9:15-99,999,999,999,999", cut))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chr1:6-9", "chr1:6-9 lies beyond chr1, which ends at 8"),
        ("chr1:6-9,000,000,000,000", "lies beyond chr1, which ends at 8"),
        ("chr3:1-2", "no chromosome 'chr3'"),
        ("chr1:5", "'chr1:5' is not a region"),
    ],
)
def test_what_is_no_region_of_the_genome_is_refused(
    text: str, words: str, write: Callable[..., Path]
) -> None:
    genome = Genome.open(write(">chr1\nACGTACGT\n", "g.fa"))
    for inputs in (text, ["AC", text]):
        with pytest.raises(BadInput, match=words):
            list(records_from(inputs, genome))
    with pytest.raises(BadInput, match="the region 'chr1:1-2' needs a genome"):
        held("chr1:1-2")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (["AC", ""], "record 2: the sequence is empty"),
        (["AC", float("nan")], "record 2: nan is not a sequence"),
        ([Record("r", encode(""))], "record r: the sequence is empty"),
        (["AC", "AQ"], "record 2: unknown letter 'Q' at position 2"),
        (pd.DataFrame({"seq": ["AC", float("nan")]}), "record 2: nan is not a sequence"),
        (pd.DataFrame({"seq": ["AC", ""], "id": ["x", "y"]}), "record y: the sequence is empty"),
    ],
)
def test_what_is_no_sequence_is_refused_by_name(inputs: Inputs, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        held(inputs)


# BED with a genome ----------------------------------------------------------------------------


def test_bed_with_a_genome(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(">chr1\nAACCGTN\n>chr2\nGG\n", "g.fa"))
    path = write("#x\n1\t0\t7\tall\t0\t-\n2\t1\t2\t.\t0\t+\n1\t2\t4\t.\t0\t.\n", "a.txt")
    records = list(read_records(path, genome=genome))
    assert [(r.id, decode(r.codes)) for r in records] == [
        ("all", "NACGGTT"), ("2:1-2", "G"), ("1:2-4", "CC"),
    ]  # fmt: skip
    first = records[0]
    assert (first.chrom, first.start, first.end, first.strand) == ("1", 0, 7, "-")


def test_bed_records_are_answered_or_refused(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    genome = Genome.open(write(">chr1:100-104\nACGT\n", "g.fa"))
    assert listed(write("1\t98\t102\n", "a.bed"), genome=genome) == [("1:98-102", "NNAC")]
    assert "1 of 1 intervals lie partly outside" in caplog.text
    with pytest.raises(BadInput, match="line 2: 1:0-9 lies outside"):
        listed(write("1\t98\t102\n1\t0\t9\n", "a.bed"), genome=genome)
    with pytest.raises(BadInput, match="line 1: 1:101-101: is empty"):
        listed(write("1\t101\t101\n", "a.bed"), genome=genome)
    with pytest.raises(BadInput, match="give its FASTA with -g"):
        listed(write("1\t98\t102\n", "a.bed"))
    plain = Genome.open(write(">chr1\nACGT\n", "g.fa"))
    with pytest.raises(BadInput, match="line 2: 1:0-9: extends beyond the chromosome"):
        listed(write("1\t0\t4\n1\t0\t9\n", "a.bed"), genome=plain)
    with pytest.raises(BadInput, match="line 2: chr7:0-2: is not in"):
        listed(write("1\t0\t4\nchr7\t0\t2\n", "a.bed"), genome=plain)


# Tables ---------------------------------------------------------------------------------------

cell = st.text(alphabet=st.sampled_from('ab0,;\t" é\n'), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(cell, cell, cell), max_size=8),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_tables_round_trip(
    tmp_path: Path, cells: list[tuple[str, str, str]], separator: str, encoding: str
) -> None:
    """Against pandas' writer: every cell comes back as the same string."""
    frame = pd.DataFrame(cells, columns=["a", "b", "c"], dtype="str")
    frame.to_csv(tmp_path / "a.csv", sep=separator, index=False, encoding=encoding)
    again = read_table(tmp_path / "a.csv")
    assert list(again) == ["a", "b", "c"]
    assert [tuple(row) for row in again.to_numpy().tolist()] == cells
    assert again.index.tolist() == list(range(len(cells)))


def test_strings_stay_strings(write: Callable[..., Path]) -> None:
    table = read_table(write("#id;n;label\n007;1,5;NA\n008;;nan\n"))
    assert list(table) == ["id", "n", "label"]
    assert table.to_numpy().tolist() == [["007", "1,5", "NA"], ["008", "", "nan"]]


# A second reader on the same content ----------------------------------------------------------


def test_agrees_with_pysam(write: Callable[..., Path], rng: np.random.Generator) -> None:
    rows = ["".join(rng.choice(list("ACGTN"), n)) for n in rng.integers(1, 300, 50)]
    fastq = "".join(f"@r{i}\n{row}\n+\n{'I' * len(row)}\n" for i, row in enumerate(rows))
    split = [[row[j : j + 60] for j in range(0, len(row), 60)] for row in rows]
    fa = "".join(f">r{i}\n" + "\n".join(lines) + "\n" for i, lines in enumerate(split))
    for path in (write(fastq, "a.fq"), write(fa, "a.fa")):
        with pysam.FastxFile(str(path)) as peer:
            assert listed(path) == [(r.name, r.sequence) for r in peer]


def test_real_labelled_rows(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("gue/prom/prom_300_tata/test.csv.gz")
    table = read_table(path)
    records = listed(path)
    assert len(table) == len(records) > 100
    assert [letters for _, letters in records] == table["sequence"].str.upper().tolist()


def test_real_transcripts(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("human_hg38/lrg_enst_cdna.fa.gz")
    records = list(read_records(path))
    assert len(records) == 4_898
    assert sum(len(record.codes) for record in records) == pytest.approx(9.8e6, rel=0.01)


def test_a_place_off_the_genome_is_said_before_any_record(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(">chr1\nACGT\n", "g.fa"))
    bed = write("chr1\t0\t2\nchrZ\t0\t2\n", "a.bed")
    with pytest.raises(BadInput, match=r"a\.bed, line 2: chrZ:0-2: is not in"):
        next(read_records(bed, genome=genome))


# Which format -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["chrom\tstart\tend\tsequence", "#id\tlabel\tfold\tSeq", "id,label,fold,dna"]
)
def test_a_column_of_sequences_makes_a_table(write: Callable[..., Path], header: str) -> None:
    separator = "," if "," in header else "\t"
    row = separator.join(["chr1", "1", "9", "TTTT"])
    genome = Genome.open(write(">chr1\nACGTACGTACGT\n", "g.fa"))
    path = write(f"{header}\n{row}\n", "rows.tsv")
    assert [letters for _, letters in listed(path, genome=genome)] == ["TTTT"]


def test_a_named_column_makes_a_table(write: Callable[..., Path]) -> None:
    path = write("chrom\tstart\tend\tprobe\nchr1\t1\t9\tTTTT\n", "rows.tsv")
    assert [letters for _, letters in listed(path, sequence_column="probe")] == ["TTTT"]


@pytest.mark.parametrize("before", ["# made by X\n", "# made by X, in May\n#\n", "#\n"])
@pytest.mark.parametrize("header", ["id\tsequence", "id,sequence", "#id\tsequence"])
def test_comments_before_the_header_are_passed_over(
    write: Callable[..., Path], before: str, header: str
) -> None:
    cut = "," if "," in header else "\t"
    path = write(f"{before}{header}\na{cut}ACGT\nb{cut}GG\n", "t.tsv")
    assert listed(path) == [("a", "ACGT"), ("b", "GG")]


def test_a_column_that_is_named_by_a_comment_sign_is_no_comment(
    write: Callable[..., Path],
) -> None:
    assert listed(write("#sequence\nACGT\n", "t.csv")) == [("1", "ACGT")]
    path = write("#probe\tscore\nACGT\t1\nGG\t2\n", "t.tsv")
    assert listed(path, sequence_column="probe") == [("1", "ACGT"), ("2", "GG")]


@pytest.mark.parametrize("text", [FASTA, FASTQ], ids=["FASTA", "FASTQ"])
@pytest.mark.parametrize("column", ["sequence_column", "id_column"])
def test_what_has_no_columns_is_said(write: Callable[..., Path], text: str, column: str) -> None:
    with pytest.raises(BadInput, match=r"is FAST[AQ], which has no columns\n  leave"):
        listed(write(text), **{column: "seq"})


@pytest.mark.parametrize("cut", [",", "\t"])
def test_rows_of_a_table_may_be_places(write: Callable[..., Path], cut: str) -> None:
    genome = Genome.open(write(">chr1\nACGTTTGG\n", "g.fa"))
    rows = [["id", "chrom", "start", "end", "strand"], ["a", "1", "0", "3", "+"]]
    rows += [["b", "chr1", "5", "8", "-"]]
    path = write("".join(cut.join(row) + "\n" for row in rows), "places.txt")
    found = list(read_records(path, genome=genome))
    assert [(r.id, decode(r.codes), r.start, r.end) for r in found] == [
        ("a", "ACG", 0, 3), ("b", "CCA", 5, 8)
    ]  # fmt: skip
    with pytest.raises(BadInput, match="coordinates need the FASTA of their genome"):
        listed(path)
    wrong = write(path.read_text().replace("5", "9"), "wrong.txt")
    with pytest.raises(BadInput, match="record b, line 3: chr1:9-8 is not an interval"):
        listed(wrong, genome=genome)
    named = write(f"chrom{cut}start{cut}end{cut}label\nchr1{cut}1{cut}3{cut}x\n", "p.csv")
    assert listed(named, genome=genome) == [("chr1:1-3", "CG")]


@pytest.mark.parametrize(
    "text",
    ["chr1\t1\t3", "chr1\t1\t3\n", "chr1\t1\t3\r\n", "chr1 1 3\n", f"#{'x' * 5000}\nchr1\t1\t3\n",
     f"\n#{'x' * 4087}\nchr1\t1\t3\n", "# a\n# b\nchr1\t1\t3\n", "track name=x\nchr1\t1\t3\n"],
)  # fmt: skip
def test_one_interval_is_a_bed(write: Callable[..., Path], text: str) -> None:
    genome = Genome.open(write(">chr1\nACGT\n", "g.fa"))
    assert listed(write(text, "one.narrowPeak"), genome=genome) == [("chr1:1-3", "CG")]
    named = Genome.open(write(">seq\nACGT\n", "s.fa"))
    renamed = write(text.replace("chr1", "seq"), "one.narrowPeak")
    assert listed(renamed, genome=named) == [("seq:1-3", "CG")]


GFF_ROW = 'chr1\thavana\tgene\t2\t3\t.\t+\t.\tgene_id "a"\n'


@pytest.mark.parametrize("head", ["##gff-version 3\n", "#!genome-build x\n", ""])
def test_features_are_no_sequences_and_the_remedy_works(
    write: Callable[..., Path], tmp_path: Path, head: str
) -> None:
    path = write(head + GFF_ROW, "a.gtf")
    with pytest.raises(BadInput, match="is a GFF or GTF") as caught:
        listed(path)
    command = str(caught.value).partition("-g: ")[2]
    bed = tmp_path / "made.bed"
    command = command.replace("OLD.gff", str(path)).replace("NEW.bed", str(bed))
    subprocess.run(command, shell=True, check=True)
    genome = Genome.open(write(">chr1\nACGT\n", "g.fa"))
    assert listed(bed, genome=genome) == [("gene", "CG")]


def test_a_bed_with_numbers_for_names_is_no_gff(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(">chr1\nACGT\n", "g.fa"))
    row = "chr1\t1\t3\t7\t500\t+\t1\t3\t0\n"
    assert listed(write(row, "nine.txt"), genome=genome) == [("7", "CG")]


def test_what_follows_a_header_is_a_table_however_it_looks(write: Callable[..., Path]) -> None:
    path = write("id\tlength\tfrac_n\tprediction\nr1\t20\t0\tyes\n", "predictions.tsv")
    with pytest.raises(BadInput, match="which column holds the sequences"):
        listed(path)
    genome = Genome.open(write(">chr1\nACGT\n", "g.fa"))
    for head in ("chrom\tstart\tend", "#chr\tchromStart\tchromEnd", "track name=x", "browser hide"):
        path = write(f"{head}\nchr1\t1\t3\n", "places.txt")
        assert listed(path, genome=genome) == [("chr1:1-3", "CG")]


def test_variants_are_no_sequences(write: Callable[..., Path]) -> None:
    with pytest.raises(BadInput, match="score-variants reads it"):
        listed(write("##fileformat=VCFv4.2\n#CHROM\tPOS\n", "calls.vcf"))


def test_letters_that_may_be_protein_are_warned_of(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    listed(write(">p\nMSTAGKVKHWDRCGNTSVAYHDGSKHV\n"))
    assert "is this DNA, not protein?" in caplog.text
    caplog.clear()
    listed(write(">d\n" + "ACGT" * 10 + "R\n"))
    assert "protein" not in caplog.text
