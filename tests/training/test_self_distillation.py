"""One step of self-distillation against its parts written out, and what a resumed one knows."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from findna.data.batches import PretrainBatch
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.training.engine import open_engine
from findna.training.losses import (
    balanced_distribution,
    distillation_sum,
    masked_nucleotide_sum,
    teacher_distribution,
)
from findna.training.optimizer import parameter_groups
from findna.training.schedules import teacher_momentum, teacher_temperature, warmup_cosine
from findna.training.self_distillation import DistillationSettings, SelfDistillation

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=8, hidden=8, track_size=4, depth=1, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=5),
)
STEPS = 10


def settings(**given: object) -> DistillationSettings:
    """No value is a default, nor equal to another."""
    usual = DistillationSettings(
        masked_weight=0.5,
        distillation_weight=2.0,
        student_temperature=0.2,
        teacher_temperature=0.05,
        first_teacher_temperature=0.5,
        teacher_warmup=0.9,
        centre_momentum=0.7,
        first_momentum=0.8,
        learning_rate=0.02,
        weight_decay=0.3,
        warmup=0.5,
        clip=0.1,
        beta2=0.6,
    )
    return usual.model_copy(update=given)


def learner(given: DistillationSettings) -> SelfDistillation:
    return SelfDistillation(new_model(SMALL, seed=3), given, open_engine("cpu"), "fp32")


def batch(seed: int) -> PretrainBatch:
    """Three windows, of which the student reads 12 bases and the teacher 16."""
    draw = torch.Generator().manual_seed(seed)
    student, targets = (torch.randint(0, 4, (3, 12), generator=draw) for _ in range(2))
    return PretrainBatch(
        student=student,
        hidden=torch.rand(3, 12, generator=draw) < 0.4,
        targets=targets,
        weights=torch.rand(3, 12, generator=draw),
        teacher=torch.randint(0, 4, (3, 16), generator=draw),
        noise=torch.randn(3, 12, 8, generator=draw),
        ids=np.arange(3),
    )


def rows(whole: PretrainBatch, some: slice) -> PretrainBatch:
    names = ("student", "hidden", "targets", "weights", "teacher", "noise", "ids")
    return replace(whole, **{name: getattr(whole, name)[some] for name in names})


@pytest.mark.parametrize("target", ["summary", "mean", "bases"])
@pytest.mark.parametrize("balance", ["sinkhorn", "centre"])
def test_two_steps_are_their_parts_written_out(target: str, balance: str) -> None:
    given = settings(target=target, balance=balance)
    found = learner(given)
    student, teacher = new_model(SMALL, seed=3), new_model(SMALL, seed=3)
    optimizer = torch.optim.AdamW(parameter_groups(student, 0.3), betas=(0.9, 0.6))
    centre = torch.zeros(2 if target == "summary" else 1, 5)
    for step in range(2):
        seen = batch(step)
        numbers = found.step([seen], step, STEPS)

        bases = seen.hidden.sum()
        items = bases if target == "bases" else torch.tensor(3)
        codes = seen.targets if target == "bases" else seen.teacher
        with torch.no_grad():
            shown = teacher.distilled(teacher.encode(codes), target, seen.hidden)
            scores = teacher.project(shown)
            heat = teacher_temperature(step, STEPS, 0.5, 0.05, 0.9)
            answer = (
                teacher_distribution(scores, centre, heat)
                if balance == "centre"
                else balanced_distribution(scores, heat, 4**-0.5, items, lambda x: x)
            )
            centre = 0.7 * centre + 0.3 * scores.sum(0) / items
        logits, said = student(seen.student, None, seen.noise, target, seen.hidden)
        masked = masked_nucleotide_sum(logits, seen.targets, seen.hidden, seen.weights) / bases
        distilled = distillation_sum(said, answer, 0.2) / items
        optimizer.zero_grad()
        (0.5 * masked + 2 * distilled).backward()
        norm = torch.nn.utils.clip_grad_norm_(student.parameters(), 0.1)
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * warmup_cosine(step, STEPS, 0.5)
        optimizer.step()
        momentum = teacher_momentum(step, STEPS, 0.8)
        with torch.no_grad():
            for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
                old.copy_(momentum * old + (1 - momentum) * new)

        torch.testing.assert_close(numbers.masked_loss, masked.detach())
        torch.testing.assert_close(numbers.distillation_loss, distilled.detach())
        assert norm > 0.1
        torch.testing.assert_close(numbers.gradient_norm, norm)
        assert int(numbers.hidden) == bases
    for mine, wanted in ((found.model, student), (found.teacher.network, teacher)):
        for (name, one), two in zip(mine.named_parameters(), wanted.parameters(), strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4, msg=name)
    torch.testing.assert_close(found.centre.value, centre)


@pytest.mark.parametrize("target", ["summary", "bases"])
def test_a_batch_in_parts_moves_everything_as_a_whole_one(target: str) -> None:
    whole, parted = (learner(settings(target=target)) for _ in range(2))
    seen = batch(0)
    one = whole.step([seen], 0, STEPS)
    two = parted.step([rows(seen, slice(0, 1)), rows(seen, slice(1, 3))], 0, STEPS)
    torch.testing.assert_close(one.masked_loss, two.masked_loss)
    torch.testing.assert_close(one.distillation_loss, two.distillation_loss)
    torch.testing.assert_close(one.gradient_norm, two.gradient_norm)
    torch.testing.assert_close(whole.centre.value, parted.centre.value)


@pytest.mark.parametrize("balance", ["sinkhorn", "centre"])
def test_what_goes_on_from_a_state_is_what_would_have_gone_on(balance: str) -> None:
    given = settings(balance=balance)
    first, again = learner(given), learner(given)
    for step in range(2):
        first.step([batch(step)], step, STEPS)
    again.load_state({name: tensor.clone() for name, tensor in first.state().items()})
    for step in (2, 3):
        one, two = (each.step([batch(step)], step, STEPS) for each in (first, again))
        assert torch.equal(one.distillation_loss, two.distillation_loss)
    left, right = first.state(), again.state()
    assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_without_a_weight_there_is_no_distillation_and_the_projection_stays() -> None:
    found = learner(settings(distillation_weight=0.0))
    before = copy.deepcopy(found.model.projection.state_dict())
    numbers = found.step([batch(0)], 0, STEPS)
    assert numbers.distillation_loss == 0 and numbers.masked_loss > 0
    after = found.model.projection.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
