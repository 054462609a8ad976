"""VCF as text in and out: nothing changes but our own fields; htslib reads all that is written."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pysam
import pysam.bcftools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna.files import BadInput, FullDisk
from findna.sequence.variant_files import (
    allele_frame,
    refuse_output,
    variant_format,
    within_format,
    write_scored,
)
from findna.sequence.vcf import (
    InfoField,
    Row,
    Scored,
    contig_lengths,
    declared_fields,
    facts_of,
    info_word,
    open_vcf,
    read_scored,
    scored_info,
    vcf_from,
    with_fields,
)

COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
HEADER = ["##fileformat=VCFv4.2", "##contig=<ID=c1,length=1000>", COLUMNS]
FIELDS = [
    InfoField("FINDNA_LLR", "A", "Float", 'ln "P"; a\\b'),
    InfoField("FINDNA_REASON", ".", "String", "why"),
]


def rows_of(lines: Iterable[str], header: list[str] | None = None) -> list[Row]:
    return list(vcf_from([*(header or HEADER), *lines], "x").rows)


def scored(lines: Iterable[str], header: list[str] | None = None) -> list[Scored]:
    """Rows with the number of the ALT as its score; symbolic ones have a reason instead."""
    made = []
    for row in rows_of(lines, header):
        values = [(str(k + 0.5), ".") for k in range(len(row.alts))] or [(".", "no_alt")]
        values = [
            (".", "symbolic") if a.startswith("<") else v
            for a, v in zip(row.alts or ["."], values, strict=True)
        ]
        made.append(Scored(row, list(zip(*values, strict=True))))
    return made


# Reading --------------------------------------------------------------------------------------

WORD = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=20)
INFO = WORD.filter(lambda text: "FINDNA_" not in text)


@given(st.lists(st.tuples(WORD, INFO, WORD, WORD), max_size=5), st.sampled_from(["", "\r"]))
def test_random_text_comes_out_unchanged(cells: list[tuple[str, ...]], end: str) -> None:
    header = [*HEADER[:-1], f"{COLUMNS}\tFORMAT\tS1"]
    lines = [f"c1\t5\t{a}\tA\tC\t.\t.\t{info}\t{b}\t{c}{end}" for a, info, b, c in cells]
    raw = "\n".join([*header, *lines]).encode()
    vcf = vcf_from(raw.decode("utf-8", "surrogateescape").split("\n"), "x")
    rows = list(vcf.rows)
    assert [row.text() for row in rows] == lines
    for row, line in zip(rows, lines, strict=True):
        info = scored_info(Scored(row, [["0.5"], ["."]]), FIELDS)
        before, after = line.split("\t"), row.text(info).split("\t")
        assert before[:7] + before[8:] == after[:7] + after[8:]
        kept = before[7] if before[7] not in (".", "") else ""
        joint = "" if not kept or kept.endswith(";") else ";"
        assert after[7] == f"{kept}{joint}FINDNA_LLR=0.5"


def test_bytes_that_are_no_utf8_and_line_ends_stay(tmp_path: Path) -> None:
    body = (
        b"c1\t5\t.\tA\tC\t.\t.\tX=\xff\xfe;Y\r\nc1\t6\t.\tA\tC\t.\t.\t.\n\nc1\t7\t.\tA\tC\t.\t.\tZ"
    )
    file = tmp_path / "x.vcf"
    file.write_bytes("\n".join(HEADER).encode() + b"\n" + body)
    with open_vcf(file) as vcf:
        found = [Scored(row, [["1"], ["."]]) for row in vcf.rows]
        write_scored(found, vcf.header, FIELDS, tmp_path / "y.vcf")
    assert (tmp_path / "y.vcf").read_bytes().split(b"\n", 3)[3] == (
        b"c1\t5\t.\tA\tC\t.\t.\tX=\xff\xfe;Y;FINDNA_LLR=1\r\n"
        b"c1\t6\t.\tA\tC\t.\t.\tFINDNA_LLR=1\nc1\t7\t.\tA\tC\t.\t.\tZ;FINDNA_LLR=1\n"
    )


def test_a_byte_order_mark_is_taken_off(tmp_path: Path) -> None:
    file = tmp_path / "x.vcf"
    file.write_bytes(b"\xef\xbb\xbf" + "\n".join([*HEADER, "c1\t5\t.\tA\tC\t.\t.\t."]).encode())
    with open_vcf(file) as vcf:
        assert vcf.header == HEADER and [row.pos for row in vcf.rows] == [5]


LINES = ["c1\t5\ta\tA\tC,<X>\t1e3\tq10\tDP=3;FLAG\tGT\t0|1", "c1\t9\t.\tA\t.\t.\t.\t.\tGT\t./."]
SAMPLED = [*HEADER[:-1], f"{COLUMNS}\tFORMAT\tS1"]


@pytest.mark.parametrize("how", ["plain", "gzip", "bgzip"])
def test_compression_is_told_by_the_bytes(how: str, tmp_path: Path) -> None:
    file = tmp_path / "x"
    text = ("\n".join([*SAMPLED, *LINES]) + "\n").encode()
    if how == "bgzip":
        with pysam.BGZFile(str(file), "wb", index=None) as stream:
            stream.write(text)
    else:
        file.write_bytes(gzip.compress(text) if how == "gzip" else text)
    with open_vcf(file) as vcf:
        assert [row.text() for row in vcf.rows] == LINES and vcf.header == SAMPLED


@pytest.mark.parametrize("piped", [False, True])
def test_bcf_is_read_as_htslib_prints_it(
    piped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = [
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="d\u2028d">',
        '##INFO=<ID=FLAG,Number=0,Type=Flag,Description="f">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">',
        '##FILTER=<ID=q10,Description="q">',
    ]
    header = [SAMPLED[0], *declared, *SAMPLED[1:]]
    (tmp_path / "x.vcf").write_text("\n".join([*header, *LINES]) + "\n")
    file = tmp_path / "x.bcf"
    pysam.bcftools.view(
        "--no-version", "-Ob", "-o", str(file), str(tmp_path / "x.vcf"), catch_stdout=False
    )
    before = pysam.get_verbosity()
    if piped:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    with open_vcf("-" if piped else file) as vcf:
        rows = list(vcf.rows)
    assert [row.text() for row in rows] == [LINES[0].replace("1e3", "1000"), LINES[1]]
    assert set(declared) < set(vcf.header)
    assert pysam.get_verbosity() == before
    whole = file.read_bytes()
    with pysam.BGZFile(str(file), "wb", index=None) as stream:
        stream.write(gzip.decompress(whole)[:-9])
    with pytest.raises(BadInput, match="truncated or damaged"), open_vcf(file) as vcf:
        list(vcf.rows)


@pytest.mark.parametrize("where", ["header", "row"])
def test_a_bcf_keeps_bytes_that_are_no_text(where: str, tmp_path: Path) -> None:
    """As Latin-1 names of diseases and submitters have them; the text form keeps them, too."""
    said = "S\udcf6n" if where == "header" else "d"
    header = [
        "##fileformat=VCFv4.2", "##contig=<ID=chr1,length=99>",
        f'##INFO=<ID=DN,Number=1,Type=String,Description="{said}">', COLUMNS,
    ]  # fmt: skip
    rows = [f"chr1\t{at}\t.\tA\tC\t.\t.\tDN=S{o}n" for at, o in ((5, "o"), (6, "\udcf6"), (7, "o"))]
    text, file = tmp_path / "x.vcf", tmp_path / "x.bcf"
    text.write_text("\n".join([*header, *rows]) + "\n", errors="surrogateescape")
    pysam.bcftools.view("--no-version", "-Ob", "-o", str(file), str(text), catch_stdout=False)
    with open_vcf(file) as vcf:
        assert [row.text() for row in vcf.rows] == rows
        assert header[2] in vcf.header


def test_a_bcf_comes_through_any_pipe(tmp_path: Path) -> None:
    """`<(command)` of a shell is a path that can be read once."""
    whole = output(tmp_path / "y.bcf", BODY[:1]).read_bytes()
    read, write = os.pipe()
    os.write(write, whole)
    os.close(write)
    with open_vcf(f"/dev/fd/{read}") as vcf:
        assert [row.pos for row in vcf.rows] == [5]
    os.close(read)


def test_rows_without_a_header_get_a_minimal_one(caplog: pytest.LogCaptureFixture) -> None:
    vcf = vcf_from(LINES, "x")
    assert vcf.header == ["##fileformat=VCFv4.2", f"{COLUMNS}\tFORMAT\tS1"]
    assert [row.text() for row in vcf.rows] == LINES
    assert "x: has no VCF header; a minimal one is written" in caplog.text
    assert vcf_from([], "x").header == ["##fileformat=VCFv4.2", COLUMNS]
    assert vcf_from(["##source=me", *LINES], "x").header[1:2] == ["##source=me"]


ROW = "c1\t5\t.\tA\tC\t.\t.\t."
WRONG = {
    "few columns": ([*HEADER, ROW, "c1\t5\t.\tA\tC"], "line 5: has 5 columns where the header nam"),
    "a sample too many": ([*HEADER, f"{ROW}\tGT\t0"], "line 4: has 10 columns where the header na"),
    "a BED": (["c1\t5\t9"], "line 1: has 3 columns where a VCF has 8"),
    "spaces": ([ROW.replace("\t", " ")], "line 1: has 1 columns where a VCF has 8"),
    "no position": ([*HEADER, ROW.replace("\t5\t", "\t5.0\t")], "line 4: POS is '5.0'"),
    "negative": ([*HEADER, ROW.replace("\t5\t", "\t-5\t")], "line 4: POS is '-5'"),
    "two headers": ([*HEADER, ROW, COLUMNS], "line 5: is a header line among the rows"),
    "one behind another": ([*HEADER, ROW, *HEADER, ROW], "line 5: is a header line among the rows"),
    "other columns": (["##fileformat=VCFv4.2", "#chrom\tpos"], "line 2: is not the header line"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_vcf(what: str) -> None:
    lines, said = WRONG[what]
    with pytest.raises(BadInput, match=f"x, {said}"):
        list(vcf_from(lines, "x").rows)


# Header and INFO ------------------------------------------------------------------------------


def test_lengths_are_read_wherever_they_stand() -> None:
    header = [
        "##contig=<ID=a,length=5>",
        "##contig=<length=6,ID=b,assembly=x>",
        "##contig=<ID=c>",
        "##INFO=<ID=d,length=7>",
        "##contig=<ID=HLA-A*01:01,length=8>\r",
    ]
    assert contig_lengths(header) == {"a": 5, "b": 6, "HLA-A*01:01": 8}


def test_ours_replace_those_of_an_earlier_run() -> None:
    facts = {"command": "findna  x\ny", "use": "research"}
    once = with_fields(HEADER, facts, FIELDS)
    assert once == [
        *HEADER[:-1],
        '##INFO=<ID=FINDNA_LLR,Number=A,Type=Float,Description="ln \\"P\\"; a\\\\b">',
        '##INFO=<ID=FINDNA_REASON,Number=.,Type=String,Description="why">',
        "##findna_command=findna x y",
        "##findna_use=research",
        COLUMNS,
    ]
    assert with_fields(once, facts, FIELDS) == once
    assert with_fields(once, {}, []) == HEADER
    assert facts_of(once) == {"command": "findna x y", "use": "research"}
    assert [f.name for f in declared_fields(once)] == [f.name for f in FIELDS]
    dotted = InfoField("FINDNA_LOGIT_v1.0", "A", "Float", "of a class")
    assert declared_fields([dotted.header_line()]) == [dotted]


INFOS = {
    ".": "FINDNA_LLR=1,.;FINDNA_REASON=.,star",
    "": "FINDNA_LLR=1,.;FINDNA_REASON=.,star",
    "A": "A;FINDNA_LLR=1,.;FINDNA_REASON=.,star",
    "A=1;": "A=1;FINDNA_LLR=1,.;FINDNA_REASON=.,star",
    "FINDNA_OLD=3;A;FINDNA_LLR=9;B=FINDNA_": "A;B=FINDNA_;FINDNA_LLR=1,.;FINDNA_REASON=.,star",
}


@pytest.mark.parametrize("info", INFOS)
def test_info_is_kept_and_ours_added(info: str) -> None:
    row = rows_of([f"c1\t5\t.\tA\tC,*\t.\t.\t{info}"])[0]
    found = Scored(row, [["1", "."], [".", "star"]])
    text = scored_info(found, FIELDS)
    assert text == INFOS[info]
    again = read_scored(rows_of([row.text(text)])[0], FIELDS)
    assert [list(texts) for texts in again.values] == [["1", "."], [".", "star"]]
    assert scored_info(again, FIELDS) == text


def test_a_field_without_values_is_left_out() -> None:
    row = rows_of(["c1\t5\t.\tA\tC,*\t.\t.\tFINDNA_LLR=3"])[0]
    assert scored_info(Scored(row, [[".", "."], [".", "."]]), FIELDS) == "."
    assert scored_info(Scored(row, [["2", "."], [".", "."]]), FIELDS) == "FINDNA_LLR=2,."


def test_values_that_are_not_one_an_allele_are_refused() -> None:
    with pytest.raises(BadInput, match="row 1 does not have a value for each allele"):
        read_scored(rows_of(["c1\t5\t.\tA\tC,*\t.\t.\tFINDNA_LLR=3"])[0], FIELDS)


def test_a_row_without_alleles_has_one_value_a_field() -> None:
    for info, expected in ((".", [["."], ["."]]), ("FINDNA_REASON=no_alt", [["."], ["no_alt"]])):
        row = rows_of([f"c1\t5\t.\tA\t.\t.\t.\t{info}"])[0]
        found = read_scored(row, FIELDS)
        assert [list(texts) for texts in found.values] == expected
        assert scored_info(found, FIELDS) == info


@given(st.text())
def test_a_word_breaks_no_info(text: str) -> None:
    word = info_word(text)
    assert word and word.split() == [word] and not set(word) & set(";=,:")


def test_words_stay_readable() -> None:
    assert info_word("longer than 9 b; a=b,c 5%") == "longer_than_9_b%3B_a%3Db%2Cc_5%25"


# Writing --------------------------------------------------------------------------------------

BODY = [
    "c1\t5\ta\tA\tC,<X>\t1e3\tq10\tDP=3;FLAG\tGT\t0|1",
    "c1\t9\t.\tA\t.\t.\tPASS\t.\tGT:PS\t./.:3",
    "c2\t3\t.\tA\tG\t.\t.\tEND=7\tGT\t0/1",
]


def output(path: Path, lines: list[str] | None = None, header: list[str] | None = None) -> Path:
    header = header or SAMPLED
    lines = BODY if lines is None else lines
    full = with_fields(header, {"use": "research"}, FIELDS)
    write_scored(scored(lines, header), full, FIELDS, path)
    return path


@pytest.mark.parametrize("ending", ["vcf", "vcf.gz", "bcf"])
def test_htslib_reads_what_is_written(ending: str, tmp_path: Path) -> None:
    pysam.set_verbosity(0)
    with pysam.VariantFile(str(output(tmp_path / f"y.{ending}"))) as file:
        found = [(r.chrom, r.pos, r.info.get("FINDNA_LLR"), r.alts) for r in file]
        description = file.header.info["FINDNA_LLR"].description
    assert found == [
        ("c1", 5, (0.5, None), ("C", "<X>")),
        ("c1", 9, None, None),
        ("c2", 3, (0.5,), ("G",)),
    ]
    assert "P" in description


@pytest.mark.parametrize("ending", ["vcf", "vcf.gz", "bcf", "tsv", "tsv.gz", "parquet"])
@pytest.mark.parametrize("header", [HEADER, SAMPLED])
def test_no_rows_make_a_valid_file(ending: str, header: list[str], tmp_path: Path) -> None:
    file = output(tmp_path / f"y.{ending}", [], header)
    if ending == "parquet":
        assert pq.read_table(file).num_rows == 0
    elif ending.startswith("tsv"):
        assert len(pd.read_csv(file, sep="\t")) == 0
    else:
        with pysam.VariantFile(str(file)) as records:
            assert list(records) == [] and "FINDNA_LLR" in records.header.info


def test_bcf_declares_what_the_input_did_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = output(tmp_path / "y.bcf")
    assert "BCF needs every name declared: c2, q10, DP, FLAG, END are declared" in caplog.text
    with open_vcf(file) as vcf:
        lines = [row.text() for row in vcf.rows]
    assert not [line for line in vcf.header if "bcftools" in line]
    assert lines == [
        "c1\t5\ta\tA\tC,<X>\t1000\tq10\tDP=3;FLAG;FINDNA_LLR=0.5,.;FINDNA_REASON=.,symbolic"
        "\tGT\t0|1",
        "c1\t9\t.\tA\t.\t.\tPASS\tFINDNA_REASON=no_alt\tGT:PS\t./.:3",
        "c2\t3\t.\tA\tG\t.\t.\tEND=7;FINDNA_LLR=0.5\tGT\t0/1",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["y.bcf", "y.bcf.csi"]


def test_what_bcf_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be written as BCF[\s\S]*\.vcf\.gz keeps it"):
        output(tmp_path / "y.bcf", ["c1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/x"])


def test_rows_that_are_no_bcf_are_kept_as_text(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"y\.bcf: the rows cannot[\s\S]*scored, are in .*y\.bcf\.vcf"
    ):
        output(tmp_path / "y.bcf", [BODY[0], "c1\t2147483648\t.\tA\tC\t.\t.\t.\tGT\t0/1"])
    assert [path.name for path in tmp_path.iterdir()] == ["y.bcf.vcf.gz"]
    with open_vcf(tmp_path / "y.bcf.vcf.gz") as kept:
        assert [row.pos for row in kept.rows] == [5, 1 << 31]


def test_a_place_beyond_bcf_is_refused_with_its_line_as_rows_stream(tmp_path: Path) -> None:
    lines = [
        *HEADER,
        "",
        f"c1\t{(1 << 31) - 1}\t.\tA\tC\t.\t.\t.",
        f"c1\t{1 << 31}\t.\tA\tC\t.\t.\t.",
    ]
    vcf = vcf_from(lines, "in.vcf")
    rows = within_format(vcf.rows, "in.vcf", tmp_path / "y.bcf")
    assert next(rows).line == len(HEADER) + 2
    with pytest.raises(BadInput, match=f"in.vcf, line {len(lines)}: POS is 2,147,483,648, but BCF"):
        next(rows)
    for name in (None, "-", "y.vcf.gz"):
        assert len(list(within_format(vcf_from(lines, "in.vcf").rows, "in.vcf", name))) == 2


def test_line_ends_of_windows_make_no_names_of_a_bcf(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    declared = [
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">\r',
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="d">\r',
        "##contig=<ID=c1>\r",
    ]
    header = [f"{HEADER[0]}\r", *declared, f"{COLUMNS}\tFORMAT\tS1\r"]
    rows = [
        f"c1\t{pos}\t.\tA\tC\t.\t.\tDP=3\t{last}\r" for pos, last in ((5, "GT\t0/1"), (6, ".\t."))
    ]
    file = output(tmp_path / "y.bcf", rows, header)
    assert "BCF needs every name declared" not in caplog.text
    with open_vcf(file) as vcf:
        assert [row.info for row in vcf.rows] == ["DP=3;FINDNA_LLR=0.5"] * 2


@pytest.mark.parametrize("said", ["[E::bgzf_flush] No space left on device", "cannot write to y"])
def test_a_full_disk_is_not_blamed_on_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    def full(*arguments: str, **settings: bool) -> None:
        raise pysam.utils.SamtoolsError(said)

    monkeypatch.setattr(pysam.bcftools, "view", full)
    monkeypatch.setattr("findna.sequence.bcf.no_room", lambda folder: "No space" not in said)
    with pytest.raises(FullDisk):
        output(tmp_path / "y.bcf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "row", ["c1\t20000\t.\tA\tG\t.\t.\t.", "c1\t5\t.\tA\t<DEL>\t.\t.\tEND=20000"]
)
def test_rows_beyond_the_length_in_the_header_are_written_without_an_index(
    row: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """htslib sizes the index of a BCF by that length."""
    end = '##INFO=<ID=END,Number=1,Type=Integer,Description="end">'
    header = [HEADER[0], "##contig=<ID=c1,length=3000>", end, COLUMNS]
    file = output(tmp_path / "y.bcf", [row], header)
    assert [path.name for path in tmp_path.iterdir()] == ["y.bcf"]
    assert "y.bcf: no index is written: a row extends beyond its chromosome" in caplog.text
    with open_vcf(file) as vcf:
        assert len(list(vcf.rows)) == 1
    monkeypatch.setattr("findna.sequence.variant_index.no_room", lambda folder: True)
    with pytest.raises(FullDisk):
        output(tmp_path / "z.bcf", [row], header)


@pytest.mark.parametrize("ending", ["vcf.gz", "tsv.gz", "bcf"])
def test_queries_find_the_rows_of_a_place(ending: str, tmp_path: Path) -> None:
    places = [("c1", p) for p in range(1, 90_000, 701)] + [("c2", p) for p in range(4, 40_000, 997)]
    lines = [f"{c}\t{p}\t.\tA\tC\t.\t.\t." for c, p in places]
    header = [HEADER[0], "##contig=<ID=c1>", "##contig=<ID=c2>", COLUMNS]
    file = str(output(tmp_path / f"y.{ending}", lines, header))
    for chrom, start, end in (("c1", 0, 1), ("c1", 20_000, 52_000), ("c2", 0, 30_000)):
        if ending == "bcf":
            with pysam.VariantFile(file) as records:
                found = [r.pos for r in records.fetch(chrom, start, end)]
        else:
            with pysam.TabixFile(file) as table:
                found = [int(line.split("\t")[1]) for line in table.fetch(chrom, start, end)]
        assert found == [p for c, p in places if c == chrom and start < p <= end]


def test_rows_out_of_order_get_no_index(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("y.vcf.gz.csi", "y.vcf.gz.tbi"):
        (tmp_path / name).write_text("of an older file")
    lines = ["c1\t9\t.\tA\tC\t.\t.\t.", "c1\t5\t.\tA\tC\t.\t.\t."]
    output(tmp_path / "y.vcf.gz", lines, HEADER)
    assert "the rows are not sorted: no index is written" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["y.vcf.gz"]
    torn = ["c1\t9\t.\tA\tC\t.\t.\t.", "c2\t5\t.\tA\tC\t.\t.\t.", "c1\t9\t.\tA\tC\t.\t.\t."]
    output(tmp_path / "z.tsv.gz", torn, HEADER)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["y.vcf.gz", "z.tsv.gz"]


def test_an_index_of_another_kind_does_not_outlive_its_file(tmp_path: Path) -> None:
    (tmp_path / "y.vcf.gz.csi").write_text("of an older file")
    output(tmp_path / "y.vcf.gz", BODY[:1], [*HEADER[:-1], SAMPLED[-1]])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["y.vcf.gz", "y.vcf.gz.tbi"]


def test_two_rows_of_one_place_are_sorted(tmp_path: Path) -> None:
    lines = [f"c1\t5\t.\tA\t{alt}\t.\t.\t." for alt in "CG"]
    output(tmp_path / "y.vcf.gz", lines, HEADER)
    assert (tmp_path / "y.vcf.gz.tbi").exists()


@pytest.mark.parametrize("ending", ["vcf.gz", "tsv.gz"])
def test_long_chromosomes_get_csi(ending: str, tmp_path: Path) -> None:
    place = (1 << 29) + 5
    lines = [f"c1\t5\t.\tA\tC\t.\t.\t.\nc1\t{place}\t.\tA\tC\t.\t.\t."]
    file = output(tmp_path / f"y.{ending}", lines[0].split("\n"), [HEADER[0], COLUMNS])
    assert (tmp_path / f"y.{ending}.csi").exists() and len(list(tmp_path.iterdir())) == 2
    with pysam.TabixFile(str(file), index=f"{file}.csi") as table:
        assert [x.split("\t")[1] for x in table.fetch("c1", place - 1, place)] == [str(place)]
    long = [HEADER[0], f"##contig=<ID=c1,length={place}>", COLUMNS]
    output(tmp_path / f"z.{ending}", ["c1\t5\t.\tA\tC\t.\t.\t."], long)
    assert (tmp_path / f"z.{ending}.csi").exists()


@pytest.mark.parametrize("info", ["END=600000000", "SVLEN=-600000000"])
def test_a_long_allele_gets_csi_where_no_length_is_said(info: str, tmp_path: Path) -> None:
    lines = [f"c1\t5\t.\tA\t<DEL>\t.\t.\t{info}"]
    file = output(tmp_path / "y.vcf.gz", lines, [HEADER[0], "##contig=<ID=c1>", COLUMNS])
    (index,) = (path for path in tmp_path.iterdir() if path != file)
    # htslib passes over SVLEN before 1.22, and makes an index that serves.
    assert index.name == "y.vcf.gz.csi" or "SVLEN" in info
    with pysam.TabixFile(str(file), index=str(index)) as table:
        assert len(list(table.fetch("c1", 4, 5))) == 1


def test_tables_have_a_row_an_allele(tmp_path: Path) -> None:
    frame = allele_frame(scored(BODY, SAMPLED), FIELDS)
    assert list(frame.columns) == ["chrom", "pos", "id", "ref", "alt", *(f.name for f in FIELDS)]
    assert frame["pos"].tolist() == [5, 5, 9, 3] and frame["alt"].tolist() == ["C", "<X>", ".", "G"]
    np.testing.assert_equal(frame["FINDNA_LLR"].to_numpy(), [0.5, np.nan, np.nan, 0.5])
    assert frame["FINDNA_REASON"].fillna("").tolist() == ["", "symbolic", "no_alt", ""]
    pd.testing.assert_frame_equal(pd.read_parquet(output(tmp_path / "y.parquet")), frame)
    assert pq.read_schema(tmp_path / "y.parquet").metadata[b"findna_use"] == b"research"
    for ending in ("tsv", "tsv.gz"):
        file = output(tmp_path / f"y.{ending}")
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if ending == "tsv.gz" else raw).decode()
        assert text.splitlines()[:3] == [
            "#chrom\tpos\tid\tref\talt\tFINDNA_LLR\tFINDNA_REASON",
            "c1\t5\ta\tA\tC\t0.5\tNA",
            "c1\t5\ta\tA\t<X>\tNA\tsymbolic",
        ]


def test_bytes_that_are_no_utf8_become_marks_in_a_table(tmp_path: Path) -> None:
    file = output(tmp_path / "y.parquet", ["c1\t5\t\udcffé\tA\tC\t.\t.\t.\tGT\t0"])
    assert pd.read_parquet(file)["id"].tolist() == ["\ufffdé"]


def test_endings_name_formats(tmp_path: Path) -> None:
    assert variant_format("a.VCF.GZ") == "vcf.gz" and variant_format("-") == "vcf"
    for name in ("a.txt", "a.gz", "vcf", "a.parquet.gz"):
        with pytest.raises(BadInput, match="does not say which format"):
            variant_format(name)


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.vcf").mkdir()
    (tmp_path / "file.vcf").touch()
    with pytest.raises(BadInput, match="is a folder"):
        refuse_output(tmp_path / "folder.vcf", overwrite=True)
    with pytest.raises(BadInput, match="exists"):
        refuse_output(tmp_path / "file.vcf", overwrite=False)
    for name in ("-", tmp_path / "file.vcf", tmp_path / "new.bcf"):
        refuse_output(name, overwrite=True)


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    file = output(tmp_path / "y.vcf.gz")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def broken() -> Iterable[Scored]:
        yield from scored(BODY, SAMPLED)
        raise RuntimeError("stop")

    for name in ("y.vcf.gz", "z.bcf", "z.parquet", "z.tsv"):
        with pytest.raises(RuntimeError, match="stop"):
            header = with_fields(SAMPLED, {}, FIELDS)
            write_scored(broken(), header, FIELDS, tmp_path / name, overwrite=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    with pytest.raises(BadInput, match="exists"):
        output(file)
