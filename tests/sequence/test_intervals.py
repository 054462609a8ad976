"""BED files, places as text, arithmetic on runs."""

import gzip
import io
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from findna.files import BadInput
from findna.sequence import intervals
from findna.sequence.genome import Genome
from findna.sequence.intervals import (
    GFF_TO_BED,
    LINE,
    intersect,
    merge,
    read_bed,
    refuse_unknown,
    regions_bed,
    subtract,
    to_store,
)
from findna.sequence.regions import Region, parse_region

GENOME = ">chr1\nACGTACGTAC\n>chr2\nGGGGG\n"
REGIONS = ">chr1:100-110\nACGTACGTAC\n>chr2:0-5\nGGGGG\n>chr1:108-112\nTTTT\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text or bytes to a file and return its path."""

    def write(content: str | bytes, name: str = "a.bed") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


# BED ------------------------------------------------------------------------------------------


def test_a_bed_by_hand(write: Callable[..., Path]) -> None:
    text = (
        "browser position chr1\ntrack name=x\n# comment\n\n"
        "1\t5\t10\tpeak\t0.5\t-\t7\tx y\n2\t0\t3\t.\t1\t+\t8\t\r\n"
    )
    bed = read_bed(write(text))
    assert list(bed) == [
        "chrom", "start", "end", "name", "score", "strand", "column_7", "column_8", LINE,
    ]  # fmt: skip
    assert bed["chrom"].tolist() == ["1", "2"]
    assert bed["start"].dtype == bed["end"].dtype == np.int64
    assert bed[["start", "end"]].to_numpy().tolist() == [[5, 10], [0, 3]]
    assert bed["strand"].tolist() == ["-", "+"] and bed["score"].tolist() == ["0.5", "1"]
    assert bed["column_8"].tolist() == ["x y", ""] and bed[LINE].tolist() == [5, 6]


def test_three_columns_spaces_and_gzip(write: Callable[..., Path]) -> None:
    bed = read_bed(write(gzip.compress(b"\xef\xbb\xbfchr1 5 10\nchr1 7 8\n")))
    assert bed["chrom"].tolist() == ["chr1", "chr1"] and bed["start"].tolist() == [5, 7]
    assert set(bed["name"]) | set(bed["score"]) | set(bed["strand"]) == {"."}


@pytest.mark.parametrize("mark", ["#", "# ", ""])
def test_a_header_names_the_columns(write: Callable[..., Path], mark: str) -> None:
    bed = read_bed(write(f"# made by me\n{mark}chrom\tstart\tend\tlabel\n1\t2\t3\tyes\n"))
    assert bed["label"].tolist() == ["yes"] and bed["name"].tolist() == ["."]
    assert bed.loc[0, ["chrom", "start", "end"]].tolist() == ["1", 2, 3]


def test_only_the_first_header_names_the_columns(write: Callable[..., Path]) -> None:
    text = "#chrom\tstart\tend\tone\n1\t2\t3\ta\n#chrom\tstart\tend\tother\n1\t5\t9\tb\n"
    bed = read_bed(write(text))
    assert bed["one"].tolist() == ["a", "b"] and "other" not in bed
    with pytest.raises(BadInput, match="line 2: start is 'start', not a whole number"):
        read_bed(write("1\t2\t3\nchrom\tstart\tend\n"))


def test_standard_input_and_nothing_in_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1\t2\t3\n")))
    assert len(read_bed("-")) == 1 and not caplog.records
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"# nothing\n")))
    empty = read_bed("-")
    assert len(empty) == 0 and empty["start"].dtype == np.int64
    assert "has no intervals" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\t2\n", r"a\.bed, line 1: has 2 columns"),
        ("# c\n1\t2\t3\n1\t2\t3\t4\n", r"line 3: has 4 columns where the lines before have 3"),
        ("1\t2\t3\n1\tx\t3\n", r"line 2: start is 'x', not a whole number"),
        ("1\t2\t3.5\n", r"line 1: end is '3\.5', not a whole number"),
        ("1\t1,000\t2,000\n", r"start is '1,000'"),
        ("1\t-2\t3\n", r"line 1: 1:-2-3: start is below 0"),
        ("1\t2\t3\n1\t9\t3\n", r"line 2: 1:9-3: end is before start"),
        ("1\t2\t3\tn\t0\tforward\n", r"line 1: 1:2-3: column 6 \(strand\)"),
        (">chr1\nACGT\n", r"line 1: has 1 columns"),
        (b"1\t2\t3\n\xff\xff\t2\t3\n", r"line 2: .*not UTF-8"),
        (b"PK\x03\x04", "Save As > CSV"),
        ("##gff-version 3\n1\tx\tgene\t5\t9\t.\t+\t.\tID=g\n", r"a\.bed: is a GFF or GTF: a BED"),
        ("1\t1_0\t2_0\n", "not a whole number"),
        ("1\t2\t99999999999999999999\n", "not a whole number"),
    ],
)
def test_bad_beds(write: Callable[..., Path], text: str | bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_bed(write(text))


rows = st.tuples(
    st.sampled_from(["1", "chrX", "007", "NA", "ctg|1"]),
    st.integers(0, 2**40),
    st.integers(0, 1000),
    st.sampled_from(["+", "-", "."]),
)
noise = st.sampled_from(["#x\n", "\n", "track a=b\n", "browser x\n", "  \n"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(rows, st.lists(noise, max_size=2)), min_size=1, max_size=20),
    st.sampled_from([1, 3, 1 << 16]),
)
def test_round_trip(
    tmp_path: Path, lines: list[tuple[tuple[str, int, int, str], list[str]]], block: int
) -> None:
    text = "".join(
        "".join(before) + f"{chrom}\t{start}\t{start + length}\tn\t0\t{strand}\n"
        for (chrom, start, length, strand), before in lines
    )
    (tmp_path / "a.bed").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "_BLOCK", block)
        bed = read_bed(tmp_path / "a.bed")
    assert bed.index.tolist() == list(range(len(lines)))
    assert bed["chrom"].tolist() == [row[0] for row, _ in lines]
    assert bed["start"].tolist() == [row[1] for row, _ in lines]
    assert (bed["end"] - bed["start"]).tolist() == [row[2] for row, _ in lines]
    assert bed["strand"].tolist() == [row[3] for row, _ in lines]
    written = text.splitlines()
    assert [written[n - 1].split("\t")[1] for n in bed[LINE]] == bed["start"].astype(str).tolist()


# Regions --------------------------------------------------------------------------------------


def test_region_strings_count_from_one() -> None:
    assert parse_region("chr7:1,001-2,000") == Region("chr7", 1000, 2000)
    assert parse_region(" HLA:A*01:5-5 ") == Region("HLA:A*01", 4, 5)


@pytest.mark.parametrize("text", ["chr7", "chr7:5", "chr7:0-5", "chr7:9-5", "chr7:,-5", ":1-2"])
def test_bad_region_strings(text: str) -> None:
    with pytest.raises(BadInput, match="1-based"):
        parse_region(text)


# BED to runs ----------------------------------------------------------------------------------


def frame(*intervals: tuple[str, int, int]) -> pd.DataFrame:
    bed = pd.DataFrame(list(intervals), columns=["chrom", "start", "end"])
    return bed.astype({"start": "int64", "end": "int64"})


def test_to_store_joins_within_records_only(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(GENOME, "g.fa"))
    bed = frame(("2", 0, 2), ("chr1", 5, 10), ("chr1", 3, 5), ("chr1", 0, 1), ("chr1", 9, 9))
    # chr1:3-10 ends where chr2 begins in the store; they stay two runs.
    assert to_store(genome, bed, source="x").tolist() == [[0, 1], [3, 10], [10, 12]]
    assert to_store(genome, bed[:0], source="x").shape == (0, 2)
    twice = frame(("chr1", 0, 5), ("1", 3, 8))
    assert to_store(genome, twice, source="x").tolist() == [[0, 8]]


def test_to_store_of_regions(write: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    genome = Genome.open(write(REGIONS, "g.fa"))
    bed = frame(("chr1", 102, 105), ("chr1", 109, 500), ("chr2", 7, 9), ("chr1", 0, 100))
    # Base 109 lies in two regions and is found in both.
    assert to_store(genome, bed, source="x").tolist() == [[2, 5], [9, 10], [16, 19]]
    assert "2 of 4 intervals lie outside" in caplog.text and "1 partly" in caplog.text


def test_an_interval_in_regions_that_touch_or_overlap_is_whole(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    genome = Genome.open(write(">1:10-14\nACGT\n>1:14-18\nACGT\n>1:17-20\nTAC\n>1:30-32\nAC\n"))
    to_store(genome, frame(("1", 12, 16), ("1", 10, 20), ("1", 30, 32)), source="x")
    assert not caplog.text
    to_store(genome, frame(("1", 9, 12), ("1", 18, 31), ("1", 12, 16)), source="x")
    assert "0 of 3 intervals lie outside" in caplog.text and "2 partly" in caplog.text


def test_an_interval_far_beyond_the_regions_is_refused(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(REGIONS, "g.fa"))
    bed = frame(("chr1", 102, 105), ("chr1", 102, 99_999_999_999_999))
    for refuses in (to_store, refuse_unknown):
        with pytest.raises(BadInput, match=r"far beyond the last region of .*, which ends at"):
            refuses(genome, bed, source="x.bed")


def test_a_region_no_chromosome_has() -> None:
    with pytest.raises(BadInput, match=r"record chr1:1-9{20}: no chromosome is as long"):
        regions_bed([f"chr1:1-{'9' * 20}"])


def test_to_store_counts_unknown_chromosomes(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    genome = Genome.open(write(GENOME, "g.fa"))
    bed = frame(("chr1", 0, 4), ("chr9", 0, 4), ("chr8", 0, 4), ("chr9", 0, 4))
    assert to_store(genome, bed, source="x.bed").tolist() == [[0, 4]]
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "3 of 4 intervals" in caplog.text and "(chr9, chr8)" in caplog.text


def test_to_store_refuses_other_builds_and_namings(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(GENOME, "g.fa"))
    bed = read_bed(write("# c\nchr1\t0\t4\n2\t3\t6\n"))
    with pytest.raises(BadInput, match=r"a\.bed, line 3: 2:3-6: .* 5 bases .*\n .*another build"):
        to_store(genome, bed, source="a.bed")
    with pytest.raises(BadInput, match="NC_1 here, chr1, chr2 there"):
        to_store(genome, frame(("NC_1", 0, 3)), source="a.bed")


# Runs: against sets of integers ---------------------------------------------------------------

runs = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 8)).map(lambda r: (r[0], r[0] + r[1])), max_size=8
).map(lambda pairs: np.array(pairs, dtype=np.int64).reshape(-1, 2))


def bases(array: np.ndarray) -> set[int]:
    return {base for start, end in array.tolist() for base in range(start, end)}


def is_runs(array: np.ndarray) -> bool:
    """Sorted, not empty, not overlapping."""
    return bool((array[:, 1] > array[:, 0]).all() and (array[1:, 0] >= array[:-1, 1]).all())


@given(runs, runs)
def test_arithmetic_agrees_with_sets(one: np.ndarray, two: np.ndarray) -> None:
    both, rest = intersect(one, two), subtract(one, two)
    assert bases(both) == bases(one) & bases(two)
    assert bases(rest) == bases(one) - bases(two)
    for touching in (False, True):
        joined = merge(one, touching)
        assert bases(joined) == bases(one) and is_runs(joined)
        if touching:
            assert (joined[1:, 0] > joined[:-1, 1]).all()
    assert is_runs(both) and is_runs(rest)
    assert both.dtype == rest.dtype == np.int64


def test_touching_runs_stay_apart() -> None:
    records = np.array([[0, 10], [10, 20]])
    assert merge(records).tolist() == [[0, 10], [10, 20]]
    assert merge(records, touching=True).tolist() == [[0, 20]]
    assert intersect(np.array([[5, 15]]), records).tolist() == [[5, 10], [10, 15]]
    assert intersect(records, np.array([[5, 15]])).tolist() == [[5, 10], [10, 15]]
    assert subtract(records, np.array([[4, 5], [5, 6]])).tolist() == [[0, 4], [6, 10], [10, 20]]


def test_wheat_sized_offsets() -> None:
    far = np.array([[16_000_000_000, 17_000_000_000]])
    assert subtract(far, far - 500_000_000).tolist() == [[16_500_000_000, 17_000_000_000]]
    assert intersect(far, far + 1).tolist() == [[16_000_000_001, 17_000_000_000]]


@pytest.mark.skipif(not shutil.which("awk"), reason="no awk")
def test_the_line_that_makes_a_bed_of_a_gff_does(tmp_path: Path) -> None:
    gff = "##gff-version 3\nc1\tx\tgene\t5\t9\t.\t?\t.\tID=g\nc1\tx\tCDS\t2\t4\t.\t-\t0\tID=h\n"
    (tmp_path / "OLD.gff").write_text(f"{gff}##FASTA\n>c1 whole\nACGTACGTACGT\n")
    subprocess.run(GFF_TO_BED, shell=True, check=True, cwd=tmp_path)
    bed = read_bed(tmp_path / "NEW.bed")
    assert bed[["start", "end", "name", "strand"]].to_numpy().tolist() == [
        [4, 9, "gene", "."],
        [1, 4, "CDS", "-"],
    ]


def test_a_header_in_capitals_names_the_same_columns(write: Callable[..., Path]) -> None:
    text = "Chromosome\tStart\tEnd\tName\tScore\tStrand\tMine\nchr1\t1\t2\ta\t0\t-\tx\n"
    bed = read_bed(write(text))
    assert bed["strand"].tolist() == ["-"] and bed["name"].tolist() == ["a"]
    assert bed["Mine"].tolist() == ["x"]
    with pytest.raises(BadInput, match="line 1: two columns are named 'name'"):
        read_bed(write("#chrom\tstart\tend\tname\tName\nchr1\t1\t2\ta\tb\n"))
