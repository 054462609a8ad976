"""Search: windows cover the genome, answers are those of a plain loop, loci are counted once."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import findna
from findna.files import BadInput, OutputExists, cache_folder
from findna.inference import search as search_module
from findna.inference.embed import embeddings
from findna.inference.search import search
from findna.inference.searching import loci as loci_module
from findna.inference.searching.build import index_genome, whitening, windows_of
from findna.inference.searching.engines import FaissEngine, TorchEngine
from findna.inference.searching.index import SearchIndex, read_index
from findna.inference.searching.loci import Loci, Rules, parts_of
from findna.inference.searching.table import table_of, write_hits
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.model import Model, new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import N, encode, reverse_complement
from findna.sequence.genome import Genome
from findna.sequence.records import Record

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=32, hidden=32, track_size=8, depth=4, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
)
MODEL = new_model(SMALL, 0).eval()
WINDOW, STEP = 64, 32
PLANTED = {"a": (1000, 3008), "b": (512,)}  # copies of one element, 128 bp each


def dna(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def rc(letters: str) -> str:
    return letters[::-1].translate(str.maketrans("ACGT", "TGCA"))


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    """Three records: the element twice in a, once turned round in b; c is shorter than a window."""
    element = dna(128, 7)
    texts = {"a": list(dna(4000, 1)), "b": list(dna(2000, 2)), "c": list(dna(40, 3))}
    for at in PLANTED["a"]:
        texts["a"][at : at + 128] = element
    texts["b"][512 : 512 + 128] = rc(element)
    texts["b"][1000:1200] = "N" * 200
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{name}\n{''.join(t)}\n" for name, t in texts.items()))
    return path


@pytest.fixture
def genome(fasta: Path) -> Genome:
    return Genome.open(fasta)


@pytest.fixture
def index(genome: Genome, tmp_path: Path) -> SearchIndex:
    return index_genome(genome, MODEL, tmp_path / "index", window=WINDOW, step=STEP)


def looked_up(queries: Any, genome: Genome, index: SearchIndex, **options: Any) -> pd.DataFrame:
    table = search(queries, genome, MODEL, index=index, **options).table
    return table


# ---------------------------------------------------------------- the index


@pytest.mark.parametrize("query", ["chr1:1-999999999", "nowhere.fa", ["chrZ:1-9"]], ids=str)
def test_a_mistaken_query_is_told_before_an_index_is_made(
    query: Any, genome: Genome, tmp_path: Path
) -> None:
    with pytest.raises(BadInput):
        search(query, genome, MODEL, index=tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_an_output_that_is_a_folder_is_told_before_an_index_is_made(
    genome: Genome, tmp_path: Path
) -> None:
    (tmp_path / "hits.bed").mkdir()
    with pytest.raises(BadInput, match=r"hits\.bed: is a folder"):
        search("a:1-128", genome, MODEL, tmp_path / "hits.bed", index=tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_windows_cover_every_run_and_never_leave_it() -> None:
    runs = np.array([[0, 100], [100, 110], [110, 174]])
    got = [(s.tolist(), e.tolist()) for s, e in windows_of(runs, 64, 32)]
    assert got == [([0, 32, 36], [64, 96, 100]), ([100], [110]), ([110], [174])]


def test_the_index_holds_the_centred_vectors_of_its_windows(genome: Genome, tmp_path: Path) -> None:
    index = index_genome(genome, MODEL, tmp_path / "i", window=WINDOW, step=STEP, whiten=False)
    raw, kept = [], []
    for number, length in enumerate(genome.lengths.tolist()):
        last = max(0, length - WINDOW)
        for start in sorted({*range(0, last, STEP), last}):
            offset = int(genome.offsets[number]) + start
            codes = genome.fetch(genome.names[number], start, min(start + WINDOW, length)).codes
            if (codes == N).mean() <= 0.1:
                raw.append(embeddings(MODEL, [codes])[0].astype(np.float64))
                kept.append((offset, offset + len(codes)))
    assert list(zip(index.starts.tolist(), index.ends.tolist(), strict=True)) == kept
    centred = np.array(raw) - np.mean(raw, axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(index.vectors, unit, atol=1e-3)
    told = json.loads((index.folder / "index.json").read_text())
    assert told["windows"] == len(kept) and told["left_out"] == 8  # starts 960 to 1184
    assert sorted(p.name for p in index.folder.iterdir()) == [
        "ends.i64", "index.json", "shape.npz", "starts.i64", "vectors.f16",
    ]  # fmt: skip


def test_whitening_brings_all_directions_to_one_spread(genome: Genome, tmp_path: Path) -> None:
    index = index_genome(genome, MODEL, tmp_path / "w", window=WINDOW, step=STEP)
    raw = [genome.store[s:e] & 7 for s, e in zip(index.starts, index.ends, strict=True)]
    turned = (embeddings(MODEL, raw).astype(np.float64) - index.mean) @ index.turn
    spread = np.linalg.eigvalsh(turned.T @ turned / len(turned))
    assert spread.max() <= 1 + 1e-6 and np.median(spread) > 0.1


def test_directions_without_spread_are_whitened_to_numbers() -> None:
    turn = whitening(np.diag([4.0, 1.0, 0.0]))
    assert np.isfinite(turn).all()
    assert np.allclose(np.sort(np.abs(turn).max(axis=0))[:2], [0.5, 1.0], rtol=0.1)
    assert np.isfinite(whitening(np.zeros((2, 2)))).all()


def test_batches_change_nothing(genome: Genome, index: SearchIndex, tmp_path: Path) -> None:
    for bases in (WINDOW, 8 * WINDOW, 64 * WINDOW):
        other = index_genome(
            genome, MODEL, tmp_path / f"i{bases}", window=WINDOW, step=STEP, batch_bases=bases
        )
        np.testing.assert_allclose(other.vectors, index.vectors, atol=5e-4)
        np.testing.assert_array_equal(other.starts, index.starts)


def test_regions_bound_what_is_indexed(genome: Genome, tmp_path: Path) -> None:
    bed = tmp_path / "part.bed"
    bed.write_text("a\t100\t300\nb\t0\t10\n")
    index = index_genome(genome, MODEL, tmp_path / "i", window=WINDOW, step=STEP, regions=bed)
    offset = int(genome.offsets[1])
    assert index.starts.tolist() == [100, 132, 164, 196, 228, 236, offset]
    assert index.ends.tolist()[-1] == offset + 10


def test_an_index_of_regions_says_what_it_covers(
    genome: Genome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bed, other = tmp_path / "part.bed", tmp_path / "other.bed"
    bed.write_text("a\t100\t300\n")
    other.write_text("a\t100\t400\n")
    index_genome(genome, MODEL, tmp_path / "i", window=WINDOW, step=STEP, regions=bed)
    caplog.clear()
    search("b:1-64", genome, MODEL, index=tmp_path / "i")
    assert "part.bed: only these are searched" in caplog.text
    with pytest.raises(BadInput, match=r"regions \S*part.bed .*, not \S*other.bed"):
        search("b:1-64", genome, MODEL, index=tmp_path / "i", regions=other)
    caplog.clear()
    search("b:1-64", genome, MODEL, index=tmp_path / "i", regions=bed)
    assert "only these" not in caplog.text


def test_what_a_killed_build_left_in_the_cache_goes_after_a_day(genome: Genome) -> None:
    cache = cache_folder() / "search"
    for name, age in ((".tmp-1-ab-old", 90_000), (".tmp-2-ab-new", 0)):
        (cache / name).mkdir(parents=True)
        (cache / name / "raw.f32").touch()
        for path in (cache / name / "raw.f32", cache / name):
            os.utime(path, (time.time() - age,) * 2)
    search("a:1-64", genome, MODEL, window=WINDOW - 1)
    assert not (cache / ".tmp-1-ab-old").exists() and (cache / ".tmp-2-ab-new").exists()


def test_the_best_of_millions_is_not_at_a_hundred_percent(tmp_path: Path) -> None:
    row = dict.fromkeys(table_of([]).columns, 1) | {"percentile": 100 * (1 - 1 / 12_000_000)}
    for name in ("hits.tsv", "hits.csv"):
        write_hits(iter([table_of([row])]), tmp_path / name, overwrite=False)
        assert "99.99999167" in (tmp_path / name).read_text()


def test_the_index_in_the_cache_is_made_once_for_each_setting(fasta: Path) -> None:
    first = index_genome(fasta, MODEL, window=WINDOW)
    made = (first.folder / "vectors.f16").stat().st_mtime_ns
    found = search("a:1001-1064", fasta, MODEL, window=WINDOW).index
    assert found.folder == first.folder
    assert (found.folder / "vectors.f16").stat().st_mtime_ns == made
    others = {search("a:1001-1064", fasta, MODEL, **o).index.folder for o in (  # type: ignore[arg-type]
        {"window": 80}, {"window": WINDOW, "step": 16}, {"window": WINDOW, "whiten": False},
        {"window": WINDOW, "strand": "forward"}, {"window": WINDOW, "max_n": 0.5},
    )}  # fmt: skip
    assert len(others | {first.folder}) == 6


@pytest.mark.parametrize("asked, words", [
    ({"window": 80}, "window 64, not 80"),
    ({"step": 8}, "step 32, not 8"),
    ({"max_n": 0.2}, "max_n 0.1, not 0.2"),
    ({"whiten": False}, "whiten True, not False"),
    ({"strand": "forward"}, "strand both, not forward"),
])  # fmt: skip
def test_an_index_of_another_setting_is_refused_by_name(
    asked: dict[str, Any], words: str, genome: Genome, index: SearchIndex
) -> None:
    with pytest.raises(BadInput, match=words):
        search("a:1-64", genome, MODEL, index=index.folder, **asked)


def test_an_index_of_another_model_genome_or_version_is_refused(
    genome: Genome, index: SearchIndex, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"model custom \(sha256:\w{8}\), not custom \(sha256:"):
        search("a:1-64", genome, new_model(SMALL, 1), index=index)
    other = tmp_path / "other.fa"
    other.write_text(f">a\n{dna(900, 5)}\n")
    with pytest.raises(BadInput, match=r"genome .*genome.fa \(sha256:\w+\), not .*other.fa"):
        search("a:1-64", other, MODEL, index=index.folder)
    described = json.loads((index.folder / "index.json").read_text())
    (index.folder / "index.json").write_text(json.dumps({**described, "format_version": 9}))
    with pytest.raises(BadInput, match="format version 9"):
        read_index(index.folder)


def test_a_damaged_index_and_a_folder_that_is_none(index: SearchIndex, tmp_path: Path) -> None:
    cut = shutil.copytree(index.folder, tmp_path / "cut")
    (cut / "vectors.f16").write_bytes((cut / "vectors.f16").read_bytes()[:-2])
    with pytest.raises(BadInput, match=r"vectors.f16: does not have the [\d,]+ bytes"):
        read_index(cut)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "x").write_text("x")
    with pytest.raises(BadInput, match="not a search index"):
        read_index(tmp_path / "else")
    with pytest.raises(OutputExists):
        index_genome(tmp_path / "genome.fa", MODEL, index.folder)


def test_nothing_is_left_of_an_index_without_windows(tmp_path: Path) -> None:
    (tmp_path / "n.fa").write_text(f">n\n{'N' * 500}\n")
    with pytest.raises(BadInput, match=r"all windows of .* have too many N"):
        index_genome(tmp_path / "n.fa", MODEL, tmp_path / "i", window=WINDOW)
    assert not list(tmp_path.glob("*i"))


# ---------------------------------------------------------------- hits


def test_copies_come_first_on_either_strand_and_the_query_itself_not_at_all(
    genome: Genome, index: SearchIndex
) -> None:
    table = looked_up("a:1,025-1,088", genome, index, k=2)  # 24 bases into the element
    best = {(row.chrom, row.start // WINDOW) for row in table.itertuples()}
    assert {chrom for chrom, _ in best} == {"a", "b"}
    for row in table.itertuples():
        at = 3008 if row.chrom == "a" else 512
        assert at - WINDOW < row.start < at + 128
    own = looked_up("a:1,025-1,088", genome, index, k=1, include_self=True)
    assert own["chrom"][0] == "a" and abs(own["start"][0] - 1024) < WINDOW
    assert (table["strand"] == ".").all()


def test_a_plain_loop_finds_the_same(genome: Genome, index: SearchIndex) -> None:
    """Similarities, order, percentile, z and GC, one query against all windows by hand."""
    start, end = 2016, 2080  # where windows begin and end
    codes = genome.fetch("a", start, end).codes
    query = index.transformed(embeddings(MODEL, [codes]))[0].astype(np.float64)
    vectors = np.asarray(index.vectors, np.float64)
    similar = np.round(vectors @ query, 6)
    places = [Loci.places(loci(index, genome, k=1), np.array([w])) for w in range(len(index))]
    spans = [(genome.names[int(p.chrom[0])], int(p.start[0]), int(p.end[0])) for p in places]
    own = [c == "a" and s < end and e > start for c, s, e in spans]
    order = sorted((w for w in range(len(index)) if not own[w]), key=lambda w: (-similar[w], w))
    chosen: list[int] = []
    for w in order:
        c, s, e = spans[w]
        if not any(c == spans[o][0] and s < spans[o][2] and e > spans[o][1] for o in chosen):
            chosen.append(w)
    chosen = chosen[:10]
    table = looked_up("a:2017-2080", genome, index, k=10)
    assert list(zip(table["chrom"], table["start"], table["end"], strict=True)) == [
        spans[w] for w in chosen
    ]
    np.testing.assert_allclose(table["similarity"], similar[chosen], atol=1e-9)
    others = [similar[w] for w in order]
    less = [100 * np.mean([o < similar[w] for o in others]) for w in chosen]
    np.testing.assert_allclose(table["percentile"], less)
    exact = vectors @ query
    np.testing.assert_allclose(
        table["z"], (similar[chosen] - exact.mean()) / exact.std(), rtol=1e-4
    )
    letters = ["".join("ACGTN"[c] for c in genome.fetch(*spans[w]).codes) for w in chosen]
    np.testing.assert_allclose(
        table["gc"], [(t.count("G") + t.count("C")) / len(t) for t in letters]
    )
    assert table["name"].tolist() == [f"a:2017-2080.{rank}" for rank in range(1, 11)]
    assert table["score"].tolist() == [round(1000 * max(0, s)) for s in similar[chosen]]


def loci(index: SearchIndex, genome: Genome, k: int, **rules: Any) -> Loci:
    usual = {"min_similarity": None, "include_self": False, "all_windows": False}
    engine = TorchEngine(index.vectors, torch.device("cpu"))
    return Loci(index, genome, engine, Rules(k=k, **{**usual, **rules}))


def test_a_query_and_its_reverse_complement_find_the_same(
    genome: Genome, index: SearchIndex
) -> None:
    codes = genome.fetch("b", 288, 352).codes
    there = looked_up(Record("q", codes), genome, index)
    back = looked_up(Record("q", reverse_complement(codes)), genome, index)
    pd.testing.assert_frame_equal(there, back, atol=2e-6)
    assert len(there) == 20 and there["similarity"][0] > 0.999  # no place: it finds itself


def test_hits_are_loci_unless_all_windows_are_wanted(genome: Genome, index: SearchIndex) -> None:
    table = looked_up("a:501-564", genome, index, k=30)
    for one in table.itertuples():
        overlap = (
            (table["chrom"] == one.chrom) & (table["start"] < one.end) & (table["end"] > one.start)
        )
        assert overlap.sum() == 1
    every = looked_up("a:501-564", genome, index, k=30, all_windows=True)
    assert len(every) == 30 and every["similarity"].min() >= table["similarity"].min()
    everything = looked_up(
        "a:501-564", genome, index, k=10_000, all_windows=True, include_self=True
    )
    assert len(everything) == len(index)


def test_a_least_similarity_cuts_the_list(genome: Genome, index: SearchIndex) -> None:
    whole = looked_up("a:1001-1064", genome, index, k=50)
    least = float(whole["similarity"][4])
    cut = looked_up("a:1001-1064", genome, index, k=50, min_similarity=least)
    pd.testing.assert_frame_equal(cut, whole[whole["similarity"] >= least])
    for impossible in (1.01, -1.01, 90):
        with pytest.raises(BadInput, match="give one from -1 to 1"):
            looked_up("a:1001-1064", genome, index, min_similarity=impossible)


def test_few_candidates_are_asked_again_until_there_are_enough(tmp_path: Path) -> None:
    """A thousand identical windows hide the two that differ from the first look."""
    path = tmp_path / "satellite.fa"
    unit = dna(WINDOW, 11)
    path.write_text(f">s\n{unit * 1000}\n>t\n{dna(WINDOW, 12)}\n>u\n{dna(WINDOW, 13)}\n")
    genome = Genome.open(path)
    index = index_genome(genome, MODEL, tmp_path / "i", window=WINDOW, step=WINDOW)
    table = looked_up("s:1-64000", genome, index, k=2)
    assert set(table["chrom"]) == {"t", "u"} and len(table) == 2 * 1000
    ties = looked_up("t:1-64", genome, index, k=5)
    twins = ties[ties["chrom"] == "s"]
    assert twins["start"].tolist() == [WINDOW * i for i in range(len(twins))]  # ties by place


def test_the_more_candidates_the_fewer_queries_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "satellite.fa"
    path.write_text(f">s\n{dna(WINDOW, 11) * 100}\n>t\n{dna(WINDOW, 12)}\n")
    genome = Genome.open(path)
    index = index_genome(genome, MODEL, tmp_path / "i", window=WINDOW, step=WINDOW)
    whole = looked_up("s:1-6400", genome, index, k=1)
    asked: list[int] = []
    nearest = TorchEngine.nearest

    def watched(self: TorchEngine, queries: Any, count: int) -> Any:
        asked.append(len(queries) * count)
        return nearest(self, queries, count)

    monkeypatch.setattr(TorchEngine, "nearest", watched)
    monkeypatch.setattr(loci_module, "_AT_ONCE", 500)
    pd.testing.assert_frame_equal(looked_up("s:1-6400", genome, index, k=1), whole)
    assert len(asked) > 20 and max(asked) <= 500


def test_long_queries_are_searched_part_by_part(genome: Genome, index: SearchIndex) -> None:
    record = Record("long", genome.fetch("a", 900, 1070).codes)
    assert [(p.start, p.end) for p in parts_of(record, WINDOW)] == [(0, 64), (64, 128), (106, 170)]
    table = looked_up(record, genome, index, k=3)
    assert table.groupby(["query_start", "query_end"], sort=False).size().tolist() == [3, 3, 3]
    assert table["name"].tolist()[:4] == [
        "long:0-64.1", "long:0-64.2", "long:0-64.3", "long:64-128.1",
    ]  # fmt: skip
    alone = looked_up(Record("x", record.codes[64:128]), genome, index, k=3)
    np.testing.assert_array_equal(alone["start"], table["start"][3:6])


def test_hits_of_a_long_query_are_held_some_parts_at_a_time(
    genome: Genome, index: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = looked_up("a:1-640", genome, index, k=3)
    made: list[int] = []
    table_of = search_module.table_of

    def watched(rows: list[Any]) -> pd.DataFrame:
        made.append(len(rows))
        return table_of(rows)

    monkeypatch.setattr(search_module, "table_of", watched)
    monkeypatch.setattr(search_module, "_PARTS", 4)
    pd.testing.assert_frame_equal(looked_up("a:1-640", genome, index, k=3), whole)
    assert made == [0, 12, 12, 6]


def test_parts_of_n_are_counted_and_have_no_hits(
    genome: Genome, index: SearchIndex, caplog: pytest.LogCaptureFixture
) -> None:
    table = looked_up([Record("n", encode("N" * 64)), "a:1-64"], genome, index, k=1)
    assert table["query"].tolist() == ["a:1-64"]
    assert "1 parts of queries have more than 0.1 N" in caplog.text
    caplog.clear()
    assert looked_up(Record("s", encode("ACGTACGT")), genome, index, k=1)["query"].tolist() == ["s"]
    assert "--window 8" in caplog.text


def test_faiss_answers_as_torch_does(genome: Genome, index: SearchIndex) -> None:
    pytest.importorskip("faiss")
    queries = ["a:1-640", "b:1-640", "c:1-40"]
    pd.testing.assert_frame_equal(
        looked_up(queries, genome, index, k=10),
        looked_up(queries, genome, index, k=10, engine="faiss"),
    )


def test_engines_find_the_nearest_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1000, 16)).astype(np.float16)
    queries = rng.normal(size=(70, 16)).astype(np.float32)
    monkeypatch.setattr("findna.inference.searching.engines._CHUNK", 128)
    want = np.argsort(-(queries @ vectors.astype(np.float32).T), axis=1)[:, :200]
    for engine in (TorchEngine(vectors, torch.device("cpu")), FaissEngine(vectors)):
        similar, found = engine.nearest(queries, 200)
        np.testing.assert_array_equal(found, want)
        assert (np.diff(similar, axis=1) <= 0).all()


def test_without_faiss_the_error_says_what_to_install(
    genome: Genome, index: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> SimpleNamespace:
        raise ImportError(name)

    monkeypatch.setattr("findna.inference.searching.engines.import_module", missing)
    # Before an index is made, which takes hours.
    monkeypatch.setattr("findna.inference.search.open_index", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(BadInput, match=r"pip install 'findna\[search\]'"):
        looked_up("a:1-64", genome, index, engine="faiss")


# ---------------------------------------------------------------- places and files


def test_cut_regions_answer_in_source_coordinates(tmp_path: Path) -> None:
    whole = dna(1000, 21)
    path = tmp_path / "cut.fa"
    path.write_text(f">chr9:5000-5600\n{whole[:600]}\n>chr9:5500-6000\n{whole[500:]}\n")
    genome = Genome.open(path)
    index = index_genome(genome, MODEL, tmp_path / "i", window=WINDOW, step=STEP)
    table = looked_up("chr9:5,521-5,584", genome, index, k=50)
    assert set(table["chrom"]) == {"chr9"}
    assert not ((table["start"] < 5584) & (table["end"] > 5520)).any()  # in either region
    spans = sorted(zip(table["start"], table["end"], strict=True))
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert spans[0][0] >= 5000 and spans[-1][1] <= 6000
    for start, end, gc in zip(table["start"], table["end"], table["gc"], strict=True):
        text = whole[start - 5000 : end - 5000]
        assert gc == pytest.approx((text.count("G") + text.count("C")) / len(text))


def test_bed_queries_know_their_place_whatever_the_name(genome: Genome, index: SearchIndex,
                                                        tmp_path: Path) -> None:  # fmt: skip
    bed = tmp_path / "q.bed"
    bed.write_text("chra\t1000\t1064\tfirst\t0\t-\na\t1000\t1064\tsecond\t0\t+\n")
    table = looked_up(bed, genome, index, k=3)
    first, second = (table[table["query"] == q].reset_index(drop=True) for q in ("first", "second"))
    columns = ["chrom", "start", "end", "percentile"]
    pd.testing.assert_frame_equal(first[columns], second[columns])
    assert not ((first["chrom"] == "a") & (first["start"] < 1064) & (first["end"] > 1000)).any()


def test_a_bed_holds_the_first_columns(genome: Genome, index: SearchIndex, tmp_path: Path) -> None:
    want = looked_up("a:1-128", genome, index, k=4).iloc[:, :6]
    search("a:1-128", genome, MODEL, tmp_path / "hits.bed", index=index, k=4)
    got = pd.read_csv(tmp_path / "hits.bed", sep="\t", header=None, names=want.columns)
    pd.testing.assert_frame_equal(got, want, check_dtype=False)


@pytest.mark.parametrize("ending", ["tsv", "tsv.gz", "csv", "parquet"])
def test_every_format_holds_the_same_table(
    ending: str, genome: Genome, index: SearchIndex, tmp_path: Path
) -> None:
    want = looked_up("a:1-128", genome, index, k=4)
    path = tmp_path / f"hits.{ending}"
    result = search("a:1-128", genome, MODEL, path, index=index, k=4)
    assert (result.hits, result.queries) == (8, 1)
    with pytest.raises(ValueError, match="the hits went to the given output"):
        _ = result.table
    if ending == "parquet":
        got = pd.read_parquet(path)
    else:
        got = pd.read_csv(path, sep="," if ending == "csv" else "\t")
        assert got.columns[0] == ("chrom" if ending == "csv" else "#chrom")
    got.columns = want.columns
    pd.testing.assert_frame_equal(got, want, rtol=1e-5, check_dtype=False)
    with pytest.raises(OutputExists):
        search("a:1-128", genome, MODEL, path, index=index, k=4)


def test_a_data_frame_holds_queries(genome: Genome, index: SearchIndex) -> None:
    letters = [dna(64, seed) for seed in (5, 6)]
    frame = pd.DataFrame({"id": ["x", "y"], "seq": letters})
    records = [Record("x", encode(letters[0])), Record("y", encode(letters[1]))]
    wanted = looked_up(records, genome, index, k=2)
    pd.testing.assert_frame_equal(looked_up(frame, genome, index, k=2), wanted)


def test_the_public_names() -> None:
    assert findna.search is search and findna.index_genome is index_genome


def test_no_setting_that_makes_no_windows(genome: Genome) -> None:
    for wrong in ({"step": 0}, {"window": 8, "step": 9}, {"max_n": 1.0}):
        with pytest.raises(BadInput, match="no index can have"):
            index_genome(genome, MODEL, **wrong)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="0 hits"):
        search("a:1-64", genome, MODEL, k=0)


# ---------------------------------------------------------------- real data


def test_a_silent_cassette_of_yeast_is_found_from_the_mating_type_locus(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """HML, 187 kb before MAT on chromosome III, is its copy base by base."""
    genome = Genome.open(shared_data("yeast/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"))
    mat, hml = (
        genome.fetch("III", 199_700, 200_212).codes,
        genome.fetch("III", 12_540, 13_052).codes,
    )
    np.testing.assert_array_equal(mat, hml)
    bed = tmp_path / "part.bed"
    bed.write_text("III\t10000\t50000\n")
    model: Model = findna.load("findna-human-tiny")
    index = index_genome(genome, model, tmp_path / "i", window=512, regions=bed)
    table = search("III:199,701-200,212", genome, model, index=index, k=3).table
    assert 12_540 - 256 <= table["start"][0] <= 12_540 + 256
    assert table["z"][0] > 4 and table["z"][1] < table["z"][0]
