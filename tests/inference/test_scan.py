"""A scan: second implementations in plain loops, and the same numbers however it is cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.decomposition import PCA

import findna
from findna.files import BadInput
from findna.inference.embed import embeddings
from findna.inference.masked import hidden_log_probs
from findna.inference.predict import predict
from findna.inference.scanning.browser import Browsed, Track, write_browser_files
from findna.inference.scanning.components import (
    Relations,
    correlations,
    fit_components,
    sample_rows,
)
from findna.inference.scanning.passes import surprise
from findna.inference.scanning.sliding import (
    Bins,
    Composition,
    asked_runs,
    composition,
    count_windows,
    flank_of,
    slide,
)
from findna.inference.tiles import tile
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig, TaskConfig
from findna.model.model import Model, new_model
from findna.model.presets import ModelConfig
from findna.sequence.genome import Genome
from findna.sequence.tracks import read_track

WINDOW = 64


def small(task: TaskConfig | None = None, seed: int = 3) -> Model:
    config = ModelConfig(
        backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
        projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
        task=task,
    )
    return new_model(config, seed).eval()


def dna(length: int, seed: int, gc: float = 0.5) -> str:
    shares = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length, p=shares))


# A long chromosome with a gap and lower case, contigs shorter than the window, one of N alone.
LETTERS = {
    "long": dna(300, 0, 0.3) + "N" * 150 + dna(200, 1).lower() + dna(413, 2, 0.7),
    "short": dna(40, 4),
    "gap": "N" * 90,
    "single": "A",
    "middle": dna(200, 5),
}


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in LETTERS.items()))
    return path


@pytest.fixture
def genome(fasta: Path) -> Genome:
    return Genome.open(fasta)


def per_base(frames: dict[str, pd.DataFrame], chrom: str) -> np.ndarray:
    values = np.full(len(LETTERS[chrom]), np.nan)
    for row in frames[chrom].itertuples():
        assert np.isnan(values[row.start : row.end]).all()
        values[row.start : row.end] = row.value
    return values


def quick(
    genome: Genome, model: Model | None = None, **more: object
) -> findna.inference.scan.ScanResult:
    settings: dict[str, object] = {"window": WINDOW, "step": 32, "sets": 8, "device": "cpu"}
    return findna.scan(genome, model or small(), **{**settings, **more})  # type: ignore[arg-type]


# ---------------------------------------------------------------- surprise


def test_surprise_is_minus_log2_of_the_base_hidden_alone_by_a_loop() -> None:
    model, rng = small(), np.random.default_rng(0)
    codes = rng.integers(0, 5, (2, 20)).astype(np.uint8)
    found = surprise(model, codes, sets=20)
    for row in range(2):
        for at in range(20):
            if codes[row, at] == 4:
                assert np.isnan(found[row, at])
                continue
            hidden = np.zeros((1, 20), bool)
            hidden[0, at] = True
            logs = hidden_log_probs(model, codes[row : row + 1], hidden)[0, at]
            assert found[row, at] == pytest.approx(-logs[codes[row, at]] / np.log(2), abs=1e-5)


def test_bf16_is_asked_for_recorded_and_close(genome: Genome, tmp_path: Path) -> None:
    exact = quick(genome, findna.load("findna-human-tiny"), tracks=["surprise"], sets=4)
    half = quick(
        genome, findna.load("findna-human-tiny"), tracks=["surprise"], sets=4, precision="bf16"
    )
    one, other = (per_base(found.values["surprise"], "long") for found in (exact, half))
    assert 0 < np.nanmax(np.abs(one - other)) < 0.05 and np.nanmean(np.abs(one - other)) < 0.01
    quick(genome, output=tmp_path / "t", precision="bf16", format="bedgraph")
    assert json.loads((tmp_path / "t" / "scan.json").read_text())["precision"] == "bf16"


def test_the_surprise_of_a_genome_is_that_of_its_tiles_in_a_plain_loop(genome: Genome) -> None:
    model = small()
    found = quick(genome, model).values["surprise"]
    for chrom, letters in LETTERS.items():
        expected = np.full(len(letters), np.nan)
        for start, end, low, high in zip(*tile(len(letters), WINDOW), strict=True):
            codes = genome.fetch(chrom, start, end).codes
            expected[low:high] = surprise(model, codes[None], sets=8)[0, low - start : high - start]
        np.testing.assert_allclose(per_base(found, chrom), expected, atol=1e-5)
    known = sum(sum(letter not in "Nn" for letter in text) for text in LETTERS.values())
    assert sum((~np.isnan(per_base(found, c))).sum() for c in LETTERS) == known


def test_a_model_that_knows_nothing_is_surprised_by_two_bits(genome: Genome) -> None:
    model = small()
    with torch.no_grad():
        model.base_head.weight.zero_()
        model.base_head.bias.zero_()
    values = per_base(quick(genome, model, tracks=["surprise"]).values["surprise"], "middle")
    np.testing.assert_allclose(values, 2, atol=1e-6)


@pytest.mark.parametrize("width", [1, 7, 64, 5000])
def test_bins_are_means_of_known_bases_at_multiples_of_their_width(
    genome: Genome, width: int
) -> None:
    single = per_base(quick(genome, tracks=["surprise"]).values["surprise"], "long")
    binned = quick(genome, tracks=["surprise"], bin=width).values["surprise"]["long"]
    for row in binned.itertuples():
        assert row.start % width == 0 and row.end in (row.start + width, len(single))
        known = single[row.start : row.end][~np.isnan(single[row.start : row.end])]
        assert np.isnan(row.value) if not len(known) else row.value == pytest.approx(known.mean())


def test_a_bin_does_not_stand_over_what_was_not_asked_for(genome: Genome) -> None:
    asked = ["long:1-103", "long:108-300"]
    binned = quick(genome, tracks=["surprise"], bin=10, regions=asked).values["surprise"]["long"]
    single = per_base(quick(genome, tracks=["surprise"]).values["surprise"], "long")
    near = binned[(binned["start"] >= 90) & (binned["end"] <= 110)]
    assert near[["start", "end"]].to_numpy().tolist() == [[90, 100], [100, 103], [107, 110]]
    for row in near.itertuples():
        assert row.value == pytest.approx(np.nanmean(single[row.start : row.end]), nan_ok=True)


@given(
    width=st.integers(2, 9),
    parts=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 12)), max_size=8),
)
def test_bins_do_not_show_the_pieces_they_came_in(width: int, parts: list[tuple[str, int]]) -> None:
    parts.sort()
    pieces, bins = [], Bins(width)
    at = {"a": 5, "b": 3}
    whole: dict[str, list[float]] = {"a": [], "b": []}
    for number, (chrom, length) in enumerate(parts):
        values = np.arange(length) * 0.5 + number
        places = np.arange(at[chrom], at[chrom] + length)
        pieces += list(bins.add(chrom, places, values))
        at[chrom] += length
        whole[chrom] += values.tolist()
    pieces += list(bins.rest())
    rows = [(p.chrom, *row) for p in pieces for row in zip(*p[1:], strict=True)]
    expected = []
    for chrom, first in (("a", 5), ("b", 3)):
        last = first + len(whole[chrom])
        begin = first - first % width if whole[chrom] else last
        for low in range(begin, last, width):
            start, end = max(low, first), min(low + width, last)
            mean = np.mean(whole[chrom][start - first : end - first])
            expected.append((chrom, start, end, mean))
    assert rows == [(c, s, e, pytest.approx(v)) for c, s, e, v in expected]


# ---------------------------------------------------------------- windows


def test_components_are_those_of_scikit_learn_on_all_windows(genome: Genome) -> None:
    model = small()
    result = quick(genome, model, tracks=["components"], embeddings=True)
    windows, vectors = result.windows, result.vectors
    expected, shares = [], []
    for chrom, letters in LETTERS.items():
        for start, end in zip(*tile(len(letters), WINDOW, 16)[:2], strict=True):
            text = letters[start:end]
            expected.append((chrom, start, end, text.upper().count("N") / len(text)))
            if expected[-1][3] <= 0.5:
                shares.append(genome.fetch(chrom, start, end).codes)
    found = windows[["chrom", "start", "end", "n"]]
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected, columns=found.columns))
    usable = (windows["n"] <= 0.5).to_numpy()
    by_hand = embeddings(model, shares)
    np.testing.assert_allclose(vectors[usable], by_hand, atol=1e-5)
    assert np.isnan(vectors[~usable]).all()
    fitted = PCA(3, svd_solver="full").fit(by_hand.astype(np.float64))
    points = fitted.transform(by_hand.astype(np.float64))
    for k in range(3):
        mine = windows.loc[usable, f"pc{k + 1}"].to_numpy()
        sign = np.sign(np.dot(mine, points[:, k]))
        np.testing.assert_allclose(mine, sign * points[:, k], atol=1e-4)
        assert pearsonr(mine, windows.loc[usable, "gc"])[0] >= 0
    assert result.table["variance"].to_numpy() == pytest.approx(fitted.explained_variance_ratio_)


def test_a_base_has_the_value_of_the_window_in_whose_middle_it_stands(genome: Genome) -> None:
    result = quick(genome, tracks=["components"])
    windows = result.windows[result.windows["chrom"] == "long"].reset_index(drop=True)
    values = per_base(result.values["pc1"], "long")
    middles = (windows["start"] + windows["end"]).to_numpy() / 2
    for at in range(len(values)):
        nearest = np.flatnonzero(np.abs(middles - at - 0.5) == np.abs(middles - at - 0.5).min())
        allowed = windows["pc1"].to_numpy()[nearest]
        assert any(
            (np.isnan(a) and np.isnan(values[at])) or values[at] == pytest.approx(a, abs=1e-6)
            for a in allowed
        )


def test_classes_are_what_predict_says_of_the_same_windows(fasta: Path, genome: Genome) -> None:
    model = small(TaskConfig(kind="multiclass", classes=("a", "b", "c/d"), strand="both"))
    result = quick(genome, model)
    assert result.table["track"].tolist() == ["p_a", "p_b", "p_c/d"]
    windows = result.windows[result.windows["n"] <= 0.5]
    records = [
        findna.sequence.records.Record("", genome.fetch(c, s, e).codes)
        for c, s, e in zip(windows["chrom"], windows["start"], windows["end"], strict=True)
    ]
    answers = predict(records, model, device="cpu").table
    np.testing.assert_allclose(windows["p_b"], answers["p_b"], atol=1e-5)
    two = small(TaskConfig(kind="binary", classes=("no", "yes"), strand="forward"))
    assert quick(genome, two).table["track"].tolist() == ["p_yes"]


# ---------------------------------------------------------------- however it is cut


@pytest.mark.parametrize("batch_bases", [1, 512, 1 << 20])
def test_batches_do_not_show(genome: Genome, batch_bases: int) -> None:
    one, other = quick(genome), quick(genome, batch_bases=batch_bases)
    for track, chroms in one.values.items():
        for chrom, frame in chroms.items():
            pd.testing.assert_frame_equal(frame, other.values[track][chrom], atol=1e-5, rtol=1e-5)


def test_chunks_do_not_show(genome: Genome, monkeypatch: pytest.MonkeyPatch) -> None:
    one = quick(genome, bin=10)
    monkeypatch.setattr("findna.inference.scanning.sliding._CHUNK_BASES", 3 * WINDOW)
    other = quick(genome, bin=10)
    for track, chroms in one.values.items():
        for chrom, frame in chroms.items():
            pd.testing.assert_frame_equal(frame, other.values[track][chrom], atol=1e-5, rtol=1e-5)
    pd.testing.assert_frame_equal(one.table, other.table, atol=1e-4, rtol=1e-4)


def test_a_region_has_the_numbers_of_the_whole_genome(tmp_path: Path, genome: Genome) -> None:
    whole = quick(genome)
    bed = tmp_path / "some.bed"
    bed.write_text("middle\t3\t9\nlong\t700\t800\nlong\t20\t50\nlong\t40\t140\n")
    for regions in (str(bed), ["long:21-140", "middle:4-9", "long:701-800"]):
        part = quick(genome, regions=regions)
        for track in whole.values:
            for chrom, spans in {"long": [(20, 140), (700, 800)], "middle": [(3, 9)]}.items():
                asked = np.zeros(len(LETTERS[chrom]), bool)
                for start, end in spans:
                    asked[start:end] = True
                expected = np.where(asked, per_base(whole.values[track], chrom), np.nan)
                found = per_base(part.values[track], chrom)
                np.testing.assert_allclose(found, expected, atol=1e-5)
            assert set(part.values[track]) == {"long", "middle"}


def test_regions_of_a_genome_keep_their_places_and_overlaps_are_answered_once(
    tmp_path: Path,
) -> None:
    text = dna(300, 7)
    path = tmp_path / "cut.fa"
    path.write_text(f">chr2:200-300\n{text[200:]}\n>chr1:500-600\n{text[:100]}\n>chr2:120-260\n")
    with path.open("a") as file:
        file.write(f"{text[120:260]}\n")
    genome = Genome.open(path)
    assert genome.mapped
    result = quick(genome, output=tmp_path / "out", format="bedgraph")
    with pytest.raises(ValueError, match="the tracks went to the given output"):
        _ = result.values
    assert (tmp_path / "out/genome.chrom.sizes").read_text() == "chr2\t300\nchr1\t600\n"
    assert "the end of the last region" in (tmp_path / "out/README.txt").read_text()
    for track in ("surprise", "pc1"):
        found = read_track(tmp_path / f"out/{track}.bedgraph.gz", "chr2", 0, 300)
        assert np.isnan(found[:120]).all() and not np.isnan(found[120:]).any()
    first = surprise(small(), genome.fetch("chr2", 120, 184).codes[None], sets=8)[0]
    found = read_track(tmp_path / "out/surprise.bedgraph.gz", "chr2", 120, 176)
    np.testing.assert_allclose(found, first[:56], atol=1e-5)
    assert result.output == tmp_path / "out"


@given(
    seed=st.integers(0, 1000),
    window=st.integers(2, 40),
    spans=st.lists(st.tuples(st.integers(0, 199), st.integers(1, 60)), min_size=1, max_size=6),
)
def test_every_asked_base_is_answered_by_one_window_that_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    window: int,
    spans: list[tuple[int, int]],
) -> None:
    genome = _shared_genome(tmp_path_factory)
    step = 1 + seed % window
    step += (window - step) % 2
    asked = asked_runs(genome, [f"middle:{s + 1}-{min(s + w, 200)}" for s, w in spans])
    wanted = np.zeros(genome.total, int)
    offset = int(genome.offsets[genome.names.index("middle")])
    for start, width in spans:
        wanted[offset + start : offset + min(start + width, 200)] = 1
    answered = np.zeros(genome.total, int)
    count = 0
    for windows in slide(genome, asked, window, flank_of(window, step)):
        count += len(windows.starts)
        for start, end, low, high in zip(*windows, strict=True):
            assert start <= low < high <= end and end - start == min(window, 200)
            answered[low:high] += 1
    np.testing.assert_array_equal(answered, wanted)
    assert count == count_windows(genome, asked, window, flank_of(window, step))


_GENOMES: list[Genome] = []


def _shared_genome(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    if not _GENOMES:
        path = tmp_path_factory.mktemp("genome") / "genome.fa"
        path.write_text("".join(f">{name}\n{letters}\n" for name, letters in LETTERS.items()))
        _GENOMES.append(Genome.open(path))
    return _GENOMES[0]


# ---------------------------------------------------------------- what goes with what


def test_composition_is_counted(genome: Genome) -> None:
    starts = np.array([280, 440, 0]) + genome.offsets[0]
    found = composition(genome, starts, starts + np.array([40, 20, 10]))
    for row, (start, width) in enumerate([(280, 40), (440, 20), (0, 10)]):
        text = LETTERS["long"][start : start + width]
        known = text.upper().replace("N", "")
        assert found.gc[row] == pytest.approx(sum(c in "GC" for c in known) / len(known))
        assert found.lower_case[row] == pytest.approx(sum(c.islower() for c in text) / width)
        assert found.n[row] == pytest.approx(text.upper().count("N") / width)
    gap = composition(genome, np.array([300 + genome.offsets[0]]), np.array([310]))
    assert np.isnan(gap.gc[0]) and gap.n[0] == 1


def test_relations_are_those_of_scipy_and_a_table_says_so(genome: Genome) -> None:
    result = quick(genome)
    row = result.table.set_index("track").loc["pc2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("findna.inference.scanning.sliding._CHUNK_BASES", 4 * WINDOW)
        windows = quick(genome).windows
    assert windows.index.tolist() == list(range(len(result.windows)))
    windows = result.windows.dropna(subset=["pc2", "gc"])
    assert row["gc_pearson"] == pytest.approx(pearsonr(windows["pc2"], windows["gc"])[0])
    assert row["lower_case_spearman"] == pytest.approx(
        spearmanr(windows["pc2"], windows["lower_case"])[0]
    )
    assert row["windows"] == len(windows) and row["note"] == ""
    assert row["sd"] == pytest.approx(windows["pc2"].std(ddof=0))


def test_relations_of_surprise_are_those_of_its_bases(genome: Genome) -> None:
    result = quick(genome)
    row = result.table.set_index("track").loc["surprise"]
    bases = pd.concat(result.values["surprise"].values())["value"].dropna()
    assert row["windows"] > 5 and row["mean"] == pytest.approx(bases.mean(), rel=0.05)
    assert 0 < row["sd"] < bases.std() and np.isfinite(row["gc_pearson"])


def test_correlations_of_nothing_are_nan() -> None:
    nan = float("nan")
    assert correlations(np.array([1.0, 2, 3, nan]), np.array([2.0, 4, 6, 0])) == (
        pytest.approx(1),
        pytest.approx(1),
    )
    assert np.isnan(correlations(np.ones(5), np.arange(5.0))).all()
    assert np.isnan(correlations(np.array([1.0, 2, nan]), np.arange(3.0))).all()


def test_relations_keep_a_share_of_many_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("findna.inference.scanning.components._ROWS", 2000)
    rng = np.random.default_rng(0)
    gc = rng.random(20_000)
    values = gc[:, None] + rng.normal(size=(20_000, 1))

    def relate(parts: int) -> object:
        relations = Relations(20_000, 1)
        for rows in np.array_split(np.arange(20_000), parts):
            relations.add(values[rows], Composition(gc[rows], gc[rows] * 0, gc[rows] * 0))
        return relations.of(0)

    one = relate(1)
    assert one.windows == pytest.approx(2000, rel=0.1)  # type: ignore[attr-defined]
    assert repr(one) == repr(relate(7))


def test_the_sign_of_a_component_follows_gc_and_few_windows_have_few() -> None:
    rng = np.random.default_rng(0)
    gc = rng.random(50)
    vectors = np.outer(-3 * gc, [1, 0, 0]) + rng.normal(size=(50, 3)) * 0.1
    found = fit_components(vectors, gc, 2)
    assert np.corrcoef(found.of(vectors)[:, 0], gc)[0, 1] > 0.9
    assert found.axes.shape == (2, 3)
    flipped = fit_components(-vectors, gc, 2)
    np.testing.assert_allclose(flipped.axes[0], -found.axes[0])
    assert fit_components(vectors[:1], gc[:1], 2).of(vectors).shape == (50, 0)
    assert fit_components(vectors[:2], gc[:2], 2).of(vectors).shape == (50, 1)


def test_a_sample_is_seeded_and_has_no_row_twice() -> None:
    np.testing.assert_array_equal(sample_rows(5, 10, 0), np.arange(5))
    one = sample_rows(10_000, 100, 0)
    assert (np.diff(one) > 0).all() and 90 < len(one) <= 100 and one[-1] < 10_000
    assert (
        one.tolist() == sample_rows(10_000, 100, 0).tolist() != sample_rows(10_000, 100, 1).tolist()
    )


# ---------------------------------------------------------------- the folder


def test_the_folder_holds_what_was_found_and_what_browsers_want(
    tmp_path: Path, genome: Genome
) -> None:
    pytest.importorskip("figwig")
    here = quick(genome, embeddings=True)
    out = tmp_path / "tracks"
    result = quick(genome, output=out, embeddings=True)
    for track in ("surprise", "pc1", "pc2", "pc3"):
        for chrom, letters in LETTERS.items():
            found = read_track(out / f"{track}.bw", chrom, 0, len(letters))
            expected = per_base(here.values[track], chrom) if chrom in here.values[track] else None
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    sizes = (out / "genome.chrom.sizes").read_text().splitlines()
    assert sizes == [f"{name}\t{len(letters)}" for name, letters in LETTERS.items()]
    table = pd.read_csv(out / "tracks.tsv", sep="\t")
    np.testing.assert_allclose(table["gc_pearson"], result.table["gc_pearson"], rtol=1e-5)
    assert (out / "trackDb.txt").read_text().count("type bigWig") == 4
    for name in table["file"]:
        assert (out / name).exists() and name in (out / "igv_session.xml").read_text()
    facts = json.loads((out / "scan.json").read_text())
    assert facts["genome_digest"] == genome.digest and facts["window"] == WINDOW
    table = pq.read_table(out / "embeddings.parquet")
    # As `embed` names it, which reads no task.
    assert json.loads(table.schema.metadata[b"findna"])["strand"] == "both"
    rows = table.to_pandas()
    usable = here.windows["n"].to_numpy() <= 0.5
    assert rows["start"].tolist() == here.windows["start"][usable].tolist()
    np.testing.assert_allclose(np.stack(rows["embedding"]), here.vectors[usable], rtol=1e-5)
    saved = np.load(out / "components.npz")
    points = (here.vectors[usable] - saved["mean"]) @ saved["axes"].T
    np.testing.assert_allclose(points[:, 0], here.windows["pc1"][usable], atol=1e-5)
    with pytest.raises(BadInput, match="exists"):
        quick(genome, output=out)


def test_browsers_open_where_was_scanned(tmp_path: Path, genome: Genome) -> None:
    pytest.importorskip("figwig")
    longest = max(LETTERS, key=lambda chrom: len(LETTERS[chrom]))
    other = next(
        chrom for chrom, letters in LETTERS.items() if chrom != longest and len(letters) > 60
    )
    for regions, opened in (([f"{other}:11-60"], f"{other}:11-60"), (None, f"{longest}:1-")):
        out = tmp_path / str(regions is None)
        quick(genome, regions=regions, output=out, tracks=["surprise"])
        assert f"defaultPos {opened}" in (out / "genomes.txt").read_text()


def test_a_fasta_may_have_a_comma_in_its_name(tmp_path: Path, fasta: Path) -> None:
    pytest.importorskip("figwig")
    named = fasta.rename(tmp_path / "a, b.fa")
    quick(Genome.open(named), output=tmp_path / "out", tracks=["surprise"])
    assert 'genome="../a, b.fa"' in (tmp_path / "out" / "igv_session.xml").read_text()


def test_two_scans_write_the_same_bytes(tmp_path: Path, genome: Genome) -> None:
    pytest.importorskip("figwig")
    for name in ("one", "two"):
        quick(genome, output=tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_nothing_asked_is_an_empty_valid_folder(
    tmp_path: Path, genome: Genome, caplog: pytest.LogCaptureFixture
) -> None:
    bed = tmp_path / "none.bed"
    bed.write_text("")
    result = quick(genome, regions=bed, output=tmp_path / "out", embeddings=True)
    assert result.table["windows"].tolist() == [0] * 4
    assert "no regions are given" in caplog.text
    assert pq.read_table(tmp_path / "out/embeddings.parquet").num_rows == 0
    here = quick(genome, regions=bed, embeddings=True)
    assert here.vectors.shape == (0, 16) and here.values == {k: {} for k in here.table["track"]}


def test_a_genome_of_n_alone_has_tracks_without_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "n.fa"
    path.write_text(">a\n" + "N" * 300 + "\n")
    result = quick(Genome.open(path))
    assert np.isnan(result.values["surprise"]["a"]["value"]).all()
    assert result.windows["pc1"].isna().all() and result.table["windows"].eq(0).all()
    assert result.table["mean"].isna().all() and caplog.text.count("no window has a value") == 4


def test_a_hub_names_an_assembly_or_brings_its_own(tmp_path: Path) -> None:
    tracks = [Track("p_a/b", "p_a_b.bw", "probability of class a/b")]
    write_browser_files(tmp_path, Browsed(["x/y.v2.fa.gz"], None, {"c": 5, "d": 9}, False), tracks)
    assert "twoBitPath genome.2bit" in (tmp_path / "genomes.txt").read_text()
    assert "genome y_v2\n" in (tmp_path / "genomes.txt").read_text()
    assert "defaultPos d:1-9" in (tmp_path / "genomes.txt").read_text()
    hub = (tmp_path / "trackDb.txt").read_text()
    assert "track findna_p_a_b\n" in hub and "bigDataUrl p_a_b.bw\n" in hub
    signs = [Track(f"p_CD4{sign}", f"p_CD4{sign}.bw", "probability") for sign in "+-"]
    write_browser_files(tmp_path, Browsed(["y.fa"], None, {"c": 5}, False), signs)
    hub = (tmp_path / "trackDb.txt").read_text()
    assert "track findna_p_CD4_\n" in hub and "track findna_p_CD4__\n" in hub
    here = Browsed(["y.fa"], None, {"c": 5, "d": 900_000}, False, ("c", 2, 4))
    write_browser_files(tmp_path, here, tracks)
    assert "defaultPos c:3-4\n" in (tmp_path / "genomes.txt").read_text()
    assert 'locus="c:3-4"' in (tmp_path / "igv_session.xml").read_text()
    write_browser_files(tmp_path, Browsed(["y.fa"], "sacCer3", {"c": 5}, False), tracks)
    assert (tmp_path / "genomes.txt").read_text() == "genome sacCer3\ntrackDb trackDb.txt\n"
    assert 'genome="sacCer3"' in (tmp_path / "igv_session.xml").read_text()
    write_browser_files(tmp_path, Browsed(["-"], None, {"c": 5}, False), tracks)
    assert "genome genome\n" in (tmp_path / "genomes.txt").read_text()
    assert '<Session genome="genome.fa"' in (tmp_path / "igv_session.xml").read_text()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tracks": ["colour"]}, "no track 'colour'"),
        ({"tracks": []}, "no track is requested"),
        ({"tracks": ["classes"]}, "has no classes"),
        ({"step": 65}, "does not fit a window"),
        ({"step": 31}, "cannot be centred"),
        ({"step": 0}, "does not fit a window"),
        ({"window": 0, "step": None}, "does not fit a window of 0"),
        ({"bin": -1}, "at least 1"),
        ({"bin": 0}, "at least 1"),
        ({"regions": ["chr9:1-5"]}, "has no chromosome"),
        ({"regions": ["long:5-2,000"]}, "^the regions: long:5-2,000: extends beyond"),
        ({"regions": [__file__, "long:1-9"]}, "a BED must be given alone"),
        ({"regions": ["long:x"]}, "is not a region"),
    ],
)
def test_what_cannot_be_scanned_is_refused(
    genome: Genome, wrong: dict[str, object], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        quick(genome, **wrong)


def test_real_regions_keep_source_places(shared_data: Callable[[str], Path]) -> None:
    genome = Genome.open(shared_data("human_hg38/hg38_regions.fa.gz"))
    start = int(genome.starts[0])
    region = f"{genome.chroms[0]}:{start + 1001}-{start + 1100}"
    result = quick(genome, regions=[region], tracks=["surprise"])
    found = result.values["surprise"][genome.chroms[0]]
    assert found["start"].tolist() == list(range(start + 1000, start + 1100))
