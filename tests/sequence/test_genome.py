"""Genomes: reading FASTA, the store, places, and what bad files get."""

import gzip
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from findna.files import BadInput, FindnaError
from findna.sequence import fasta
from findna.sequence.alphabet import LetterCounts, codes_of, decode, encode, soft_of
from findna.sequence.genome import Genome
from findna.sequence.store import open_store

Runs = list[list[int]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text or bytes to a file and return its path."""

    def write(content: str | bytes, name: str = "g.fa") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def runs_of(flags: np.ndarray, borders: np.ndarray) -> Runs:
    """Plain loop: runs of True that never cross a border."""
    runs: Runs = []
    for place, flag in enumerate(flags.tolist()):
        if flag and runs and runs[-1][1] == place and place not in borders:
            runs[-1][1] += 1
        elif flag:
            runs.append([place, place + 1])
    return runs


# Reading and storing --------------------------------------------------------------------------


def test_a_genome_by_hand(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(">chr1 first\nACGTNN\nacgtR\n\n>chr2\r\nGGUN\r\n>3\nN\n"))
    assert genome.names == genome.chroms == ("chr1", "chr2", "3")
    assert genome.lengths.tolist() == [11, 4, 1] and genome.offsets.tolist() == [0, 11, 15]
    assert genome.total == 16 and genome.starts.tolist() == [0, 0, 0] and not genome.mapped
    assert decode(codes_of(genome.store)) == "ACGTNNACGTNGGTNN"
    assert np.flatnonzero(soft_of(genome.store)).tolist() == [6, 7, 8, 9]
    assert genome.n_runs.tolist() == [[4, 6], [10, 11], [14, 15], [15, 16]]
    assert genome.soft_runs.tolist() == [[6, 10]]
    assert genome.letter_counts == LetterCounts(ambiguous=1, uracil=1, soft_masked=4, letters=16)
    assert {chrom: row.tolist() for chrom, row in genome.composition().items()} == {
        "chr1": [2, 2, 2, 2, 3],
        "chr2": [0, 0, 2, 1, 1],
        "3": [0, 0, 0, 0, 1],
    }
    assert genome.record_at(np.array([[0, 10], [11, 15]])).tolist() == [[0, 0], [1, 2]]


sequences = st.text(alphabet="ACGTNacgtnRyU", min_size=1, max_size=80)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(sequences, min_size=1, max_size=4),
    st.integers(1, 30),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(0, 2),
    st.booleans(),
    st.integers(1, 40),
)
def test_any_layout_reads_the_same(
    tmp_path: Path,
    letters: list[str],
    width: int,
    line_end: str,
    blanks: int,
    final: bool,
    chunk_size: int,
) -> None:
    """Line width, line ends, blank lines and chunk borders change nothing; counts by loop."""
    lines = []
    for i, text in enumerate(letters):
        lines += [f">r{i} any > words"] + [""] * blanks
        lines += [text[j : j + width] for j in range(0, len(text), width)]
    content = line_end.join(lines) + (line_end if final else "")
    path = tmp_path / "g.fa"
    path.write_bytes(content.encode())
    store = open_store([str(path)], tmp_path / "cache", chunk_size)
    joined = "".join(letters)
    assert store.names == tuple(f"r{i}" for i in range(len(letters)))
    assert store.lengths.tolist() == [len(text) for text in letters]
    assert np.array_equal(codes_of(store.bases), encode(joined))
    upper = [text.upper().replace("U", "T").replace("R", "N").replace("Y", "N") for text in letters]
    assert store.composition.tolist() == [[t.count(c) for c in "ACGTN"] for t in upper]
    borders = np.cumsum(store.lengths)
    soft = np.array([c.islower() for c in joined])
    assert store.n_runs.tolist() == runs_of(codes_of(store.bases) == 4, borders)
    assert store.soft_runs.tolist() == runs_of(soft, borders)
    assert store.counts.soft_masked == soft.sum()
    assert store.counts.uracil == joined.count("U")


def test_digest_is_of_names_and_letters_only(write: Callable[..., Path]) -> None:
    def digest(text: str, name: str) -> str:
        return Genome.open(write(text, name)).digest

    one = digest(">a\nACGT\n>b\nTTNN\n", "1.fa")
    assert one.startswith("sha256:") and len(one) == 71
    assert digest(">a words\nac\ngu\r\n>b\nTTRY", "2.fa") == one
    assert digest(">a\nACGTT\n>b\nTNN\n", "3.fa") != one
    assert digest(">a\nACGT\n>c\nTTNN\n", "4.fa") != one


def test_plain_gzip_bgzip_stdin_and_pipe_agree(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    letters = "".join(rng.choice(list("ACGTacgtN"), 200_000))
    text = f">chr1\n{letters[:150_000]}\n>chr2\n{letters[150_000:]}\n".encode()
    plain, packed = write(text), write(gzip.compress(text), "g.fa.gz")
    pysam.tabix_compress(str(plain), str(tmp_path / "b.fa.gz"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(text))))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["cp", str(plain), str(pipe)])
    genomes = [Genome.open(p) for p in (plain, packed, tmp_path / "b.fa.gz", "-", pipe)]
    assert writer.wait() == 0
    for genome in genomes:
        assert genome.digest == genomes[0].digest
        assert np.array_equal(genome.store, genomes[0].store)
        assert np.array_equal(genome.soft_runs, genomes[0].soft_runs)
    assert "".join(decode(codes_of(genomes[0].store))) == letters.upper()


def test_standard_input_keeps_its_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text in (b">a\nACGT\n", b">a\nacgt\n", b">a\nACGT\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        genome = Genome.open("-", cache=tmp_path)
        assert soft_of(genome.store).all() == (b"acgt" in text)
    assert len(list((tmp_path / "genomes").iterdir())) == 2


def test_what_a_killed_process_left_of_a_pipe_goes_after_a_day(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b">a\nACGT\n")))
    old, new = (tmp_path / "genomes" / f".tmp-1-{n}-stream-1-{n}" for n in (0, 1))
    for left in (old, new):
        left.mkdir(parents=True)
        (left / "bases.u8").write_bytes(b"\0" * 9)
    for path in (old / "bases.u8", old):
        os.utime(path, times=(time.time() - 100_000,) * 2)
    Genome.open("-", cache=tmp_path)
    assert new.exists() and not old.exists()


def test_standard_input_keeps_its_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text, uracil in ((b">a\nACGU\n", 1), (b">a\nACGT\n", 0)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        assert Genome.open("-", cache=tmp_path).letter_counts.uracil == uracil


def test_several_files_are_one_genome(write: Callable[..., Path]) -> None:
    one, two = write(">a\nAC\n", "1.fa"), write(">b\nGGN\n", "2.fa")
    genome = Genome.open([one, two])
    assert genome.names == ("a", "b") and decode(codes_of(genome.store)) == "ACGGN"
    assert genome.source == f"{one}, {two}"
    with pytest.raises(BadInput, match=r"1\.fa, record a, line 1: the name occurs twice; first in"):
        Genome.open([one, two, one])


def test_the_bases_stay_on_disk(write: Callable[..., Path], tmp_path: Path) -> None:
    """One record of 8 Mb, read in chunks of 64 kb, needs memory for chunks only."""
    path = write(b">a\n" + b"ACGTTGCA" * 1_000_000)
    tracemalloc.start()
    store = open_store([str(path)], tmp_path / "cache", 1 << 16)
    genome = Genome.open(path, cache=tmp_path / "cache")
    genome.fetch("a", 5_000_000, 5_000_100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(store.bases, np.memmap) and len(store.bases) == 8_000_000
    assert peak < 2_000_000


def test_a_worker_process_gets_no_bases(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(">a:10-100010\n" + "ACGT" * 25_000))
    data = pickle.dumps(genome)
    assert len(data) < 5_000
    again = pickle.loads(data)
    assert again.fetch("a", 10, 14).codes.tolist() == [0, 1, 2, 3]
    assert again.digest == genome.digest and again.mapped


# The cache ------------------------------------------------------------------------------------


def stores(cache: Path) -> list[Path]:
    return [path for path in (cache / "genomes").iterdir() if path.is_dir()]


def test_indexed_once_and_again_after_a_change(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    path = write(">a\nACGT\n")
    first = Genome.open(path, cache=cache)
    (made,) = stores(cache)
    monkeypatch.setattr(fasta, "read_pieces", None)
    again = Genome.open(path, cache=cache)
    assert again.digest == first.digest and not again.store.flags.writeable
    monkeypatch.undo()
    write(">a\nACGTA\n")
    assert Genome.open(path, cache=cache).total == 5
    assert made not in stores(cache) and len(stores(cache)) == 1
    # The old map is still readable by whoever holds it.
    assert decode(codes_of(first.store)) == "ACGT"


def test_runs_end_where_their_record_does(write: Callable[..., Path], tmp_path: Path) -> None:
    genome = Genome.open(write(">a\nACGnt\n>b\ntnCG\n>c\nn\n>d\nn\n"), cache=tmp_path)
    assert genome.soft_runs.tolist() == [[3, 5], [5, 7], [9, 10], [10, 11]]
    assert genome.n_runs.tolist() == [[3, 4], [6, 7], [9, 10], [10, 11]]


@pytest.mark.parametrize("ends", [1 << 16, 4], ids=["at the beginning", "at the end"])
def test_same_size_and_time_but_other_letters_is_a_change(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: int
) -> None:
    monkeypatch.setattr("findna.sequence.store._END_BYTES", ends)
    path = write(">a\nACGT\n")
    status = path.stat()
    before = Genome.open(path, cache=tmp_path).digest
    write(">a\nACGA\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Genome.open(path, cache=tmp_path).digest != before


def test_a_touched_file_is_indexed_again(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(">a\nACGT\n")
    Genome.open(path, cache=tmp_path)
    (before,) = stores(tmp_path)
    os.utime(path, ns=(0, 0))
    Genome.open(path, cache=tmp_path)
    assert stores(tmp_path) != [before]


def test_a_file_that_changes_while_read_is_refused(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(">a\nACGT\n")
    read = fasta.read_pieces

    def meddle(*args: object) -> object:
        yield from read(*args)  # type: ignore[arg-type]
        path.write_text(">a\nACGTACGT\n")

    monkeypatch.setattr(fasta, "read_pieces", meddle)
    with pytest.raises(BadInput, match="changed while it was being read"):
        Genome.open(path, cache=tmp_path / "cache")
    assert stores(tmp_path / "cache") == []


def test_what_a_killed_process_left_goes_where_there_are_locks(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = write(">a\nACGT\n"), tmp_path / "cache"
    Genome.open(path, cache=cache)
    (made,) = stores(cache)
    dead = made.with_name(f".tmp-1-abcd-{made.name}")
    other = made.with_name(f".tmp-1-abcd-{'0' * 16}-{'0' * 16}")
    for folder in (dead, other):
        folder.mkdir()
        (folder / "bases.u8").write_bytes(b"ACGT")
    write(">a\nACGTA\n")
    with monkeypatch.context() as without_locks:
        without_locks.setattr("fcntl.flock", no_lock)
        Genome.open(path, cache=cache)
    assert dead.exists()
    write(">a\nACGTAC\n")
    Genome.open(path, cache=cache)
    assert not dead.exists() and other.exists()


def no_lock(*_: object) -> None:
    raise OSError("no locks here")


def test_two_processes_index_at_once(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(b">a\n" + b"ACGTTGCAN" * 300_000)
    code = (
        "import sys; from pathlib import Path; from findna.sequence.genome import Genome; "
        "print(Genome.open(sys.argv[1], cache=Path(sys.argv[2])).digest)"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    digests = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(digests) == 1 and len(stores(tmp_path / "cache")) == 1


def test_without_locks_the_second_keeps_the_store_of_the_first(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read, cache = write(">a\nACGT\n"), fasta.read_pieces, tmp_path / "cache"

    def overtaken(*args: object) -> object:
        monkeypatch.setattr(fasta, "read_pieces", read)
        Genome.open(path, cache=cache)
        return read(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("fcntl.flock", no_lock)
    monkeypatch.setattr(fasta, "read_pieces", overtaken)
    assert Genome.open(path, cache=cache).total == 4
    assert len(stores(cache)) == 1


def test_a_full_disk_leaves_no_half_index(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(">a\nACGT\n")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dumps", full)
    monkeypatch.setattr("findna.sequence.store._short_hash", lambda what: "x" * 16)
    with pytest.raises(FindnaError, match="the disk is full"):
        Genome.open(path, cache=tmp_path / "cache")
    assert stores(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands here")
    with pytest.raises(FindnaError, match="FINDNA_CACHE"):
        Genome.open(write(">a\nA\n"), cache=tmp_path / "cache")


# Places ---------------------------------------------------------------------------------------


def test_fetch_past_the_ends(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(">a\nACgT\n>b\nTTTT\n"))
    fetched = genome.fetch("a", -2, 6)
    assert decode(fetched.codes) == "NNACGTNN"
    assert fetched.inside.tolist() == [False] * 2 + [True] * 4 + [False] * 2
    assert np.flatnonzero(fetched.soft).tolist() == [4]
    turned = genome.fetch("a", -1, 7, "-")
    assert decode(turned.codes) == "NNNACGTN"
    assert np.flatnonzero(turned.inside).tolist() == [3, 4, 5, 6]
    assert np.flatnonzero(turned.soft).tolist() == [4]
    assert turned.soft.flags.c_contiguous and np.flatnonzero(genome.fetch("a", -1, 7).soft)[0] == 3
    assert not genome.fetch("a", 10, 20).inside.any()
    assert genome.fetch("a", 2, 2).codes.shape == (0,)
    for wrong in ((3, 2, "+"), (0, 1, "*")):
        with pytest.raises(ValueError):
            genome.fetch("a", *wrong)


def test_fetch_agrees_with_pysam(write: Callable[..., Path], rng: np.random.Generator) -> None:
    letters = ["".join(rng.choice(list("ACGTNacgtn"), n)) for n in (1000, 37, 400)]
    text = ""
    for i, record in enumerate(letters):
        text += f">c{i}\n" + "".join(record[j : j + 60] + "\n" for j in range(0, len(record), 60))
    path = write(text)
    genome = Genome.open(path)
    with pysam.FastaFile(str(path)) as peer:
        assert peer.references == list(genome.names) or tuple(peer.references) == genome.names
        for _ in range(200):
            record = int(rng.integers(3))
            start, end = sorted(rng.integers(0, len(letters[record]) + 1, 2).tolist())
            theirs = peer.fetch(f"c{record}", start, end)
            ours = genome.fetch(f"c{record}", start, end)
            assert decode(ours.codes) == theirs.upper() and ours.inside.all()
            assert ours.soft.tolist() == [letter.islower() for letter in theirs]


@pytest.mark.parametrize(
    ("own", "asked"),
    [("chr1", "1"), ("1", "chr1"), ("Chr1", "chr1"), ("chrM", "MT"), ("MT", "chrM"),
     ("Mito", "chrM"), ("chrX", "x"), ("I", "chrI")],
)  # fmt: skip
def test_names_are_matched_with_one_warning(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture, own: str, asked: str
) -> None:
    genome = Genome.open(write(f">{own}\nACGT\n>other\nA\n"))
    assert genome.resolve(own) == own
    assert not caplog.records
    assert [genome.resolve(asked), genome.resolve(asked)] == [own, own]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert own in caplog.text and asked in caplog.text


def test_names_that_match_nothing_or_two(write: Callable[..., Path]) -> None:
    text = "".join(f">s{i}\nA\n" for i in range(7)) + ">1\nA\n>chr1\nC\n"
    genome = Genome.open(write(text))
    assert (genome.resolve("1"), genome.resolve("chr1")) == ("1", "chr1")
    known = "it has s0, s1, s2, s3, s4 and 4 more"
    with pytest.raises(BadInput, match=f"no chromosome 'Chr1'; {known}"):
        genome.resolve("Chr1")
    assert genome.resolve_all(["chr1", "nope"], source="x.bed") == {"chr1": "chr1"}
    with pytest.raises(BadInput, match=r"x\.bed: has no chromosome of .*: p, q here, s0, s1"):
        genome.resolve_all(["p", "q", "p"], source="x.bed")


def test_rna_and_iupac_are_said(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    Genome.open(write(">a\nACUURYACGTACGTACGTACGTACGT\n"))
    said = {record.levelno: record.getMessage() for record in caplog.records[1:]}
    assert "2 U read as T" in said[logging.WARNING]
    assert "2 IUPAC letters read as N" in said[logging.INFO]


# Regions as places ----------------------------------------------------------------------------


def test_zero_based_headers_are_places(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    genome = Genome.open(write(">chr1:10-14\nACGT\n>chr2:0-2\nGG\n>chr1:12-17\nTTTTT\n"))
    assert genome.mapped and "0-based half-open" in caplog.text
    assert genome.names == ("chr1:10-14", "chr2:0-2", "chr1:12-17")
    assert genome.chroms == ("chr1", "chr2", "chr1") and genome.starts.tolist() == [10, 0, 12]
    assert genome.ends.tolist() == [14, 2, 17]
    # Where regions overlap the first one answers; between them stands N.
    fetched = genome.fetch("chr1", 8, 18)
    assert decode(fetched.codes) == "NNACGTTTTN"
    assert np.flatnonzero(~fetched.inside).tolist() == [0, 1, 9]
    assert genome.records_of("1").tolist() == [0, 2]
    assert genome.composition()["chr1"].tolist() == [1, 1, 1, 6, 0]


def test_names_before_places_are_no_part_of_the_chromosome(write: Callable[..., Path]) -> None:
    """As `bedtools getfasta -name` writes them: overlapping pieces lie on one chromosome."""
    for regions in ("auto", "0-based"):
        path = write(">p1::chr1:10-14\nACGT\n>a::p2::chr1:12-17\nGTTTT\n")
        genome = Genome.open(path, regions=regions)
        assert genome.chroms == ("chr1", "chr1") and genome.starts.tolist() == [10, 12]
        assert genome.names == ("p1::chr1:10-14", "a::p2::chr1:12-17")


def test_one_based_headers_are_places(write: Callable[..., Path]) -> None:
    genome = Genome.open(write(">chr1:1,011-1,014\nACGT\n>HLA:A:1-2\nGG\n"))
    assert genome.mapped and genome.chroms == ("chr1", "HLA:A")
    assert genome.starts.tolist() == [1010, 0]
    assert decode(genome.fetch("chr1", 1010, 1014).codes) == "ACGT"


@pytest.mark.parametrize(
    "text",
    [
        ">chr1:10-14\nACGT\n>chr2:1-2\nGG\n",  # one fits each way
        ">chr1:10-14\nACGTAC\n",
        ">chr1:0-3\nACGT\n",  # 1-based cannot begin at 0
    ],
)
def test_headers_that_do_not_fit_one_way_are_names(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture, text: str
) -> None:
    genome = Genome.open(write(text))
    assert not genome.mapped and genome.chroms == genome.names
    assert "look like regions" in caplog.text


def test_strands_behind_places_are_no_part_of_the_name(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """As `bedtools getfasta -s` writes them: what was turned is no piece of the genome."""
    genome = Genome.open(write(">chr1:10-14(+)\nACGT\n>p::chr2:1-3(+)\nGG\n"))
    assert genome.chroms == ("chr1", "chr2") and genome.starts.tolist() == [10, 1]
    genome = Genome.open(write(">chr1:10-14(+)\nACGT\n>chr2:1-3(-)\nGG\n"))
    assert not genome.mapped and genome.chroms == genome.names
    assert "1 of 2 records are on the minus strand and so not pieces of a genome" in caplog.text


@pytest.mark.parametrize("regions", ["auto", "0-based"])
def test_headers_of_places_no_chromosome_has(write: Callable[..., Path], regions: str) -> None:
    name = f"chr1:{10**20}-{10**20 + 4}"
    with pytest.raises(BadInput, match=f"record {name}: no chromosome is as long"):
        Genome.open(write(f">{name}\nACGT\n"), regions=regions)


def test_ordinary_names_and_regions_off(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert not Genome.open(write(">chr1\nACGT\n>chr1:0-2\nAC\n")).mapped
    assert not Genome.open(write(">chr1:0-4\nACGT\n"), regions="off").mapped
    assert not caplog.records


def test_insisting_on_a_numbering(write: Callable[..., Path]) -> None:
    path = write(">chr1:10-14\nACGT\n")
    assert Genome.open(path, regions="0-based").starts.tolist() == [10]
    with pytest.raises(
        BadInput, match=r"record chr1:10-14: the name, 1-based closed, does not fit"
    ):
        Genome.open(path, regions="1-based")
    with pytest.raises(BadInput, match="record chr1: the name is not chrom:start-end"):
        Genome.open(write(">chr1\nACGT\n"), regions="0-based")


def test_tables_of_regions(write: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="findna")
    path = write(">b\nACGT\n>a\nGG\n")
    named = write("#name\tchrom\tstart\tend\na\t2\t5\t7\nb\t1\t10\t14\nx\t1\t0\t9\n", "n.tsv")
    ordered = write("chrom\tstart\tend\tGC\n1\t10\t14\t0.5\n2\t5\t7\t1\n", "o.tsv")
    for table in (named, str(ordered)):
        genome = Genome.open(path, regions=table)
        assert genome.mapped and genome.chroms == ("1", "2") and genome.starts.tolist() == [10, 5]
    assert "n.tsv: 1 rows match no record" in caplog.text


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("chrom\tstart\nx\t1\n", r"has no column 'end'; it has chrom, start"),
        ("", "line 1: is empty, or its first line is"),
        ("chrom\tstart\tend\n1\t0\n", "line 2: has 2 cells where the header has 3"),
        (
            "name\tchrom\tstart\tend\na\t1\t0\t2\nb\t1\t5\t9\na\t2\t7\t9\n",
            "record a, line 4: this record has two rows",
        ),
        ("chrom\tstart\tend\n1\t0\t4\n", "has 1 rows for 2 records"),
        (
            "chrom\tstart\tend\n1\t0\t4\n2\t0\t3\n",
            r"record a, line 3: end − start is 3, .* 2 bases",
        ),
        ("chrom\tstart\tend\n1\t0\tx\n", "line 2: start and end must be whole numbers"),
        ("chrom\tstart\tend\n1\t-1\t3\n", "line 2: start and end must be whole numbers"),
        ("name\tchrom\tstart\tend\na\t1\t0\t2\n", "has no row for record b"),
        (
            f"chrom\tstart\tend\n1\t0\t4\n2\t{10**20}\t{10**20 + 2}\n",
            "t.tsv, record a: no chromosome is as long",
        ),
    ],
)
def test_wrong_tables(write: Callable[..., Path], table: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Genome.open(write(">b\nACGT\n>a\nGG\n"), regions=write(table, "t.tsv"))


def test_a_table_beside_a_fasta_places_its_records(write: Callable[..., Path]) -> None:
    path = write(">b\nACGT\n>a\nGG\n", "cut.fa")
    table = write("chrom\tstart\tend\n1\t10\t14\n2\t5\t7\n", "cut.fa.regions.tsv")
    genome = Genome.open(path)
    assert genome.mapped and genome.fetch("1", 11, 13).codes.tolist() == [1, 2]
    placed = Genome.open(path, regions=table)
    assert genome.placing == placed.placing is not None
    assert not Genome.open(path, regions="off").mapped
    table.write_text("chrom\tstart\tend\n1\t11\t15\n2\t5\t7\n")
    assert Genome.open(path).placing != genome.placing
    with pytest.raises(BadInput, match="gives coordinates for the records of one of 2 FASTA files"):
        Genome.open([path, write(">c\nACGT\n", "more.fa")])
    assert Genome.open(write(">c\nACGT\n", "more.fa")).placing is None


def test_two_records_of_one_place(write: Callable[..., Path]) -> None:
    with pytest.raises(BadInput, match="chr1:0-4 and chr1:0,0-4, have the same coordinates"):
        Genome.open(write(">chr1:0-4\nACGT\n>chr1:0,0-4\nACGT\n"))


# Bad files ------------------------------------------------------------------------------------


NOT_FASTA = [
    ("\n\nACGT\n", r"g\.fa, line 3: is not a FASTA file: it begins with 'ACGT'"),
    ("@r\nACGT\n+\nIIII\n", "looks like FASTQ"),
    ("LOCUS  X\n", "GenBank"),
    (b"\x00\x01\x02\x03", "binary data"),
    ("chr1\t0\t90\n", r"begins with 'chr1.t0.t90'\n  this looks like a BED: .* give its FASTA"),
    (gzip.compress(b"hello\n"), r"line 1: is not a FASTA file: it begins with 'hello'"),
    (b"PK\x03\x04\x14\x00", "spreadsheet"),
]
BROKEN_FASTA = [
    ("", r"g\.fa: has no sequences"),
    (" \n\n", "has no sequences"),
    (gzip.compress(b">a\n" + b"ACGTTGACCTGA" * 999)[:40], "truncated"),
    (">a\nAC\n>b\nGG\n\n>a\nT\n", r"record a, line 6: the name occurs twice; .* line 1"),
    (">a\nACGT\nACGE\n", r"record a, line 3: unknown letter 'E' at position 8\n .*protein"),
    (">a\nAC-T\n", r"record a, line 2: unknown letter '-' at position 3\n .*gaps"),
    (">a\n\nAC\n\nGX\n", r"record a, line 5: unknown letter 'X' at position 4\n .*write N"),
    (">a\nAC >b\n", "unknown letter '>'"),
    (">a\n>b\nAC\n", r"record a, line 1: a record without sequence"),
    (">a\nAC\n>b\n\n", r"record b, line 3: a record without sequence"),
    (">a\nAC\n>b", r"record b, line 3: a record without sequence"),
    (">\nAC\n", "line 1: a header without a name"),
    (">a\rAC\r>b\rGG\r", "carriage return"),
    (b">\xff\xfe\nAC\n", "not UTF-8"),
]


def refused_with(content: str | bytes, words: str, folder: Path, chunk_size: int) -> None:
    path = folder / "g.fa"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(BadInput, match=words):
        open_store([str(path)], folder / "cache", chunk_size)
    cache = folder / "cache" / "genomes"
    assert not cache.exists() or not [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.parametrize("case", range(len(NOT_FASTA)))
def test_what_is_no_fasta(tmp_path: Path, case: int) -> None:
    refused_with(*NOT_FASTA[case], tmp_path, fasta.CHUNK)


@pytest.mark.parametrize("case", range(len(BROKEN_FASTA)))
@pytest.mark.parametrize("chunk_size", [1, 3, fasta.CHUNK])
def test_bad_files_name_the_place_and_leave_nothing(
    tmp_path: Path, case: int, chunk_size: int
) -> None:
    refused_with(*BROKEN_FASTA[case], tmp_path, chunk_size)


def test_nothing_given() -> None:
    with pytest.raises(BadInput, match="no FASTA file"):
        Genome.open([])


def test_byte_order_mark(write: Callable[..., Path]) -> None:
    assert Genome.open(write(b"\xef\xbb\xbf>a\nACGT\n")).names == ("a",)


# Real genomes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 4])
def test_a_byte_order_mark_is_taken_off_whatever_the_chunk(
    write: Callable[..., Path], tmp_path: Path, chunk_size: int
) -> None:
    path = write(b"\xef\xbb\xbf>a\nACGT\n")
    assert open_store([str(path)], tmp_path / "cache", chunk_size).names == ("a",)


def test_yeast(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    path = shared_data("yeast/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz")
    genome = Genome.open(path, cache=tmp_path)
    assert len(genome.names) == 17 and genome.total == 12_157_105
    assert not genome.mapped and len(genome.n_runs) == 0
    with pysam.FastxFile(str(path)) as peer:
        for record in peer:
            assert record.name is not None and record.sequence is not None
            fetched = genome.fetch(record.name, 0, len(record.sequence) + 1)
            assert np.array_equal(fetched.codes[:-1], encode(record.sequence))
            assert fetched.inside.sum() == len(record.sequence) == len(fetched.codes) - 1
    # TSS side of a known gene: YAL069W begins with ATG at I:335 (1-based).
    assert decode(genome.fetch("chrI", 334, 337).codes) == "ATG"
    assert genome.resolve("chrM") == "Mito"


def test_human_regions(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    path = shared_data("human_hg38/hg38_regions.fa.gz")
    genome = Genome.open(path, cache=tmp_path)
    assert len(genome.names) == 684 and genome.total == 63_093_212 and genome.mapped
    assert sum(row[4] for row in genome.composition().values()) == 10_000
    assert (genome.n_runs[:, 1] - genome.n_runs[:, 0]).sum() == 10_000
    assert genome.resolve("10") == "chr10"
    by_table = Genome.open(path, regions=shared_data("human_hg38/hg38_regions.tsv"), cache=tmp_path)
    assert by_table.chroms == genome.chroms and np.array_equal(by_table.starts, genome.starts)
    before = genome.fetch("chr10", 86_999_990, 87_000_010)
    assert before.inside.tolist() == [False] * 10 + [True] * 10
