"""The convolutional network: its shape by hand, choices on validation rows, the same seed again."""

import logging

import numpy as np
import pytest
import torch

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.ragged import Ragged
from findna.evaluation.contenders.cnn import (
    CnnContender,
    CnnSettings,
    _indicators,
    _logits,
    _shuffled,
    network,
)
from findna.files import FindnaError
from findna.metrics import Answers, primary_metric, value
from findna.training.thresholds import choose_threshold

QUICK = CnnSettings(learning_rates=(3e-3,), epochs=4, batch_rows=32)


def split_of(codes, labels):
    return LabelledSplit(
        [f"s{i}" for i in range(len(codes))], codes, labels, np.arange(1, len(codes) + 1)
    )


def motif_split(n, seed):
    """Class 1 holds TATAAAAG somewhere, class 0 does not."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    codes = [random.integers(0, 4, random.integers(60, 80)).astype(np.uint8) for _ in labels]
    for row, label in zip(codes, labels, strict=True):
        if label:
            at = random.integers(0, len(row) - 8)
            row[at : at + 8] = [3, 0, 3, 0, 0, 0, 0, 2]
    return split_of(codes, labels)


def motif_data(kind="binary", classes=("0", "1"), relabel=lambda labels: labels, n=400):
    rows = {"train": motif_split(n, 0), "dev": motif_split(150, 1)}
    return LabelledData(
        {k: split_of(v.codes, relabel(v.labels)) for k, v in rows.items()}, kind, classes
    )


def test_parameters_are_those_of_a_count_by_hand():
    # 200 → 193 → 96 → 89 → 44 → 37 → 18 places; weights, biases and two numbers a filter.
    convolutions = (4 * 8 + 1) * 16 + 32 + (16 * 8 + 1) * 8 + 16 + (8 * 8 + 1) * 4 + 8
    dense = (18 * 4 + 1) * 512 + 512 * 2 + 2
    found = sum(p.numel() for p in network(200, 2).parameters())
    assert found == convolutions + dense


def test_long_rows_are_answered_a_few_at_a_time():
    """A thousand rows of 16 kb together are gigabytes in every layer."""
    width, places = 1 << 18, []
    model = network(width, 2).eval()
    model.register_forward_pre_hook(lambda _, given: places.append(given[0].shape))
    rows = Ragged([np.zeros(60, np.uint8)] * 6)
    assert _logits(model, rows, width).shape == (6, 2)
    assert places == [(4, 4, width), (2, 4, width)]


def test_letters_become_indicators_and_everything_else_zeros():
    rows = Ragged([np.array([0, 1, 2, 3, 4], np.uint8), np.array([3], np.uint8)])
    found = _indicators(rows, np.array([0, 1]), 7)
    assert found.shape == (2, 4, 7)
    assert found[0].argmax(0)[:4].tolist() == [0, 1, 2, 3] and found[0, :, 4:].sum() == 0
    assert found[1, 3, 0] == 1 and found[1].sum() == 1


def test_a_motif_is_learned_and_the_chosen_epoch_is_the_best_on_validation():
    data = motif_data(n=800)
    learned = CnnContender(QUICK.model_copy(update={"epochs": 8}), "cpu").learn(data, seed=0)
    test = motif_split(200, 2)
    assert (learned.scores(test)[:, 1].round() == test.labels).mean() > 0.8
    assert learned.chosen["learning_rate"] == 3e-3
    dev, name = data.splits["dev"], primary_metric("binary")
    said = Answers("binary", data.classes, dev.labels, learned.scores(dev))
    assert learned.score[0] == pytest.approx(value(name, said), abs=1e-9)
    # Fewer epochs, the same draws: what an earlier epoch had reached is never above the chosen one.
    for epochs in range(1, learned.epoch):
        shorter = CnnContender(QUICK.model_copy(update={"epochs": epochs}), "cpu")
        assert shorter.learn(data, seed=0).score < learned.score


def test_the_threshold_is_that_of_validation_rows():
    data = motif_data(n=100)
    learned = CnnContender(QUICK, "cpu").learn(data, seed=0)
    dev = data.splits["dev"]
    assert learned.threshold == choose_threshold(dev.labels, learned.scores(dev)[:, 1])


def test_every_row_is_met_once_an_epoch_in_an_order_of_its_own():
    first, second, other = (_shuffled(10, *draw, 4) for draw in ((0, 1), (0, 2), (1, 1)))
    assert [len(rows) for rows in first] == [4, 4, 2]
    orders = [np.concatenate(rows).tolist() for rows in (first, second, other)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] and orders[0] != orders[2]


def test_a_seed_repeats_everything_and_another_does_not():
    data, test = motif_data(n=100), motif_split(20, 2)
    contender = CnnContender(QUICK, "cpu")
    state = torch.random.get_rng_state()
    one, again, other = (contender.learn(data, seed).scores(test) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.allclose(one, other)
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_rate_is_chosen_on_validation_or_settled():
    data = motif_data(n=800)
    contender = CnnContender(CnnSettings(learning_rates=(1e-9, 3e-3), epochs=6), "cpu")
    assert contender.grid == ({"learning_rate": 1e-9}, {"learning_rate": 3e-3})
    assert contender.learn(data, 0).chosen["learning_rate"] == 3e-3
    assert contender.learn(data, 0, contender.grid[0]).chosen["learning_rate"] == 1e-9


def test_batch_mates_and_padding_change_nothing():
    learned = CnnContender(QUICK, "cpu").learn(motif_data(n=100), 0)
    rows = motif_split(30, 3)
    alone = np.concatenate([learned.scores(rows.where(np.arange(30) == i)) for i in range(30)])
    assert np.allclose(learned.scores(rows), alone, atol=1e-6)


def test_longer_rows_are_cut_and_it_is_said(caplog):
    data = motif_data(n=60)
    learned = CnnContender(QUICK, "cpu").learn(data, 0)
    width = int(data.splits["train"].lengths.max())
    row = np.random.default_rng(0).integers(0, 4, width + 5).astype(np.uint8)
    with caplog.at_level(logging.WARNING, "findna"):
        long = learned.scores(split_of([row, row[:20]], np.array([0, 1])))
    assert "1 of 2 rows are longer" in caplog.text and f"first {width}" in caplog.text
    short = learned.scores(split_of([row[:width], row[:20]], np.array([0, 1])))
    assert np.array_equal(long, short)


def test_rows_shorter_than_the_network_needs_are_filled_up():
    rows = {
        "train": split_of([np.full(9, i % 4, np.uint8) for i in range(40)], np.arange(40) % 2),
        "dev": split_of([np.full(3, i % 4, np.uint8) for i in range(8)], np.arange(8) % 2),
    }
    learned = CnnContender(QUICK, "cpu").learn(LabelledData(rows, "binary", ("0", "1")), 0)
    assert learned.scores(rows["dev"]).shape == (8, 2)


@pytest.mark.parametrize(
    ("kind", "classes", "relabel"),
    [
        ("multiclass", ("a", "b", "c"), lambda labels: np.arange(len(labels)) % 3),
        ("multilabel", ("a", "b"), lambda labels: np.stack([labels, 1 - labels], 1)),
        ("regression", ("v",), lambda labels: labels[:, None] * 1000.0 + 5000),
    ],
)
def test_every_kind_of_task_has_its_scores(kind, classes, relabel):
    learned = CnnContender(QUICK, "cpu").learn(motif_data(kind, classes, relabel, n=100), 0)
    scores = learned.scores(motif_split(30, 2))
    assert scores.shape == (30, len(classes)) and learned.threshold == 0.5
    if kind == "multiclass":
        assert np.allclose(scores.sum(1), 1)
    if kind == "regression":
        assert 4000 < scores.mean() < 7000


def test_a_loss_that_breaks_down_at_every_rate_is_said():
    settings = CnnSettings(learning_rates=(1e30,), epochs=2)
    with pytest.raises(FindnaError, match="not finite"):
        CnnContender(settings, "cpu").learn(motif_data(n=60), 0)
