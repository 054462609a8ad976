"""Held-out figures by hand: MASK positions only, ranks, collapse."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.model import Model, new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import MASK
from findna.sequence.genome import Genome
from findna.training.validation import (
    HeldOut,
    effective_rank,
    health,
    held_out,
    in_parts,
    masked_score,
    masked_sums,
    ratio_interval,
    verdict,
)

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=24, track_size=4, depth=2, summary_tokens=3),
    projection=ProjectionConfig(hidden=16, bottleneck=8, prototypes=12),
)


@pytest.fixture
def model() -> Model:
    return new_model(SMALL, 0).eval()


@pytest.fixture
def data(tmp_path: Path) -> HeldOut:
    letters = np.random.default_rng(0).choice(list("ACGT"), size=5000)
    (tmp_path / "toy.fa").write_text(">one\n" + "".join(letters) + "\n")
    genome = Genome.open(tmp_path / "toy.fa", cache=tmp_path / "cache")
    return held_out(
        genome, np.array([[1000, 4000]]), length=100, bases=4000, hidden=0.15, max_n=0.05, seed=1
    )


def test_hidden_positions_are_masks_at_the_rate_and_places_name_them(data: HeldOut) -> None:
    assert torch.equal(data.hidden, data.codes == MASK)
    assert 0.12 < data.hidden.float().mean() < 0.18
    assert len(data.places) == int(data.hidden.sum())
    assert data.places.min() >= 1000 and data.places.max() < 4000


def test_the_seed_repeats_windows_and_hidden_bases_and_another_draws_others(tmp_path: Path) -> None:
    letters = np.random.default_rng(1).choice(list("ACGT"), size=5000)
    (tmp_path / "toy.fa").write_text(">one\n" + "".join(letters) + "\n")
    genome = Genome.open(tmp_path / "toy.fa", cache=tmp_path / "cache")

    def drawn(seed: int) -> HeldOut:
        runs = np.array([[1000, 4000]])
        return held_out(genome, runs, length=100, bases=2000, hidden=0.2, max_n=0, seed=seed)

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert (one.starts == again.starts).all() and torch.equal(one.hidden, again.hidden)
    assert (one.starts != other.starts).any()
    assert not torch.equal(one.hidden, other.hidden)


def test_the_interval_is_that_of_a_ratio_over_drawn_windows() -> None:
    """Of two windows: the first twice 1 / 1, both 1 / 4, the second twice 0 / 3."""
    assert ratio_interval(np.array([1.0, 0.0]), np.array([1.0, 3.0]), 1000) == (0, 1)


def test_a_single_long_window_has_an_interval(model: Model, tmp_path: Path) -> None:
    (tmp_path / "toy.fa").write_text(f">a\n{'ACGTTGCAGTCA' * 400}\n")
    genome = Genome.open(tmp_path / "toy.fa", cache=tmp_path / "cache")
    runs = np.array([[0, 4800]])
    one = held_out(genome, runs, length=4001, bases=4001, hidden=0.15, max_n=0, seed=0)
    table = masked_sums(model, one, precision="fp32")
    assert table.shape == (32, 3) and table[:, 2].sum() == one.hidden.sum()
    found = masked_score(model, one, precision="fp32")
    assert found.low < found.loss < found.high
    with torch.no_grad():
        logits = model.base_logits(model.encode(one.codes).bases)[one.hidden]
    want = torch.nn.functional.cross_entropy(logits, one.targets[one.hidden])
    assert found.loss == pytest.approx(float(want), rel=1e-5)


def test_accuracy_counts_mask_positions_only(model: Model, data: HeldOut) -> None:
    with torch.no_grad():
        said = model.base_logits(model.encode(data.codes).bases).argmax(-1)
    right = (said == data.targets)[data.hidden].double().mean()
    assert masked_score(model, data, precision="fp32").accuracy == pytest.approx(float(right))


def test_health_by_its_definitions(model: Model, data: HeldOut) -> None:
    teacher = new_model(SMALL, 5).eval()
    found = health(model, teacher, data, student_temperature=0.2, precision="fp32")
    turned = 3 - data.targets.flip(1)
    with torch.no_grad():
        seen, back = model.encode(data.targets), model.encode(turned).mean()
        answers = (teacher.project(teacher.encode(data.targets).summary) / 0.2).softmax(-1)
        said = (model.project(seen.summary) / 0.2).log_softmax(-1)
    here = seen.mean() - seen.mean().mean(0)
    there = back - seen.mean().mean(0)
    cosines = (here * there).sum(1) / (here.norm(dim=1) * there.norm(dim=1))
    each = -(answers * answers.log()).sum(-1).mean(0)
    middle = answers.mean(0)
    told = -(middle * middle.log()).sum(-1) - each
    assert found["windows"] == 40 and found["tokens"] == 3
    assert found["strand_agreement"] == pytest.approx(float(cosines.mean()), abs=1e-4)
    assert found["distillation_loss"] == pytest.approx(float(-(answers * said).sum(-1).mean()))
    assert found["teacher_entropy"] == pytest.approx(float(each.mean()), rel=1e-4)
    assert found["token_information"] == pytest.approx(float(told.median()), abs=1e-5)
    assert found["least_token_information"] == pytest.approx(float(told.min()), abs=1e-5)
    assert found["effective_rank"] == pytest.approx(effective_rank(seen.mean()), rel=1e-4)


def test_only_mask_positions_count(model: Model, data: HeldOut) -> None:
    with torch.no_grad():
        chances = model.base_logits(model.encode(data.codes).bases).log_softmax(-1)
    losses = [
        -chances[row, at, data.targets[row, at]].item()
        for row, at in data.hidden.nonzero().tolist()
    ]
    score = masked_score(model, data, precision="fp32")
    assert score.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert score.count == len(losses)
    assert score.low < score.loss < score.high


def test_a_model_that_says_nothing_costs_ln_4(model: Model, data: HeldOut) -> None:
    torch.nn.init.zeros_(model.base_head.weight)
    torch.nn.init.zeros_(model.base_head.bias)
    assert masked_score(model, data, precision="fp32").loss == pytest.approx(math.log(4), rel=1e-5)


def test_effective_rank_by_hand() -> None:
    square = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert effective_rank(square) == pytest.approx(2.0)
    line = torch.tensor([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    assert effective_rank(line) == pytest.approx(1.0, abs=1e-4)
    assert effective_rank(torch.ones(5, 3)) == 0.0


def figures(student: Model, data: HeldOut) -> dict[str, float]:
    return health(
        student,
        student,
        data,
        student_temperature=0.1,
        precision="fp32",
    )


def test_health_tells_a_collapsed_teacher_from_a_fresh_one(model: Model, data: HeldOut) -> None:
    fresh = figures(model, data)
    assert fresh["effective_rank"] > 3
    for parameter in model.projection.mlp[-1].parameters():  # type: ignore[union-attr]
        torch.nn.init.zeros_(parameter)
    torch.nn.init.ones_(model.projection.mlp[-1].bias)  # type: ignore[union-attr]
    collapsed = figures(model, data)
    assert collapsed["token_information"] == pytest.approx(0, abs=1e-5)
    assert fresh["token_information"] > 10 * abs(collapsed["token_information"])
    assert collapsed["silent_tokens"] == collapsed["tokens"] == len(model.encoder.summary)
    assert collapsed["least_token_information"] <= collapsed["token_information"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"effective_rank": 1.2}, "COLLAPSING: the embeddings"),
        (
            {"silent_tokens": 1},
            "COLLAPSING: the teacher's outputs no longer depend on the window (1 of",
        ),
        ({"mask_loss": 1.39}, "not learning yet"),
        ({"mask_loss": 1.30}, "0.0400 nats per base above"),
        ({"mask_loss": 1.25}, "0.0100 nats per base below"),
    ],
)
def test_verdict(changed: dict[str, float], words: str) -> None:
    numbers = {
        "step": 1000,
        "windows": 512,
        "effective_rank": 40.0,
        "silent_tokens": 0,
        "tokens": 10,
        "letter_entropy": 1.38,
        "markov_loss": 1.26,
        "mask_loss": 1.3,
    }
    assert words in verdict({**numbers, **changed}, distilling=True)


def test_without_distillation_a_silent_teacher_is_no_collapse() -> None:
    numbers = {
        "step": 1000,
        "windows": 512,
        "effective_rank": 40.0,
        "silent_tokens": 10,
        "tokens": 10,
        "letter_entropy": 1.38,
        "markov_loss": 1.26,
        "mask_loss": 1.3,
    }
    assert verdict(numbers, distilling=False).startswith("learning")


def test_a_young_run_is_not_called_collapsing_for_silent_tokens() -> None:
    numbers = {
        "step": 60,
        "windows": 512,
        "effective_rank": 40.0,
        "silent_tokens": 10,
        "tokens": 10,
        "letter_entropy": 1.38,
        "markov_loss": 1.26,
        "mask_loss": 1.3,
    }
    assert verdict(numbers, distilling=True).startswith("learning")
    assert verdict({**numbers, "step": 300}, distilling=True).startswith("COLLAPSING")


def test_few_windows_are_cut_and_too_few_condemn_nobody() -> None:
    one = torch.arange(4 * 2048).reshape(4, 2048)
    parts = in_parts(one)
    assert parts.shape == (32, 256) and torch.equal(parts.reshape(4, 2048), one)
    assert in_parts(one[:1, :200]).shape == (3, 66)
    assert torch.equal(in_parts(one[:1, :100]), one[:1, :100])
    assert in_parts(torch.zeros(40, 9)).shape == (40, 9)
    numbers = {
        "step": 1000, "windows": 3, "effective_rank": 1.9, "silent_tokens": 10, "tokens": 10,
        "letter_entropy": 1.38, "markov_loss": 1.26, "mask_loss": 1.25,
    }  # fmt: skip
    assert verdict(numbers, distilling=True).startswith("learning")
    assert verdict({**numbers, "windows": 8}, distilling=True).startswith("COLLAPSING")


def test_a_single_long_window_is_no_collapse(model: Model, data: HeldOut) -> None:
    long = HeldOut(*(t.reshape(1, -1)[:, :8192] for t in (data.codes, data.targets, data.hidden)),
                   data.starts[:1])  # fmt: skip
    found = figures(model, long)
    assert found["windows"] == 32 and found["effective_rank"] > 3
