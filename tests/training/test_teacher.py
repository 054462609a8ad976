"""EMA and centre against their closed forms; the teacher has no gradient."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from findna.model.chordmixer import ChordMixer, ChordMixerConfig
from findna.training.optimizer import adamw, parameter_groups
from findna.training.schedules import (
    cosine,
    first_momentum,
    teacher_momentum,
    teacher_temperature,
    warmup_cosine,
)
from findna.training.teacher import Centre, Teacher


def test_ema_after_k_steps_equals_the_closed_form() -> None:
    student = nn.Linear(3, 2)
    teacher = Teacher(student)
    start = student.weight.detach().clone()
    seen = []
    for step in range(4):
        with torch.no_grad():
            student.weight.add_(step + 1.0)
        seen.append(student.weight.detach().clone())
        teacher.update(student, 0.9)
    wanted = 0.9**4 * start + sum(0.1 * 0.9 ** (3 - k) * w for k, w in enumerate(seen))
    torch.testing.assert_close(teacher.network.weight, wanted)


def test_teacher_has_no_gradient_and_is_a_copy() -> None:
    student = nn.Linear(3, 2)
    teacher = Teacher(student)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert teacher.network.weight.data_ptr() != student.weight.data_ptr()
    optimizer = adamw(student, 1e-3, 0.1, (0.9, 0.98))
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert not held & {id(p) for p in teacher.parameters()}


def test_centre_after_k_steps_equals_the_closed_form() -> None:
    centre = Centre(2, 3, momentum=0.9)
    batches = [torch.randn(5, 2, 3) for _ in range(4)]
    for batch in batches:
        centre.update(batch.sum(0), 5)
    wanted = sum(0.1 * 0.9 ** (3 - k) * batch.mean(0) for k, batch in enumerate(batches))
    torch.testing.assert_close(centre.value, wanted)


def test_only_matrices_decay() -> None:
    module = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    decayed, spared = parameter_groups(module, 0.1)
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 4)]
    assert len(spared["params"]) == 4 and spared["weight_decay"] == 0
    assert decayed["weight_decay"] == 0.1


def test_learned_rows_do_not_decay() -> None:
    shape = ChordMixerConfig(width=8, hidden=8, track_size=4, depth=1, stem=1)
    encoder = ChordMixer(shape)
    names = {id(p): name for name, p in encoder.named_parameters()}
    decayed, spared = parameter_groups(encoder, 0.1)
    assert {names[id(p)] for p in decayed["params"]} == {
        "stem.linear.weight",
        "layers.0.up.weight",
        "layers.0.down.weight",
    }
    assert {"summary", "embedding.weight"} < {names[id(p)] for p in spared["params"]}


def test_frozen_parameters_are_left_out() -> None:
    module = nn.Linear(4, 4).requires_grad_(False)
    assert not any(group["params"] for group in parameter_groups(module, 0.1))


def test_learning_rate_rises_to_one_and_falls_to_its_floor() -> None:
    rates = [warmup_cosine(step, 100, 0.1) for step in range(101)]
    assert rates[0] == 0.1 and rates[9] == 1.0
    assert all(a >= b for a, b in pairwise(rates[9:]))
    assert abs(rates[100] - 0.01) < 1e-12


def test_momentum_leaves_little_of_the_initial_weights_in_a_short_run() -> None:
    assert first_momentum(225) == 1 - 20 / 225
    assert first_momentum(10**6) == 0.996
    kept = 1.0
    for step in range(225):
        kept *= teacher_momentum(step, 225)
    assert kept < 1e-3
    assert teacher_momentum(225, 225) == 1.0
    assert teacher_momentum(0, 225, 0.5) == 0.5 and teacher_momentum(225, 450, 0.5) == 0.75


def test_cosine_and_temperature_by_hand() -> None:
    assert cosine(5, 10, 0.0, 1.0) == 0.5
    assert math.isclose(teacher_temperature(15, 100, 0.07, 0.04, 0.3), 0.055)
    assert teacher_temperature(90, 100, 0.07, 0.04, 0.3) == 0.04
