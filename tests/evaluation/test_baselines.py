"""The two cheap models."""

import numpy as np
import pytest

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.labels import read_labelled
from findna.evaluation.contenders.baselines import (
    BaselineSettings,
    MajorityContender,
    kmer_baseline,
    majority_baseline,
)
from findna.evaluation.contenders.composition import CompositionContender, composition, length_steps
from findna.evaluation.contenders.places import MOST_PLACES, PlacesContender, placed_words
from findna.evaluation.contenders.words import KmerContender, WordSettings, word_shares
from findna.sequence.alphabet import encode, reverse_complement

QUICK = BaselineSettings(ks=(2, 3), strengths=(0.01, 0.1), folds=3, repeats=2)


def split_of(codes, labels):
    return LabelledSplit(
        [f"s{i}" for i in range(len(codes))], codes, labels, np.arange(1, len(codes) + 1)
    )


def motif_split(n, seed, both_strands=False):
    """Class 1 is full of AAC, class 0 is random."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(n) % 2)
    codes = []
    for label in labels:
        row = random.integers(0, 4, random.integers(40, 60)).astype(np.uint8)
        if label:
            row[random.integers(0, 38, 4)[:, None] + np.arange(3)] = [0, 0, 1]
        codes.append(reverse_complement(row) if both_strands and random.random() < 0.5 else row)
    return split_of(codes, labels)


def motif_data(**how):
    sizes = (("train", 200, 0), ("dev", 50, 1), ("test", 100, 2))
    return LabelledData(
        {name: motif_split(n, s, **how) for name, n, s in sizes}, "binary", ("0", "1")
    )


def test_words_tell_the_classes_apart_and_the_commonest_answer_does_not():
    found = kmer_baseline(motif_data(), QUICK)
    metrics = found.judgement.metrics(seed=0)
    assert metrics["accuracy"].value > 0.85
    assert found.chosen[0]["k"] == 3
    plain = majority_baseline(motif_data(), QUICK).judgement.metrics(seed=0)
    assert plain["mcc"].value == 0 and plain["auroc"].value == 0.5


def test_strands_are_put_together_when_validation_says_so():
    found = kmer_baseline(motif_data(both_strands=True), QUICK)
    assert found.chosen[0] == {"k": 3, "canonical": True, "C": found.chosen[0]["C"]}
    assert found.judgement.metrics(seed=0)["accuracy"].value > 0.8


def test_shuffled_labels_give_chance():
    data = motif_data()
    random = np.random.default_rng(5)
    splits = {k: split_of(v.codes, random.permutation(v.labels)) for k, v in data.splits.items()}
    metrics = kmer_baseline(LabelledData(splits, "binary", ("0", "1")), QUICK).judgement.metrics(
        seed=0
    )
    assert metrics["auroc"].low < 0.5 < metrics["auroc"].high


def test_the_test_split_takes_no_part_in_learning():
    data = motif_data()
    test = data.splits["test"]
    flipped = LabelledData(
        {**data.splits, "test": split_of(test.codes, 1 - test.labels)}, "binary", ("0", "1")
    )
    one, two = kmer_baseline(data, QUICK), kmer_baseline(flipped, QUICK)
    assert one.chosen == two.chosen
    assert np.array_equal(one.judgement.answers[0].scores, two.judgement.answers[0].scores)


def test_without_a_test_split_every_row_is_judged_in_every_repeat():
    data = LabelledData({"train": motif_split(120, 0)}, "binary", ("0", "1"))
    found = kmer_baseline(data, QUICK)
    assert len(found.judgement.answers) == 2 and len(found.chosen) == 6
    assert found.judgement.metrics(seed=0)["accuracy"].value > 0.75
    assert found.judgement.p_values(seed=0)["mcc"] < 0.01


def test_values_and_several_labels():
    rows = {
        name: motif_split(n, s)
        for name, n, s in (("train", 200, 0), ("dev", 50, 1), ("test", 100, 2))
    }
    words = {k: np.array([[float((c[:-1] == 0).sum())] for c in v.codes]) for k, v in rows.items()}
    values = LabelledData(
        {k: split_of(v.codes, words[k]) for k, v in rows.items()}, "regression", ("a",)
    )
    assert kmer_baseline(values, QUICK).judgement.metrics(seed=0)["pearson"].value > 0.6
    mean = majority_baseline(values, QUICK).judgement.answers[0].scores
    assert np.allclose(mean, words["train"].mean())
    tags = {
        k: split_of(v.codes, np.stack([v.labels, np.zeros_like(v.labels)], 1))
        for k, v in rows.items()
    }
    many = kmer_baseline(LabelledData(tags, "multilabel", ("x", "never")), QUICK)
    assert many.judgement.answers[0].scores[:, 1].max() == 0
    metrics = many.judgement.metrics(seed=0)
    assert metrics["exact_match"].value > 0.85
    assert metrics["auroc_macro"].value is None and "never" in metrics["auroc_macro"].reason


def test_real_promoters_reach_the_level_known_for_words(shared_data):
    data = read_labelled(shared_data("gue/prom/prom_300_tata"))
    few = BaselineSettings(ks=(5,), canonical=(False,), strengths=(1e-3,))
    found = kmer_baseline(data, few).judgement.metrics(seed=0)
    assert found["mcc"].value == pytest.approx(0.42, abs=0.06)


# ---------------------------------------------------------------- as contenders


def learnable(data):
    return LabelledData({k: data.splits[k] for k in ("train", "dev")}, data.kind, data.classes)


def test_the_contender_is_the_baseline():
    data = motif_data()
    contender = KmerContender(QUICK)
    learned = contender.learn(learnable(data), seed=0)
    found = kmer_baseline(data, QUICK)
    assert dict(learned.chosen) == found.chosen[0]
    answers = found.judgement.answers[0]
    assert np.array_equal(learned.scores(data.splits["test"]), answers.scores)
    assert learned.threshold == answers.threshold
    plain = MajorityContender().learn(learnable(data), 0).scores(data.splits["test"])
    assert np.array_equal(plain, majority_baseline(data, QUICK).judgement.answers[0].scores)


@pytest.mark.parametrize(
    "contender", [KmerContender(QUICK), CompositionContender(), MajorityContender()]
)
def test_a_settled_choice_is_one_entry_of_the_grid_and_is_kept(contender):
    data = learnable(motif_data())
    learned = contender.learn(data, seed=0)
    assert learned.chosen in contender.grid and not contender.draws
    again = contender.learn(data, seed=1, settled=learned.chosen)
    assert again.chosen == learned.chosen
    assert np.array_equal(again.scores(data.splits["dev"]), learned.scores(data.splits["dev"]))
    for entry in contender.grid:
        assert contender.learn(data, seed=0, settled=entry).chosen == entry


def test_shares_of_words_by_hand_and_by_a_plain_loop(rng):
    #        A  C  G  T  N  A  A
    codes = [np.array([0, 1, 2, 3, 4, 0, 0], np.uint8), np.array([4, 4], np.uint8)]
    found = word_shares(split_of(codes, np.zeros(2)), 2, False).toarray()
    assert found[0, [0b0001, 0b0110, 0b1011, 0b0000]].tolist() == [0.25] * 4
    assert found[0].sum() == 1 and found[1].sum() == 0
    for canonical in (False, True):
        for k in (1, 2, 3, 4):
            rows = split_of([rng.integers(0, 5, 60).astype(np.uint8)], np.zeros(1))
            want = np.zeros(4**k)
            for at in range(60 - k + 1):
                word = rows.codes[0][at : at + k]
                if word.max() < 4:
                    number, other = (
                        int((w.astype(int) * 4 ** np.arange(k)[::-1]).sum())
                        for w in (word, reverse_complement(word))
                    )
                    want[min(number, other) if canonical else number] += 1
            shares = word_shares(rows, k, canonical).toarray()[0]
            assert np.allclose(shares, want / want.sum())


def test_composition_by_hand():
    #        A  A  C  G  T  N
    codes = [np.array([0, 0, 1, 2, 3, 4], np.uint8), np.array([4, 4, 4], np.uint8)]
    found = composition(split_of(codes, np.zeros(2)), canonical=False)
    assert found.shape == (2, 19)
    assert found[0, :3] == pytest.approx([6, 2 / 5, 1 / 6])
    # AA, AC, CG, GT
    assert found[0, 3:][[0, 1, 6, 11]].tolist() == [0.25] * 4
    assert found[1, :3].tolist() == [3, 0, 1] and found[1, 3:].sum() == 0
    folded = composition(split_of(codes, np.zeros(2)), canonical=True)
    assert folded.shape == (2, 13) and folded[0, 3:].sum() == pytest.approx(1)
    # GT is AC on the other strand: AA 1, AC 2, CG 1 of 4.
    assert sorted(folded[0, 3:])[-3:] == [0.25, 0.25, 0.5]


def test_folded_composition_is_the_same_on_both_strands(rng):
    codes = [rng.integers(0, 5, n).astype(np.uint8) for n in (7, 30, 100)]
    turned = [reverse_complement(c) for c in codes]
    one, other = (composition(split_of(c, np.zeros(3)), True) for c in (codes, turned))
    assert np.allclose(one, other)
    assert not np.allclose(*(composition(split_of(c, np.zeros(3)), False) for c in (codes, turned)))


def shifted_data(letters_of):
    """Two classes whose letters are drawn by `letters_of(class)`: nothing but composition."""
    splits = {}
    for seed, (name, n) in enumerate((("train", 300), ("dev", 100), ("test", 200))):
        random = np.random.default_rng(seed)
        labels = np.arange(n) % 2
        codes = [letters_of(int(label), random).astype(np.uint8) for label in labels]
        splits[name] = split_of(codes, labels)
    return LabelledData(splits, "binary", ("0", "1"))


@pytest.mark.parametrize(
    "letters_of",
    [
        lambda label, random: random.choice(4, 80, p=[[0.25] * 4, [0.15, 0.35, 0.35, 0.15]][label]),
        lambda label, random: random.integers(0, 4, random.integers(40, 60) + 15 * label),
        lambda label, random: np.where(
            random.random(80) < [0.02, 0.15][label], 4, random.integers(0, 4, 80)
        ),
        # Neither is longer; one has two lengths only.
        lambda label, random: random.integers(
            0, 4, random.choice([40, 80]) if label else random.integers(30, 91)
        ),
    ],
    ids=["gc", "length", "n", "lengths"],
)
def test_composition_shows_when_a_task_is_only_composition(letters_of):
    data = shifted_data(letters_of)
    learned = CompositionContender().learn(learnable(data), seed=0)
    test = data.splits["test"]
    said = learned.scores(test)[:, 1] >= learned.threshold
    assert (said == test.labels).mean() > 0.8


def test_length_steps_by_hand():
    taught = np.repeat([10, 20, 30, 40], [1, 100, 2, 97])
    found = length_steps(np.array([5, 20, 25, 40]), taught)
    # Steps are at 20 and 40; each of the four is common, as one row of 200 is half a percent.
    assert found.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 1],
    ]
    assert length_steps(np.array([10]), np.repeat([10, 20], [1, 300])).shape == (1, 2)


def test_composition_answers_every_kind_of_task():
    rows = learnable(motif_data()).splits
    tags = {k: split_of(v.codes, np.stack([v.labels, 1 - v.labels], 1)) for k, v in rows.items()}
    many = CompositionContender().learn(LabelledData(tags, "multilabel", ("x", "y")), 0)
    assert many.scores(rows["dev"]).sum(1) == pytest.approx(1, abs=1e-3)
    gc = {
        k: split_of(v.codes, np.array([[np.isin(c, (1, 2)).mean()] for c in v.codes]))
        for k, v in rows.items()
    }
    values = CompositionContender(strengths=(100.0,)).learn(
        LabelledData(gc, "regression", ("gc",)), 0
    )
    assert np.allclose(values.scores(rows["dev"]), gc["dev"].labels, atol=1e-3)


# ---------------------------------------------------------------- places


def test_placed_words_by_hand():
    codes = [encode("ACNG"), encode("TT"), encode("G")]
    letters = placed_words(split_of(codes, np.zeros(3)), 1, places=3).toarray()
    wanted = np.zeros((3, 12))
    wanted[0, [0, 5]] = wanted[1, [3, 7]] = wanted[2, 2] = 1  # place 2 of the first is an N
    assert (letters == wanted).all()
    pairs = placed_words(split_of(codes, np.zeros(3)), 2, places=3)
    assert pairs.shape == (3, 48) and pairs.has_sorted_indices
    assert [row.indices.tolist() for row in pairs] == [[1], [15], []]


@pytest.mark.parametrize("k", [1, 2])
def test_placed_words_are_those_read_one_by_one(k, rng):
    codes = [rng.integers(0, 5, n).astype(np.uint8) for n in (30, 1, 12, 45)]
    found = placed_words(split_of(codes, np.zeros(4)), k, places=20).toarray()
    found = found.reshape(4, 20, 4**k)
    for row, code in zip(found, codes, strict=True):
        for place in range(20):
            word = code[place : place + k]
            wanted = np.zeros(4**k)
            if len(word) == k and (word < 4).all():
                wanted[np.ravel_multi_index(tuple(word), (4,) * k)] = 1
            assert (row[place] == wanted).all()


def aligned_data(rows_a_class):
    """Classes that differ in where a TATA begins: at an even place, or at an odd one."""
    splits = {}
    for seed, (name, n) in enumerate(rows_a_class.items()):
        random = np.random.default_rng(seed)
        labels = np.arange(n) % 2
        codes = [random.integers(0, 4, 60).astype(np.uint8) for _ in labels]
        for code, label in zip(codes, labels, strict=True):
            at = 20 + 2 * random.integers(0, 3) + label
            code[at : at + 4] = encode("TATA")
        splits[name] = split_of(codes, labels)
    return LabelledData(splits, "binary", ("even", "odd"))


def test_places_show_when_a_task_is_told_by_how_its_rows_were_cut():
    """As GUE's prom_300_tata is: nothing but the place of a word differs, so that words counted
    tell nothing.
    """
    data = aligned_data({"train": 600, "dev": 200, "test": 300})
    test = data.splits["test"]
    right = {}
    for contender in (PlacesContender(), KmerContender(WordSettings(ks=(4,)))):
        learned = contender.learn(learnable(data), seed=0)
        said = learned.scores(test)[:, 1] >= learned.threshold
        right[contender.name] = (said == test.labels).mean()
    assert right["places"] > 0.95 and right["kmer"] < 0.65
    assert PlacesContender().learn(learnable(data), 0).chosen["k"] in (1, 2)


def test_the_choice_with_the_lower_loss_on_dev_is_kept():
    """Whether two neighbours are alike is told by the pair, and by neither letter."""
    splits = {}
    for seed, (name, n) in enumerate((("train", 400), ("dev", 200))):
        random = np.random.default_rng(seed)
        codes = [random.integers(0, 4, 12).astype(np.uint8) for _ in range(n)]
        splits[name] = split_of(codes, np.array([int(code[5] == code[6]) for code in codes]))
    data = LabelledData(splits, "binary", ("no", "yes"))
    for ks in ((1, 2), (2, 1)):
        assert PlacesContender(ks=ks).learn(data, 0).chosen["k"] == 2


def test_places_answer_rows_of_any_length(rng):
    data = aligned_data({"train": 60, "dev": 40})
    long = data.splits["train"]
    long.codes[0] = rng.integers(0, 4, MOST_PLACES + 500).astype(np.uint8)
    learned = PlacesContender(ks=(2,)).learn(data, 0)
    few = split_of([encode("A"), encode("N" * 2000)], np.zeros(2))
    scores = learned.scores(few)
    assert scores.shape == (2, 2) and np.isfinite(scores).all()
    settled = PlacesContender().learn(data, 1, {"k": 2, "C": 1e-3})
    assert settled.chosen == {"k": 2, "C": 1e-3}
