"""Thresholds: what is expected of rows to come decides, and no class is shut out."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from findna.inference.answers import decisions, scores_of
from findna.inference.calibration import recalibrated
from findna.model.heads import Calibration, TaskConfig
from findna.training.calibration import fit_calibration
from findna.training.thresholds import choose_threshold, leaves_open, midway


def mcc(one, said):
    """Of shares of rows `one` (n,) that belong to the second class, and answers (n,)."""
    tp, fp = one[said].sum(), (1 - one[said]).sum()
    fn, tn = one[~said].sum(), (1 - one[~said]).sum()
    below = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / np.sqrt(below) if below > 1e-9 else 0.0


def expected_mcc(labels, scores, threshold):
    """A second implementation, from counts by hand."""
    rows = len(labels)
    below = np.array([(scores < s).sum() + (1 + (scores == s).sum()) / 2 for s in scores])
    logits = np.log(below / (rows + 1 - below))
    step = fit_calibration("binary", logits[None, :, None], labels)
    curve = expit(step.scale[0] * logits + step.shift[0])
    return mcc((rows * labels + 1000 * curve) / (rows + 1000), scores >= threshold)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=30))
@example([(0, 0.0), (1, 5e-324)])
@example([(0, 0.5), (1, float(np.nextafter(0.5, 1)))])
def test_no_other_threshold_is_expected_to_be_better(rows):
    labels, p = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if len(set(labels.tolist())) < 2:
        return
    best = expected_mcc(labels, p, choose_threshold(labels, p))
    assert all(best >= expected_mcc(labels, p, t) - 1e-6 for t in [*p, 1.1])


def test_by_hand():
    # Labels and curve agree: the gap between the classes, midway.
    labels, p = np.array([0, 0, 0, 0, 1, 1]), np.array([0.01, 0.05, 0.1, 0.2, 0.6, 0.7])
    assert choose_threshold(labels, p) == pytest.approx(0.4)
    assert choose_threshold(np.ones(3, np.int64), np.array([0.1, 0.2, 0.3])) == 0.5
    assert choose_threshold(np.array([0, 1] * 50), np.array([0.0, 1.0] * 50)) == 0.5


def drawn(random, rows, positives=0.5):
    """Rows whose logits are those of two normal classes, and honest."""
    labels = (random.random(rows) < positives).astype(np.int64)
    shift = np.log(positives / (1 - positives))
    return labels, expit(random.normal(1.5 * (labels - 0.5), 1.22) + shift)


@pytest.mark.parametrize("positives", [0.5, 0.1])
def test_rows_to_come_are_answered_better_than_by_the_best_of_few(positives):
    random = np.random.default_rng(0)
    labels, scores = drawn(random, 20_000, positives)
    gains = []
    for _ in range(60):
        few = random.choice(len(labels), 100, replace=False)
        if len(set(labels[few])) < 2:
            continue
        luck = max(np.unique(scores[few]), key=lambda t: mcc(labels[few], scores[few] >= t))
        ours = choose_threshold(labels[few], scores[few])
        gains.append(mcc(labels, scores >= ours) - mcc(labels, scores >= luck))
    assert np.mean(gains) > 0.01


def test_many_rows_decide_by_themselves():
    # No logistic curve fits: the second class lies in the middle, and rarely at the top.
    random = np.random.default_rng(1)
    scores = random.random(60_000)
    share = np.select([scores < 0.3, scores < 0.6, scores < 0.9], [0.05, 0.9, 0.4], 0.1)
    labels = (random.random(60_000) < share).astype(np.int64)
    at = choose_threshold(labels, scores)
    best = max(mcc(labels, scores >= t) for t in np.linspace(0.01, 0.99, 99))
    assert mcc(labels, scores >= at) > best - 0.005


def test_the_order_of_scores_is_all_that_matters():
    labels, scores = drawn(np.random.default_rng(2), 200)
    said = scores >= choose_threshold(labels, scores)
    for other in (scores**9, 1 - (1 - scores) ** 5, 0.5 + scores / 1000):
        assert np.array_equal(other >= choose_threshold(labels, other), said)


def test_scores_that_are_all_alike_below_are_no_harm():
    random = np.random.default_rng(2)
    labels, scores = (
        np.where(x < 0.3, 0, x) if x.dtype.kind == "f" else x for x in drawn(random, 200)
    )
    many, new = drawn(random, 20_000)
    best = max(mcc(many, new >= t) for t in np.linspace(0.3, 0.7, 41))
    assert mcc(many, new >= choose_threshold(labels, scores)) > best - 0.02


# ---------------------------------------------------------------- no class is shut out


def test_every_class_is_answered_half_as_often_as_it_is_there():
    # Many rows say the opposite of the scores: the best of all thresholds answers one class.
    scores = np.random.default_rng(3).random(4000)
    labels = (scores < 0.5).astype(np.int64)
    said = scores >= choose_threshold(labels, scores)
    assert min(said.sum(), (~said).sum()) < 10
    for least in (0.25, 0.5):
        said = scores >= choose_threshold(labels, scores, least)
        assert min(said.sum(), (~said).sum()) >= least * 0.48 * 4000


def test_equal_scores_are_answered_as_far_as_they_allow():
    labels, scores = np.array([0] * 8 + [1] * 8), np.append(np.full(15, 0.2), 0.9)
    said = scores >= choose_threshold(labels, scores, 0.5)
    assert said.sum() == 1  # three short of four for the second class, all would lack four
    assert choose_threshold(np.array([0, 0, 0, 1, 1]), np.full(5, 0.3), 0.5) == pytest.approx(0.3)


def test_rows_that_teach_keep_both_classes_open():
    labels, scores = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    low, high = leaves_open(labels, scores)
    # Midway, and not a score: see the next test.
    assert (low, high) == (pytest.approx(0.25), pytest.approx(0.55))
    for threshold in (low, high):
        said = scores >= threshold
        assert said.sum() >= 1 and (~said).sum() >= 2


def test_a_calibration_turns_no_row_at_the_highest_threshold():
    random = np.random.default_rng(0)
    task = TaskConfig(kind="binary", classes=("no", "yes"))
    for _ in range(200):
        logits, labels = random.normal(size=(40, 1)), np.arange(40) % 2
        _, high = leaves_open(labels, scores_of(logits, task)[:, 1])
        plain = task.model_copy(update={"threshold": high})
        step = Calibration(scale=(random.uniform(0.3, 3),), shift=(random.normal(),))
        later = recalibrated(plain, step, np.array([0.5, 0.5]))
        assert decisions(logits, plain).sum() == 10
        assert np.array_equal(decisions(logits, plain), decisions(logits, later))


def test_a_threshold_lies_above_the_lower_score():
    low, high = np.array([0.0, 0.5]), np.array([5e-324, float(np.nextafter(0.5, 1))])
    found = midway(low, high)
    assert (found > low).all() and (found <= high).all()
