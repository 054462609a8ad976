"""Planted leaks of every kind, counted exactly, and the numbers known of real data."""

import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.labels import read_labelled
from findna.data.places import RowPlaces
from findna.data.similarity import (
    DUPLICATE_K,
    SHARED_POSITIONS,
    near_duplicate_groups,
    near_duplicates_in,
)
from findna.evaluation.leakage.check import LeakageSettings, leakage
from findna.evaluation.leakage.occurrences import Finder, contained_in, locate
from findna.evaluation.leakage.pretraining import placed_rows
from findna.evaluation.leakage.report import drop_leaks
from findna.files import BadInput
from findna.model.chordmixer import ChordMixerConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import decode, encode, reverse_complement
from findna.sequence.genome import Genome
from findna.sequence.records import read_records
from findna.training.seen import Pretraining, seen_part

SMALL = ModelConfig(backbone=ChordMixerConfig(width=16, hidden=24, track_size=4, depth=2))


def random_codes(random, length):
    return random.integers(0, 4, length).astype(np.uint8)


def split_of(codes, labels=None, places=None):
    labels = np.arange(len(codes)) % 2 if labels is None else np.array(labels)
    rows = np.arange(1, len(codes) + 1)
    return LabelledSplit([f"r{i}" for i in rows], list(codes), labels, rows, None, places)


def task(**splits):
    return LabelledData(splits, "binary", ("0", "1"))


def count(report, check, split, against):
    """The number and the note of one line."""
    table = report.table
    found = table[
        (table["check"] == check) & (table["split"] == split) & (table["against"] == against)
    ]
    assert len(found) == 1, report.text()
    return found["rows"].iloc[0], found["note"].iloc[0]


def mutated(codes, places):
    changed = codes.copy()
    changed[places] = (changed[places] + 1) % 4
    return changed


# ---------------------------------------------------------------- identical, near, contained


def test_identical_rows_are_counted_on_both_strands_with_their_conflicts():
    random = np.random.default_rng(0)
    rows = [random_codes(random, 60) for _ in range(12)]
    train = split_of([*rows[:6], rows[0]], [0, 1, 0, 1, 0, 1, 1])
    test = split_of([rows[0], reverse_complement(rows[1]), rows[7], rows[8]], [0, 1, 0, 1])
    report = leakage(task(train=train, test=test))
    assert count(report, "identical", "train", "train") == (2, "2 with another label")
    # The first is class 0 in test and both classes in training; the second agrees.
    assert count(report, "identical", "test", "train") == (2, "1 with another label")
    assert count(report, "identical", "test", "test") == (0, "")
    assert report.share("test", "train") == 0.5
    kept = drop_leaks(task(train=train, test=test), report)
    assert kept.splits["train"].rows.tolist() == [3, 4, 5, 6]
    assert kept.splits["test"] is test


def test_rows_of_several_labels_conflict_where_one_label_differs():
    random = np.random.default_rng(0)
    rows = [random_codes(random, 60) for _ in range(4)]
    train = split_of(rows[:3], [[0, 1], [1, 1], [1, 0]])
    test = split_of([rows[0], rows[1], rows[3]], [[0, 1], [1, 0], [1, 0]])
    data = LabelledData({"train": train, "test": test}, "multilabel", ("a", "b"))
    assert count(leakage(data), "identical", "test", "train") == (2, "1 with another label")


@pytest.mark.parametrize("empty", ["train", "dev", "test", "all"])
def test_a_split_without_rows_has_no_leaks(empty):
    rows = [random_codes(np.random.default_rng(0), 60)] * 2
    splits = {s: split_of([] if empty in (s, "all") else rows) for s in ("train", "dev", "test")}
    report = leakage(task(**splits))
    for check in ("identical", "near-duplicate"):
        for split, against in (("dev", "train"), ("test", "train"), ("test", "dev")):
            expected = 0 if empty in (split, against, "all") else 2
            assert count(report, check, split, against)[0] == expected


def test_near_duplicates_across_and_within_splits():
    random = np.random.default_rng(1)
    rows = [random_codes(random, 300) for _ in range(40)]
    near = [mutated(rows[i], slice(7, None, 60)) for i in range(3)]
    far = [mutated(rows[i], slice(0, None, 6)) for i in range(3, 6)]
    train = split_of([*rows, mutated(rows[39], [150])])
    test = split_of([near[0], reverse_complement(near[1]), near[2], *far])
    report = leakage(task(train=train, test=test))
    assert count(report, "near-duplicate", "test", "train")[0] == 3
    assert count(report, "near-duplicate", "train", "train")[0] == 2
    assert count(report, "near-duplicate", "test", "test")[0] == 0
    assert count(report, "identical", "test", "train")[0] == 0
    kept = drop_leaks(task(train=train, test=test), report).splits["train"]
    assert sorted(set(train.ids) - set(kept.ids)) == ["r1", "r2", "r3"]
    quick = leakage(task(train=train, test=test), settings=LeakageSettings(near=False))
    assert not (quick.table["check"] == "near-duplicate").any()


def distinct_words(codes):
    text, turned = decode(codes), decode(reverse_complement(codes))[::-1]
    at = range(len(text) - DUPLICATE_K + 1)
    return {min(text[i : i + DUPLICATE_K], turned[i : i + DUPLICATE_K][::-1]) for i in at}


def test_near_duplicates_equal_a_plain_loop_over_all_pairs():
    random = np.random.default_rng(2)
    seeds = [random_codes(random, n) for n in random.integers(80, 300, 60)]
    rows = []
    for seed in seeds:
        rows.append(seed)
        for _ in range(2):
            copy = mutated(seed, random.random(len(seed)) < random.choice([0.01, 0.04, 0.08]))
            low = random.integers(0, len(copy) // 3)
            rows.append(reverse_complement(copy[low:]) if random.random() < 0.5 else copy[low:])
    part = random.integers(0, 3, len(rows))
    words = [distinct_words(row) for row in rows]
    expected = np.zeros((len(rows), 3), bool)
    for i, j in permutations(range(len(rows)), 2):
        positions = min(len(rows[i]), len(rows[j])) - DUPLICATE_K + 1
        if len(words[i] & words[j]) >= SHARED_POSITIONS * positions:
            expected[i, part[j]] = True
    assert 50 < expected.sum() < 200
    assert (near_duplicates_in(rows, part) == expected).all()


def test_every_row_of_a_large_family_finds_its_part():
    random = np.random.default_rng(3)
    seed = random_codes(random, 150)
    family = [mutated(seed, random.integers(0, 150, 2)) for _ in range(200)]
    strangers = [random_codes(random, 150) for _ in range(50)]
    part = np.repeat([0, 1, 2], [150, 50, 50])
    found = near_duplicates_in([*family, *strangers], part)
    assert found[:200, :2].all() and not found[200:].any() and not found[:, 2].any()
    # Direct pairs never leave the groups of chained pairs.
    groups = near_duplicate_groups([*family, *strangers])
    assert len(set(groups[:200].tolist())) == 1


def test_contained_rows_are_found_on_both_strands_and_equal_lengths_are_not():
    random = np.random.default_rng(4)
    long = [random_codes(random, 300) for _ in range(10)]
    inside = [long[0][:70], reverse_complement(long[1][150:220]), long[2][-70:]]
    across = np.concatenate([long[3][-35:], long[4][:35]])
    broken = mutated(long[5][:70], [40])
    rows = [*inside, across, broken, random_codes(random, 70), long[6], encode("ACGT")]
    found, holds, skipped = contained_in(rows, long)
    assert found.tolist() == [True] * 3 + [False] * 5
    assert holds.tolist() == [True] * 3 + [False] * 7
    assert skipped == 1
    data = task(train=split_of(long), test=split_of(rows))
    report = leakage(data)
    assert count(report, "contained", "test", "train")[0] == 3
    assert "1 rows without 32 known bases" in count(report, "contained", "test", "train")[1]
    assert count(report, "contained", "train", "test")[0] == 0
    assert "r1" not in drop_leaks(data, report).splits["train"].ids
    turned = task(train=split_of(rows, [0, 1, 0, 0, 1, 1, 0, 0]), test=split_of(long))
    kept = drop_leaks(turned, leakage(turned))
    assert kept.splits["train"].ids == ["r4", "r6", "r8"]


def test_a_row_of_the_same_length_is_identical_and_not_contained():
    random = np.random.default_rng(12)
    rows = [random_codes(random, 300), random_codes(random, 400)]
    found, holds, _ = contained_in([rows[0], rows[1][:300]], rows)
    assert found.tolist() == [False, True] and holds.tolist() == [False, True]


@given(st.data())
def test_occurrences_equal_a_plain_search(data):
    letters = st.text("ACGTN", min_size=0, max_size=40)
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 16)))
    row = random_codes(random, data.draw(st.integers(32, 100)))
    copies = [row, reverse_complement(row), row[:-1], mutated(row, [len(row) // 2])]
    pieces = data.draw(st.lists(st.one_of(letters, st.integers(0, 3)), max_size=8))
    parts = [encode(p) if isinstance(p, str) else copies[p] for p in pieces]
    text = np.concatenate([np.empty(0, np.uint8), *parts])
    found = {int(s) for hits in Finder([row]).occurrences(text) for s in hits.start}
    wanted, letters = decode(text), [decode(row), decode(reverse_complement(row))]
    expected = {
        i for i in range(len(wanted)) if any(wanted.startswith(each, i) for each in letters)
    }
    assert found == expected


@given(st.integers(64, 400), st.integers(0, 1 << 16))
def test_no_row_with_two_percent_of_mismatches_is_missed(length, seed):
    random = np.random.default_rng(seed)
    row = random_codes(random, length)
    allowed = int(0.02 * length)
    at = random.choice(length, allowed + 1, replace=False)
    text = np.concatenate([random_codes(random, 50), mutated(row, at[:allowed]), row[:9]])
    finder = Finder([row], mismatch_share=0.02)
    assert [h.start.tolist() for h in finder.occurrences(text)] == [[50]]
    worse = np.concatenate([random_codes(random, 50), mutated(row, at)])
    assert [h.start.tolist() for h in finder.occurrences(worse)] == [[]]


def test_chunks_of_a_text_change_nothing(monkeypatch):
    random = np.random.default_rng(5)
    text = random_codes(random, 5000)
    rows = [text[i : i + 80].copy() for i in range(0, 4900, 37)]
    monkeypatch.setattr("findna.evaluation.leakage.occurrences.CHUNK", 64)
    monkeypatch.setattr("findna.evaluation.leakage.occurrences._COMPARED_AT_ONCE", 100)
    found = {
        (int(r), int(s))
        for hits in Finder(rows).occurrences(text)
        for r, s in zip(hits.row, hits.start, strict=True)
    }
    assert found == {(n, 37 * n) for n in range(len(rows))}


def test_rows_of_one_letter_and_of_n_neither_hang_nor_match_n():
    poly, unknown = encode("A" * 70), encode("N" * 70)
    text = encode("N" * 500 + "A" * 69 + "N" * 200)
    found, _, skipped = contained_in([poly, unknown], [text])
    assert not found.any() and skipped == 1
    # One unknown letter leaves a row of 32 nothing to be looked up by, wherever it stands.
    spoiled = [encode("A" * at + "N" + "A" * (31 - at)) for at in (0, 15, 31)]
    assert contained_in(spoiled, [encode("A" * 300)])[2] == 3
    assert contained_in([poly], [encode("A" * 300)])[0].all()


# ---------------------------------------------------------------- intervals


@settings(max_examples=12)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(1, 9)), min_size=4)
)
def test_overlaps_equal_a_plain_loop(spans):
    random = np.random.default_rng(6)
    half = len(spans) // 2

    def placed(some):
        chrom, start, length = (list(column) for column in zip(*some, strict=True))
        end = [s + n for s, n in zip(start, length, strict=True)]
        codes = [random_codes(random, n) for n in length]
        return split_of(codes, None, RowPlaces.of(chrom, start, end, ["."] * len(some)))

    train, test = placed(spans[:half]), placed(spans[half:])
    report = leakage(task(train=train, test=test), settings=LeakageSettings(near=False))

    def overlapping(some, others):
        return sum(
            any(a[0] == b[0] and a[1] < b[1] + b[2] and b[1] < a[1] + a[2] and a is not b
                for b in others)
            for a in some
        )  # fmt: skip

    spans = [tuple([*span]) for span in spans]
    assert count(report, "overlapping", "test", "train")[0] == overlapping(
        spans[half:], spans[:half]
    )
    twins = [[*span] for span in spans[half:]]
    assert count(report, "overlapping", "test", "test")[0] == overlapping(twins, twins)


# ---------------------------------------------------------------- pretraining


@pytest.fixture
def genome(tmp_path):
    random = np.random.default_rng(7)
    chroms = {f"chr{n}": decode(random_codes(random, 4000)) for n in (1, 2, 3)}
    (tmp_path / "g.fa").write_text("".join(f">{n}\n{s}\n" for n, s in chroms.items()))
    return Genome.open(tmp_path / "g.fa", cache=tmp_path / "cache")


def model_of(genome, **more):
    model = new_model(SMALL, seed=0)
    model.provenance = {
        "genome": genome.source,
        "genome_digest": genome.digest,
        "held_out": "named",
        "held_out_chromosomes": ["chr3"],
        "trained_lengths": [64, 128],
        "steps": 10,
        **more,
    }
    return model


def pieces(genome, places, strand="+"):
    return [genome.fetch(chrom, start, start + 100, strand).codes for chrom, start in places]


def test_rows_are_looked_up_in_the_genome_and_held_out_ones_told_apart(genome):
    random = np.random.default_rng(8)
    seen = pieces(genome, [("chr1", 10), ("chr2", 3900)])
    held = pieces(genome, [("chr3", 0)], "-")
    border = np.concatenate([genome.fetch("chr1", 3950, 4000).codes, seen[0][:0]])
    border = np.concatenate([border, genome.fetch("chr2", 0, 50).codes])
    test = split_of([*seen, *held, border, random_codes(random, 100), mutated(seen[0], [3])])
    train = split_of([random_codes(random, 100) for _ in range(4)])
    data = task(train=train, test=test)
    report = leakage(data, model=model_of(genome), genome=genome)
    where = genome.source
    assert count(report, "in pretraining genome", "test", where)[0] == 4
    rows, note = count(report, "in pretraining, seen", "test", where)
    assert rows == 3 and note.startswith("1 more only in held-out")
    strict = leakage(
        data, model=model_of(genome), genome=genome, settings=LeakageSettings(mismatch_share=0)
    )
    assert count(strict, "in pretraining genome", "test", where)[0] == 3
    everything = leakage(data, genome=genome)
    assert count(everything, "in pretraining, seen", "test", where)[0] == 4
    tuned = new_model(SMALL, seed=0)
    tuned.provenance = {"started_from": model_of(genome).provenance}
    again = leakage(data, model=tuned, genome=genome)
    assert count(again, "in pretraining, seen", "test", where)[0] == 3


def test_a_row_in_both_parts_counts_as_seen(genome):
    row = genome.fetch("chr1", 0, 100).codes
    runs = np.array([[50, 60]])
    assert locate([row], genome, runs, mismatch_share=0).seen.tolist() == [True]
    located = locate([row], genome, np.array([[100, 4000]]), mismatch_share=0)
    assert located.inside.all() and not located.seen.any()


def test_coordinates_are_used_where_they_read_alike_and_refused_where_not(genome):
    at = [("chr1", 10), ("1", 200), ("chr3", 7)]
    codes = pieces(genome, at)
    places = RowPlaces.of([c for c, _ in at], [s for _, s in at], [s + 100 for _, s in at], "+-+")
    data = task(train=split_of(codes[:1] * 2, [0, 1]), test=split_of(codes, [0, 1, 0], places))
    report = leakage(data, model=model_of(genome), genome=genome)
    check = "in pretraining, seen, by coordinates"
    assert count(report, check, "test", genome.source)[0] == 2
    _, note = count(report, check, "train", genome.source)
    assert note == "not checked: the rows have no coordinates"
    moved = RowPlaces(places.chrom, places.start + 1, places.end + 1, places.strand)
    data = task(train=data.splits["train"], test=split_of(codes, [0, 1, 0], moved))
    _, note = count(leakage(data, genome=genome), check, "test", genome.source)
    assert note.startswith("not checked: only 0 of 3 rows match the genome")


def test_coordinates_are_compared_from_the_first_row_to_the_last(genome):
    """Half of the rows are of another build, and they stand behind the others."""
    starts = np.arange(1600)
    codes = pieces(genome, [("chr1", start) for start in starts])
    moved = starts + (starts >= 800)
    places = RowPlaces.of(["chr1"] * 1600, moved, moved + 100, ["+"] * 1600)
    found = placed_rows(split_of(codes, places=places), genome, seen_part(genome, None))
    assert "only 400 of 800 rows match the genome" in found


def test_what_cannot_be_checked_is_never_none(genome):
    data = task(train=split_of([encode("ACGT" * 20)] * 2, [0, 1]))
    report = leakage(data, model=model_of(genome))
    rows, note = count(report, "in pretraining, seen", "all", "the pretraining genome")
    assert rows is not None and note.startswith("not checked: the pretraining genome is needed")
    assert report.as_dict()["leakage"][-1]["rows"] is None
    other = leakage(data, model=model_of(genome, genome_digest="sha256:1"), genome=genome)
    assert "not the FASTA the model was pretrained on" in other.text()
    bare = leakage(data, model=new_model(SMALL, seed=0), genome=genome)
    assert "not checked: the model records no pretraining genome" in bare.text()
    assert (
        "overlapping: all against all: not checked: train rows have no coordinates" in bare.text()
    )


def test_the_seen_part_comes_from_the_run_or_from_the_card(genome, tmp_path):
    card = seen_part(genome, Pretraining(model_of(genome).provenance))
    assert card.runs.tolist() == [[0, 4000], [4000, 8000]] and "no --exclude" in card.note
    (tmp_path / "run").mkdir()
    model_of(genome).save(tmp_path / "run" / "model")
    bed = tmp_path / "out.bed"
    bed.write_text("chr1\t0\t1000\n")
    sampling = {"window": 128, "validation_chroms": ["chr3"], "exclude": str(bed)}
    run = {"verb": "pretrain", "settings": {"sampling": sampling}}
    (tmp_path / "run" / "settings.yaml").write_text(json.dumps(run))
    row = split_of(pieces(genome, [("chr1", 100), ("chr1", 2000)]))
    for path in ("run", "run/model"):
        report = leakage(task(train=row), model=tmp_path / path, genome=genome)
        rows, note = count(report, "in pretraining, seen", "train", genome.source)
        assert rows == 1 and "the settings of the run" in note
    bed.unlink()
    report = leakage(task(train=row), model=tmp_path / "run", genome=genome)
    assert count(report, "in pretraining, seen", "train", genome.source)[0] == 2
    assert "the whole genome counts as seen" in report.text()


@pytest.mark.parametrize("before", ["none", "the same", "another"])
def test_a_model_that_went_on_from_another_genome_says_so(genome, before):
    digest = {"none": None, "the same": genome.digest, "another": "sha256:other"}[before]
    note = seen_part(genome, Pretraining(model_of(genome, continued_from=digest).provenance)).note
    assert ("another genome" in note) == (before == "another")
    assert ("the whole genome counts as seen" in note) == (before == "the same")


def test_what_was_read_before_a_model_went_on_is_seen(genome):
    """On this genome, then on another, then on this one again, each time other chromosomes."""
    first = model_of(genome).provenance
    between = {**first, "genome_digest": "sha256:other", "continued_from": first}
    last = model_of(genome, held_out_chromosomes=["chr1", "chr2"], continued_from=between)
    seen = seen_part(genome, Pretraining(last.provenance))
    assert seen.runs.tolist() == [[0, 4000], [4000, 8000], [8000, len(genome.store)]]
    assert "another genome" in seen.note and "before it continued" in seen.note


def test_the_genome_before_the_last_is_checked_too(genome):
    first = model_of(genome).provenance
    last = model_of(genome, genome_digest="sha256:other", continued_from=first)
    rows = split_of(pieces(genome, [("chr1", 100), ("chr3", 100)]), [0, 1])
    report = leakage(task(train=rows), model=last, genome=genome)
    found, note = count(report, "in pretraining, seen", "train", genome.source)
    assert found == 1 and note.endswith("also pretrained on another genome, which is not checked")


def test_a_card_that_names_its_bed_files_is_believed(genome, tmp_path):
    bed = tmp_path / "out.bed"
    bed.write_text("chr1\t0\t1000\n")
    provenance = model_of(genome, exclude=str(bed)).provenance
    seen = seen_part(genome, Pretraining(provenance))
    assert seen.runs.tolist() == [[1000, 4000], [4000, 8000]]
    assert seen.note.endswith(f"with exclude {bed}")
    bed.unlink()
    assert seen_part(genome, Pretraining(provenance)).note.endswith(f"{bed} (not here)")


def test_regions_that_are_placed_otherwise_all_count_as_seen(genome):
    same = seen_part(genome, Pretraining(model_of(genome, placing=None).provenance))
    assert same.runs.tolist() == [[0, 4000], [4000, 8000]]
    other = seen_part(genome, Pretraining(model_of(genome, placing="sha256:other").provenance))
    assert other.runs.tolist() == genome.runs.tolist() and "not placed as they were" in other.note


# ---------------------------------------------------------------- other tasks, the report, dropping


def test_other_tasks_and_the_forms_of_the_report():
    random = np.random.default_rng(9)
    long = [random_codes(random, 200) for _ in range(6)]
    test = split_of([long[0][20:90], long[1], random_codes(random, 70)])
    data = task(train=split_of([random_codes(random, 70) for _ in range(4)]), test=test)
    other = task(train=split_of(long[:1] * 2), dev=split_of(long[1:2]), test=split_of(long[2:]))
    report = leakage(data, others={"long": other})
    assert count(report, "contained", "test", "long train and dev")[0] == 1
    assert count(report, "identical", "test", "long train and dev")[0] == 1
    assert report.share("test", "train") == 0
    stored = report.as_dict()["leakage"]
    assert len(stored) == len(report.table) == len(report.text().splitlines())
    assert list(stored[0]) == ["check", "split", "against", "rows", "of", "threshold", "note"]


def test_dropping_counts_keeps_test_and_refuses_to_lose_a_class(caplog):
    caplog.set_level("INFO", "findna")
    random = np.random.default_rng(10)
    rows = [random_codes(random, 60) for _ in range(8)]
    data = task(
        train=split_of(rows[:6], [0, 1, 0, 1, 0, 1]),
        dev=split_of([rows[0], rows[7]]),
        test=split_of([rows[1], rows[7]]),
    )
    report = leakage(data)
    kept = drop_leaks(data, report)
    assert [len(split) for split in kept.splits.values()] == [4, 2, 2]
    assert "dropped 2 of 6 train rows" in caplog.text
    assert len(drop_leaks(data, report, dev=True).splits["dev"]) == 1
    lost = task(train=split_of(rows[:2], [0, 1]), test=split_of(rows[:1], [0]))
    with pytest.raises(BadInput, match="no training row of 0"):
        drop_leaks(lost, leakage(lost))


def test_training_rows_that_hold_a_test_row_or_overlap_one_are_dropped():
    random = np.random.default_rng(12)
    rows = [random_codes(random, 80) for _ in range(4)]
    holds = task(train=split_of(rows, [0, 0, 1, 1]), test=split_of([rows[0][10:60]]))
    report = leakage(holds, settings=LeakageSettings(near=False))
    assert report.marks["train", "test"].tolist() == [True, False, False, False]
    assert drop_leaks(holds, report).splits["train"].ids == ["r2", "r3", "r4"]

    def placed(starts):
        codes = [random_codes(random, 50) for _ in starts]
        ends, strands = [start + 50 for start in starts], ["+"] * len(starts)
        places = RowPlaces.of(["a"] * len(starts), starts, ends, strands)
        return split_of(codes, np.arange(len(starts)) // 2, places)

    beside = task(train=placed([0, 100, 200, 300]), test=placed([149]))
    report = leakage(beside)
    assert report.marks["train", "test"].tolist() == [False, True, False, False]
    assert drop_leaks(beside, report).splits["train"].ids == ["r1", "r3", "r4"]


# ---------------------------------------------------------------- real data


def codes_of_file(path):
    return [record.codes for record in read_records(path)]


def test_core_all_test_rows_in_their_own_train(shared_data):
    data = read_labelled(shared_data("gue/prom/prom_core_all"))
    report = leakage(data, settings=LeakageSettings(near=False))
    assert count(report, "identical", "test", "train") == (43, "6 with another label")


def test_core_rows_within_longer_promoters(shared_data):
    rows = codes_of_file(shared_data("gue/prom/prom_core_all/test.csv.gz"))[:1500]
    names = ["all/dev", "notata/dev", "tata/dev", "tata/train"]
    longer = [
        row
        for name in names
        for row in codes_of_file(shared_data(f"gue/prom/prom_300_{name}.csv.gz"))
    ]
    inside, _, skipped = contained_in(rows, longer)
    text = "\n".join(map(decode, longer))
    assert (int(inside.sum()), skipped) == (750, 0)
    some = [decode(row) for row in rows[:60]]
    other = [decode(reverse_complement(row)) for row in rows[:60]]
    plain = [one in text or two in text for one, two in zip(some, other, strict=True)]
    assert inside[:60].tolist() == plain


@pytest.mark.slow
def test_rows_inside_the_human_regions_and_yeast(shared_data):
    human = Genome.open(shared_data("human_hg38/hg38_regions.fa.gz"))
    tf = codes_of_file(shared_data("gue/tf/0/test.csv.gz"))[:300]
    tata = codes_of_file(shared_data("gue/prom/prom_300_tata/test.csv.gz"))[:300]
    located = locate([*tf, *tata], human, np.array([[0, human.total]]), mismatch_share=0)
    assert (located.inside[:300].sum(), located.inside[300:].sum()) == (18, 13)
    yeast = Genome.open(shared_data("yeast/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"))
    windows = codes_of_file(shared_data("gue/EMP/H3/test.csv.gz"))[:200]
    found = locate(windows, yeast, np.array([[0, yeast.total]]), mismatch_share=0)
    assert found.inside.sum() == 193


def test_intervals_of_genomic_benchmarks_overlap_as_their_sequences_do(shared_data):
    data = read_labelled(shared_data("genomic_benchmarks/human_enhancers_ensembl"))
    report = leakage(data, settings=LeakageSettings(near=False))
    identical = count(report, "identical", "test", "train")[0]
    assert identical == 352
    assert count(report, "overlapping", "test", "train")[0] >= identical


def test_an_unknown_letter_of_a_row_hides_nothing(genome, tmp_path):
    """A row that was cut from the genome with its N, and one with N where the genome knows."""
    file = tmp_path / "gaps.fa"
    random = np.random.default_rng(8)
    letters = random.integers(0, 4, 3000).astype(np.uint8)
    letters[1000:1010] = 4
    file.write_text(f">a\n{decode(letters)}\n")
    with_gap, masked, other = letters[950:1150], letters[2000:2200].copy(), letters[200:400].copy()
    masked[50:60] = 4
    other[50:60] = 3 - other[50:60]
    opened = Genome.open(file)
    found = locate([with_gap, masked, other], opened, opened.runs, mismatch_share=0.02)
    assert found.inside.tolist() == [True, True, False] and not found.unknown.any()
    inside, _, _ = contained_in([with_gap, masked, other], [letters])
    assert inside.tolist() == [True, True, False]
    # The end of one row and the beginning of the next are no place for a row with N between.
    seam = np.concatenate([letters[-60:], np.full(1, 4, np.uint8), letters[:60]])
    assert not contained_in([seam], [letters, letters])[0].any()
