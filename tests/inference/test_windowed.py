"""Windows of a genome: where they lie, which base takes which, and the tracks they become."""

import os
import threading
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit, softmax

from findna.files import BadInput, OutputExists
from findna.inference.calibration import log_odds
from findna.inference.predict import predict
from findna.inference.windowed import cut_from, pieces, sorted_rows, tiled, track_sizes
from findna.inference.writing import track_files
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import Calibration, ProjectionConfig, TaskConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import N
from findna.sequence.genome import Genome
from findna.sequence.records import Record
from findna.sequence.tracks import read_track

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=32, hidden=32, track_size=8, depth=3, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=4),
)
BINARY = TaskConfig(
    kind="binary", classes=("no", "yes"), threshold=0.6, prevalence=(0.8, 0.2),
    calibration=Calibration(scale=(0.5,), shift=(0.25,)),
)  # fmt: skip


def task_model(task=BINARY):
    import torch

    model = new_model(SMALL, 0).with_task(task, 0)
    torch.nn.init.normal_(model.task_head.linear.weight, generator=torch.Generator().manual_seed(3))
    return model.eval()


def letters(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "g.fa").write_text(
        f">chrB\n{letters(1000)}\n>chrA\n{letters(300, 1)}{'N' * 400}{letters(35, 2)}\n"
    )
    return Genome.open(tmp_path / "g.fa")


# ---------------------------------------------------------------- where windows lie


def places(records):
    return [(r.chrom, r.start, r.end) for r in records]


def test_tiles_by_hand(genome):
    assert places(tiled(genome, 400)) == [
        ("chrB", 0, 400), ("chrB", 400, 800), ("chrB", 600, 1000),
        ("chrA", 0, 400), ("chrA", 335, 735),
    ]  # fmt: skip
    assert places(tiled(genome, (600, 200)))[:3] == [
        ("chrB", 0, 600), ("chrB", 200, 800), ("chrB", 400, 1000),
    ]  # fmt: skip
    assert places(tiled(genome, 5000)) == [("chrB", 0, 1000), ("chrA", 0, 735)]
    for record in tiled(genome, (150, 70)):
        assert (record.codes == genome.fetch(record.chrom, record.start, record.end).codes).all()


@settings(max_examples=30)
@given(st.integers(1, 90), st.integers(1, 120), st.integers(1, 200))
def test_tiles_reach_both_ends_and_leave_no_gap_but_those_asked_for(window, step, length):
    codes = np.zeros(length, np.uint8)
    fake = type("G", (), {
        "starts": np.array([0]), "ends": np.array([length]), "chroms": ["c"],
        "fetch": lambda _, c, s, e: (codes[s:e], None, np.ones(e - s, bool)),
    })()  # fmt: skip
    found = list(tiled(fake, (window, step)))
    starts, ends = [r.start for r in found], [r.end for r in found]
    assert starts[0] == 0 and ends[-1] == length
    assert all(0 < b - a <= step for a, b in pairwise(starts))
    assert {e - s for s, e in zip(starts, ends, strict=True)} == {min(window, length)}


def test_regions_are_joined_sorted_and_cut(genome, tmp_path):
    bed = tmp_path / "a.bed"
    rows = "A\t100\t200\nchrB\t500\t700\nchrB\t0\t90\nchrB\t650\t750\nchrA\t200\t260\n"
    bed.write_text(rows)
    assert places(tiled(genome, 100, bed)) == [
        ("chrB", 0, 90), ("chrB", 500, 600), ("chrB", 600, 700), ("chrB", 650, 750),
        ("chrA", 100, 200), ("chrA", 160, 260),
    ]  # fmt: skip


def test_a_region_is_cut_as_its_line_in_a_bed(genome, tmp_path):
    bed = tmp_path / "a.bed"
    bed.write_text("chrB\t500\t700\n")
    assert places(tiled(genome, 90, "B:501-700")) == places(tiled(genome, 90, bed))
    assert places(sorted_rows(genome, "chrB:501-700")) == [("chrB", 500, 700)]


def test_a_pipe_is_read_once(genome, tmp_path):
    text = "chrB\t500\t700\nchrA\t0\t90\n" * 700
    (tmp_path / "a.bed").write_text(text)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(text,))
    writer.start()
    given, records = cut_from(tmp_path / "pipe", genome, 60)
    assert given is genome
    assert places(records) == places(tiled(genome, 60, tmp_path / "a.bed"))
    writer.join()
    (tmp_path / "b.fa").write_text(">x\nACGT\n")
    with pytest.raises(BadInput, match="is a FASTA, whose sequences have no position"):
        cut_from(tmp_path / "b.fa", genome, 60)


def test_windows_that_the_genome_lacks_are_left_out_aloud(tmp_path, caplog):
    (tmp_path / "r.fa").write_text(f">c:100-200\n{letters(100)}\n>c:500-540\n{letters(40)}\n")
    genome, bed = Genome.open(tmp_path / "r.fa"), tmp_path / "a.bed"
    bed.write_text("c\t150\t350\nc\t520\t560\n")
    assert places(tiled(genome, 100, bed)) == [("c", 150, 250), ("c", 520, 560)]
    assert "1 windows lie outside the regions" in caplog.text
    assert "2 windows lie partly outside" in caplog.text
    bed.write_text("c\t300\t400\n")
    with pytest.raises(BadInput, match="no part of it is in"):
        list(tiled(genome, 50, bed))


def test_a_track_ends_where_the_last_region_does(tmp_path):
    (tmp_path / "r.fa").write_text(f">c:100-200\n{letters(100)}\n>c:500-540\n{letters(40)}\n")
    genome, bed = Genome.open(tmp_path / "r.fa"), tmp_path / "a.bed"
    bed.write_text("c\t150\t210\nc\t520\t560\n")
    predict(bed, task_model(), tmp_path / "t.bedgraph", genome=genome)
    lines = (tmp_path / "t.bedgraph").read_text().splitlines()
    spans = [tuple(map(int, line.split("\t")[1:3])) for line in lines if line.startswith("c\t")]
    assert spans == [(150, 210), (520, 540)]


def test_what_lies_behind_the_end_has_no_piece():
    windows = [(0, 6), (4, 10), (8, 14), (12, 18)]
    rows = [Record("r", np.zeros(6, np.uint8), "c", s, e, "+") for s, e in windows]
    values = np.arange(4.0)[:, None]
    found = list(pieces(iter([(rows[:2], values[:2]), (rows[2:], values[2:])]), {"c": 11}))
    each = [
        (int(s), int(e), float(v[0]))
        for _, starts, ends, shown in found
        for s, e, v in zip(starts, ends, shown, strict=True)
    ]
    assert each == [(0, 5, 0.0), (5, 9, 1.0), (9, 11, 2.0)]


def test_rows_are_sorted_as_the_genome_is(genome, tmp_path):
    bed = tmp_path / "a.bed"
    bed.write_text("chrA\t5\t60\tx\t0\t-\nchrB\t300\t400\nchrB\t100\t350\n".replace(
        "400", "400\ty\t0\t+").replace("350", "350\tz\t0\t+"))  # fmt: skip
    rows = list(sorted_rows(genome, bed))
    assert [r.id for r in rows] == ["z", "y", "x"]
    assert (rows[2].codes == genome.fetch("chrA", 5, 60, "-").codes).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chrB\t1\t9\nchrA\t1\t9\nchrB\t1\t9\n", "line 3: chrB:1-9 is also in line 1"),
        ("chrB\t10\t20\nchrB\t0\t90\n", "line 1: chrB:10-20 and 0-90 of line 2 lie one inside"),
        ("chrB\t10\t20\nchrB\t10\t90\n", "line 2: chrB:10-90 and 10-20 of line 1 lie one inside"),
        ("chrB\t10\t20\nchrC\t10\t90\n", "line 2: chrC:10-90: is not in"),
        ("chrB\t10\t10\n", "line 1: chrB:10-10: is empty"),
        ("chrB\t10\t1001\n", "line 1: chrB:10-1001: extends beyond"),
        ("chrX\t1\t9\n", "has no chromosome"),
    ],
)
def test_rows_that_make_no_track_are_refused_before_the_first(genome, tmp_path, text, words):
    (tmp_path / "a.bed").write_text(text)
    with pytest.raises(BadInput, match=words):
        sorted_rows(genome, tmp_path / "a.bed")


def test_sizes_of_cut_regions_reach_to_the_last_of_them(tmp_path):
    (tmp_path / "r.fa").write_text(f">chr2:100-200\n{letters(100)}\n>chr2:500-540\n{letters(40)}\n")
    genome = Genome.open(tmp_path / "r.fa")
    assert track_sizes(genome) == {"chr2": 540}
    assert places(tiled(genome, 60)) == [
        ("chr2", 100, 160), ("chr2", 140, 200), ("chr2", 500, 540),
    ]  # fmt: skip
    (tmp_path / "turned.fa").write_text(">c:50-90\n" + letters(40) + "\n>c:0-20\n" + letters(20))
    assert track_sizes(Genome.open(tmp_path / "turned.fa")) == {"c": 90}


# ---------------------------------------------------------------- which base takes which


def nearest(windows, length):
    """The number of the window in whose middle each base stands, by a plain loop; -1 where none."""
    owner = np.full(length, -1)
    for base in range(length):
        holding = [k for k, (s, e) in enumerate(windows) if s <= base < e]
        if holding:
            owner[base] = min(holding, key=lambda k: (abs(2 * base + 1 - sum(windows[k])), k))
    return owner


@settings(max_examples=40)
@given(st.integers(2, 40), st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 5))
def test_a_base_takes_the_window_in_whose_middle_it_stands(window, steps, chunk):
    starts = np.cumsum(steps)
    windows = [(int(s), int(s) + window) for s in starts]
    records = [Record("r", np.zeros(e - s, np.uint8), "c", s, e, "+") for s, e in windows]
    values = np.arange(len(records), dtype=float)[:, None]
    chunks = [
        (records[at : at + chunk], values[at : at + chunk]) for at in range(0, len(records), chunk)
    ]
    found = np.full(windows[-1][1], -1)
    for chrom, begins, ends, shown in pieces(iter(chunks), {"c": 10**6}):
        assert chrom == "c"
        for begin, end, value in zip(begins, ends, shown[:, 0], strict=True):
            assert (found[begin:end] == -1).all() and end > begin
            found[begin:end] = value
    owner = nearest(windows, len(found))
    # A base exactly between two middles may go to either.
    assert ((found == -1) == (owner == -1)).all()
    middles = np.array([s + e for s, e in windows])
    base = np.flatnonzero(owner >= 0)
    far = np.abs(2 * base + 1 - middles[found[base]]) - np.abs(2 * base + 1 - middles[owner[base]])
    assert (far <= 1).all()


def test_a_window_of_n_alone_has_no_value_and_that_is_said(caplog):
    rows = [Record("a", np.full(5, N, np.uint8), "c", 0, 5, "+"),
            Record("b", np.array([N, 0], np.uint8), "c", 5, 7, "+")]  # fmt: skip
    values = np.concatenate([p[3][:, 0] for p in pieces(iter([(rows, np.ones((2, 1)))]), {"c": 7})])
    assert np.isnan(values[0]) and values[1] == 1
    assert "1 windows hold nothing but N" in caplog.text


# ---------------------------------------------------------------- tracks


@pytest.mark.parametrize("ending", [".bw", ".bedgraph", ".bedgraph.gz"])
def test_a_track_holds_log_odds_over_those_of_training(genome, tmp_path, ending):
    model, source = task_model(), tmp_path / "g.fa"
    done = predict(source, model, tmp_path / f"o{ending}", tile=(100, 50), device="cpu")
    table = predict(source, model, tile=(100, 50), device="cpu").table
    assert done.outputs == (tmp_path / f"o{ending}",) and done.rows == len(table)
    p = table["p_yes"].to_numpy()
    odds = np.log(p / (1 - p)) - np.log(0.2 / 0.8)
    seen = read_track(tmp_path / f"o{ending}", "chrB", 0, 1000)
    # Windows at 0, 50, ... part at 75, 125, ...
    assert seen[:75] == pytest.approx(odds[0], rel=1e-4)
    assert seen[75:125] == pytest.approx(odds[1], rel=1e-4)
    assert seen[-75:] == pytest.approx(odds[18], rel=1e-4)
    gap = read_track(tmp_path / f"o{ending}", "chrA", 0, 735)
    assert np.isnan(gap[400:600]).all() and not np.isnan(gap[:300]).any()


def test_a_track_is_replaced_when_that_is_asked_for(genome, tmp_path):
    how = {"output": tmp_path / "o.bw", "device": "cpu"}
    predict(tmp_path / "g.fa", task_model(), **how, tile=100)
    before = (tmp_path / "o.bw").read_bytes()
    with pytest.raises(OutputExists):
        predict(tmp_path / "g.fa", task_model(), **how, tile=50)
    assert (tmp_path / "o.bw").read_bytes() == before
    predict(tmp_path / "g.fa", task_model(), **how, tile=50, overwrite=True)
    assert (tmp_path / "o.bw").read_bytes() != before


def test_a_prevalence_makes_probabilities_of_both(genome, tmp_path):
    model, source = task_model(), tmp_path / "g.fa"
    plain = predict(source, model, tile=250, device="cpu").table
    rare = predict(source, model, tile=250, prevalence=0.01, device="cpu").table
    p = plain["p_yes"].to_numpy()
    odds = p / (1 - p) * (0.01 / 0.99) / (0.2 / 0.8)
    assert rare["p_yes"].to_numpy() == pytest.approx(odds / (1 + odds))
    assert rare["prediction"].tolist() == plain["prediction"].tolist()
    predict(source, model, tmp_path / "o.bw", tile=250, prevalence={"yes": 0.01}, device="cpu")
    assert read_track(tmp_path / "o.bw", "chrB", 300, 301) == pytest.approx(rare["p_yes"][1])
    same = predict(source, model, tile=250, prevalence=0.2, device="cpu").table
    assert same["p_yes"].to_numpy() == pytest.approx(p)


def test_several_classes_have_a_track_each(genome, tmp_path):
    shares = (0.5, 0.3, 0.2)
    many = TaskConfig(kind="multiclass", classes=("a", "b/c", "d"), prevalence=shares)
    done = predict(tmp_path / "g.fa", task_model(many), tmp_path / "o.bw", tile=250, device="cpu")
    assert [p.name for p in done.outputs] == ["o.a.bw", "o.b_c.bw", "o.d.bw"]
    table = predict(tmp_path / "g.fa", task_model(many), tile=250, device="cpu").table
    for path, name, share in zip(done.outputs, many.classes, shares, strict=True):
        p = table[f"p_{name}"][0]
        wanted = np.log(p / (1 - p)) - np.log(share / (1 - share))
        assert read_track(path, "chrB", 0, 1) == pytest.approx(wanted, rel=1e-4)
    turned = {"a": 0.1, "b/c": 0.1, "d": 0.8}
    rare = predict(
        tmp_path / "g.fa", task_model(many), tile=250, prevalence=turned, device="cpu"
    ).table
    raw = table[["p_a", "p_b/c", "p_d"]].to_numpy() * np.array(list(turned.values())) / shares
    assert rare[["p_a", "p_b/c", "p_d"]].to_numpy() == pytest.approx(
        raw / raw.sum(1, keepdims=True)
    )
    assert rare["prediction"].tolist() == table["prediction"].tolist()


def test_values_of_a_regression_are_a_track(genome, tmp_path):
    task = TaskConfig(kind="regression", classes=("y",), target_mean=(5.0,), target_sd=(2.0,))
    predict(tmp_path / "g.fa", task_model(task), tmp_path / "o.bw", tile=250, device="cpu")
    table = predict(tmp_path / "g.fa", task_model(task), tile=250, device="cpu").table
    seen = read_track(tmp_path / "o.bw", "chrB", 0, 1)
    assert seen == pytest.approx(table["prediction"][0], rel=1e-5)


def test_the_batch_changes_no_track(genome, tmp_path):
    tracks = []
    for bases in (100, 800, 6400):
        predict(tmp_path / "g.fa", task_model(), tmp_path / f"{bases}.bw", tile=(100, 30),
                batch_bases=bases, device="cpu")  # fmt: skip
        tracks.append(read_track(tmp_path / f"{bases}.bw", "chrB", 0, 1000))
    assert np.allclose(tracks, tracks[0], atol=1e-5)


def test_tags_shift_one_by_one():
    from findna.inference.calibration import at_prevalence, log_odds

    tags = TaskConfig(kind="multilabel", classes=("a", "b"), prevalence=(0.5, 0.1))
    turned = at_prevalence(tags, {"b": 0.5})
    found = log_odds(np.zeros((1, 2)), turned)
    assert found[0] == pytest.approx([0, np.log(9)])
    assert at_prevalence(turned, {"b": 0.1}).calibration.shift == pytest.approx((0, 0))


def test_log_odds_do_not_end_where_probabilities_do():
    binary = TaskConfig(kind="binary", classes=("no", "yes"))
    assert log_odds(np.array([[80.0]]), binary).tolist() == [[-80.0, 80.0]]
    many = TaskConfig(kind="multiclass", classes=("a", "b", "c"))
    found = log_odds(np.array([[90.0, 0.0, 0.0]]), many)
    assert found[0, 0] == pytest.approx(90 - np.log(2)) and np.isfinite(found).all()


def test_log_odds_of_many_classes_take_no_room_for_each_pair():
    many = TaskConfig(kind="multiclass", classes=tuple(f"c{k}" for k in range(60)))
    logits = np.random.default_rng(0).normal(size=(1000, 60))
    tracemalloc.start()
    found = log_odds(logits, many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.allclose(found, logit(softmax(logits, axis=1)))
    assert peak < 10 * logits.nbytes


def test_names_of_several_tracks(tmp_path):
    assert track_files(tmp_path / "o.bw", ["a"]) == [tmp_path / "o.bw"]
    assert [p.name for p in track_files(tmp_path / "o.x.bedgraph.gz", ["a", "b"])] == [
        "o.x.a.bedgraph.gz", "o.x.b.bedgraph.gz",
    ]  # fmt: skip
    with pytest.raises(BadInput, match="different file names"):
        track_files(tmp_path / "o.bw", ["a/b", "a:b"])
