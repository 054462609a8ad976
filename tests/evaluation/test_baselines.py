"""The two cheap models."""

import numpy as np
import pytest

from findna.data.labelled import LabelledData, LabelledSplit, read_labelled
from findna.evaluation.baselines import BaselineSettings, kmer_baseline, majority_baseline
from findna.sequence.alphabet import reverse_complement

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
