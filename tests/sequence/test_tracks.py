"""Tracks: what is written is read back; what is out of order is refused before it is written."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from findna.files import BadInput
from findna.sequence import tracks
from findna.sequence.tracks import (
    IntegrityError,
    TrackPiece,
    read_track,
    track_format,
    track_writer,
    write_track,
)

SIZES = {"chr2": 30, "chr10": 500, "tiny": 1}
ENDINGS = (".bw", ".bigWig", ".bedgraph", ".bedgraph.gz")


def piece(chrom: str, *rows: tuple[int, int, float]) -> TrackPiece:
    starts, ends, values = zip(*rows, strict=True)
    return TrackPiece(chrom, np.array(starts), np.array(ends), np.array(values, np.float64))


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    pieces = [
        piece("chr2", (0, 3, 1.5), (5, 6, -2)),
        piece("chr2", (6, 7, 0.0), (7, 9, np.nan)),
        piece("tiny", (0, 1, 7)),
    ]
    write_track(path, SIZES, pieces)
    found = read_track(path, "chr2", 0, 12)
    nan = np.nan
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [1.5, 1.5, 1.5, nan, nan, -2, 0, nan, nan, nan, nan, nan])
    np.testing.assert_array_equal(read_track(path, "tiny", 0, 1), [7])
    assert np.isnan(read_track(path, "chr10", 0, 500)).all()


@pytest.mark.parametrize("ending", ENDINGS)
def test_values_come_back_with_all_digits_of_float32(tmp_path: Path, ending: str) -> None:
    value = np.float32(1234567.1)
    write_track(tmp_path / f"x{ending}", SIZES, [piece("chr2", (0, 1, float(value)))])
    assert read_track(tmp_path / f"x{ending}", "chr2", 0, 1) == [value]


def test_single_bases_with_gaps_between_them_keep_their_places(tmp_path: Path) -> None:
    rows = [(0, 1, 3.0), (1, 2, np.nan), (2, 3, 5.0), (3, 4, 6.0), (9, 10, 7.0)]
    write_track(tmp_path / "x.bw", SIZES, [piece("chr2", *rows)])
    nan = np.nan
    found = read_track(tmp_path / "x.bw", "chr2", 0, 11)
    np.testing.assert_array_equal(found, [3, nan, 5, 6, nan, nan, nan, nan, nan, 7, nan])


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    widths=st.lists(st.integers(1, 40), min_size=1, max_size=40),
    cuts=st.integers(1, 5),
)
def test_a_bigwig_in_any_pieces_is_a_plain_array(
    tmp_path_factory: pytest.TempPathFactory, seed: int, widths: list[int], cuts: int
) -> None:
    rng = np.random.default_rng(seed)
    gaps = rng.integers(0, 3, len(widths))
    ends = np.cumsum(np.array(widths) + gaps)
    starts = ends - widths
    values = np.where(rng.random(len(widths)) < 0.2, np.nan, rng.normal(size=len(widths)))
    plain = np.full(ends[-1] + 5, np.nan, np.float32)
    for start, end, value in zip(starts, ends, values, strict=True):
        plain[start:end] = value
    path = tmp_path_factory.mktemp("bw") / "x.bw"
    parts = np.array_split(np.arange(len(widths)), cuts)
    pieces = (TrackPiece("c", starts[p], ends[p], values[p]) for p in parts)
    write_track(path, {"b": 3, "c": len(plain), "a": 9}, pieces)
    np.testing.assert_array_equal(read_track(path, "c", 0, len(plain)), plain)


def test_every_chromosome_stands_in_the_header_in_the_order_of_the_fasta(tmp_path: Path) -> None:
    figwig = pytest.importorskip("figwig")
    write_track(tmp_path / "x.bw", SIZES, [piece("chr10", (499, 500, 1))])
    assert list(figwig.BigWigReader(tmp_path / "x.bw").chrom_sizes.items()) == list(SIZES.items())


def test_a_zipped_bedgraph_is_bgzipped_sorted_and_indexed(tmp_path: Path) -> None:
    path = tmp_path / "x.bedgraph.gz"
    write_track(path, SIZES, [piece("chr10", (3, 4, 0.125), (10, 20, 3))])
    with pysam.TabixFile(str(path)) as file:
        assert list(file.fetch("chr10", 5, 11)) == ["chr10\t10\t20\t3"]
    assert gzip.decompress(path.read_bytes()).decode() == "chr10\t3\t4\t0.125\nchr10\t10\t20\t3\n"
    long = tmp_path / "long.bedgraph.gz"
    write_track(long, {"c": 1 << 30}, [piece("c", ((1 << 30) - 1, 1 << 30, 1))])
    assert (tmp_path / "long.bedgraph.gz.csi").exists()
    write_track(long, SIZES, [piece("chr10", (3, 4, 1))], overwrite=True)
    assert sorted(p.name for p in tmp_path.glob("long*")) == [long.name, f"{long.name}.tbi"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_to_write_is_an_empty_track(tmp_path: Path, ending: str) -> None:
    write_track(tmp_path / f"x{ending}", SIZES, [])
    assert np.isnan(read_track(tmp_path / f"x{ending}", "chr2", 0, 30)).all()


WRONG = {
    "a chromosome without a size": [piece("chr3", (0, 1, 1))],
    "past the end": [piece("chr2", (29, 31, 1))],
    "before the start": [piece("chr2", (-1, 1, 1))],
    "an overlap": [piece("chr2", (0, 3, 1), (2, 4, 1))],
    "an overlap of pieces": [piece("chr2", (0, 3, 1)), piece("chr2", (2, 4, 1))],
    "unsorted": [piece("chr2", (5, 6, 1), (2, 4, 1))],
    "an interval of nothing": [piece("chr2", (5, 5, 1))],
    "chromosomes out of order": [piece("chr10", (5, 6, 1)), piece("chr2", (5, 6, 1))],
    "infinity": [piece("chr2", (5, 6, np.inf))],
    "other shapes": [TrackPiece("chr2", np.array([1]), np.array([2, 3]), np.array([1.0]))],
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("ending", [".bw", ".bedgraph"])
def test_what_is_out_of_order_leaves_no_file(tmp_path: Path, what: str, ending: str) -> None:
    with pytest.raises(ValueError):
        write_track(tmp_path / f"x{ending}", SIZES, WRONG[what])
    assert list(tmp_path.iterdir()) == []


def test_a_bigwig_that_reads_back_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = tracks._read_bigwig

    def one_off(*args: object) -> object:
        values = read(*args)  # type: ignore[arg-type]
        values[7] += 1e-6
        return values

    monkeypatch.setattr(tracks, "_read_bigwig", one_off)
    with pytest.raises(IntegrityError, match="chr2"):
        write_track(tmp_path / "x.bw", SIZES, [piece("chr2", (0, 9, 1.0))])
    assert list(tmp_path.iterdir()) == []


def test_a_bigwig_whose_header_reads_back_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figwig = tracks._figwig()

    class Longer:
        chrom_sizes = SIZES | {"tiny": 2}

    monkeypatch.setattr(figwig, "BigWigReader", lambda path: Longer())
    with pytest.raises(IntegrityError, match="the header reads back with other chromosomes"):
        write_track(tmp_path / "x.bw", SIZES, [piece("chr2", (0, 9, 1.0))])
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_tells_places_values_and_gaps() -> None:
    def of(*rows: tuple[int, int, float]) -> tuple[int, int]:
        starts, ends, values = (np.array(c) for c in zip(*rows, strict=True))
        return tracks._checksum(starts, ends, values.astype(np.float32))

    assert of((3, 6, 1.5), (6, 8, 1.5)) == of((3, 8, 1.5))
    by_base = tracks._plus(of((3, 4, 1.5)), of((4, 5, 1.5)))
    assert by_base == of((3, 5, 1.5)) == (2, 9 * (int(np.float32(1.5).view(np.uint32)) + 1))
    different = {
        of((3, 5, 0)),
        of((4, 6, 0)),
        of((3, 6, 0)),
        of((3, 5, 1)),
        of((3, 4, 0), (4, 5, 1)),
    }
    assert len(different) == 5


def test_two_tracks_are_written_side_by_side(tmp_path: Path) -> None:
    with (
        track_writer(tmp_path / "a.bw", SIZES) as a,
        track_writer(tmp_path / "b.bw", SIZES) as b,
    ):
        for start in range(3):
            a(piece("chr2", (start, start + 1, start)))
            b(piece("chr2", (start, start + 1, -start)))
    np.testing.assert_array_equal(read_track(tmp_path / "b.bw", "chr2", 0, 3), [0, -1, -2])


def test_names_formats_and_existing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert track_format("A.BW") == "bigwig" and track_format("a.bg.gz") == "bedgraph"
    with pytest.raises(BadInput, match="which track format"):
        write_track(tmp_path / "x.wig", SIZES, [])
    (tmp_path / "x.bw").write_text("mine")
    with pytest.raises(BadInput, match="exists"):
        write_track(tmp_path / "x.bw", SIZES, [])
    write_track(tmp_path / "x.bw", SIZES, [], overwrite=True)
    with pytest.raises(BadInput, match="no chromosome 'chr3'"):
        read_track(tmp_path / "x.bw", "chr3", 0, 1)
    monkeypatch.setitem(sys.modules, "figwig", None)
    with pytest.raises(BadInput, match=r"findna\[tracks\]"):
        write_track(tmp_path / "y.bw", SIZES, [])
