"""Losses against plain loops and hand-made numbers; who receives gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from findna.training.losses import (
    balanced_distribution,
    distillation_sum,
    masked_nucleotide_sum,
    teacher_distribution,
)

TARGETS = torch.tensor([[0, 3, 4, 2], [1, 1, 6, 6]])
HIDDEN = torch.tensor([[True, False, False, True], [True, False, False, False]])
WEIGHTS = torch.tensor([[1.0, 1.0, 1.0, 0.1], [1.0, 1.0, 1.0, 1.0]])


def plain_masked_sum(logits: Tensor) -> float:
    total = 0.0
    for b in range(2):
        for position in range(4):
            if HIDDEN[b, position]:
                scores = [math.exp(x) for x in logits[b, position].tolist()]
                chance = scores[TARGETS[b, position]] / sum(scores)
                total -= math.log(chance) * WEIGHTS[b, position].item()
    return total


def test_masked_loss_equals_a_plain_loop() -> None:
    logits = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    loss = masked_nucleotide_sum(logits, TARGETS, HIDDEN, WEIGHTS)
    assert math.isclose(loss.item(), plain_masked_sum(logits), rel_tol=1e-6)


def test_equal_logits_cost_ln_4_a_base() -> None:
    loss = masked_nucleotide_sum(torch.zeros(2, 4, 4), TARGETS, HIDDEN, torch.ones(2, 4))
    assert math.isclose(loss.item(), 3 * math.log(4), rel_tol=1e-6)


def test_only_hidden_bases_receive_gradient() -> None:
    logits = torch.randn(2, 4, 4, requires_grad=True)
    masked_nucleotide_sum(logits, TARGETS, HIDDEN, WEIGHTS).backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(-1) > 0).tolist() == HIDDEN.tolist()


def test_distillation_by_hand() -> None:
    """Two prototypes, teacher [0.75, 0.25], student scores [ln 3 * τ, 0] → probabilities [0.75,
    0.25].
    """
    student = torch.tensor([[[0.1 * math.log(3), 0.0]]])
    answer = torch.tensor([[[0.75, 0.25]]])
    wanted = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert math.isclose(distillation_sum(student, answer, 0.1).item(), wanted, rel_tol=1e-5)


def test_distillation_is_a_mean_over_tokens_and_a_sum_over_sequences() -> None:
    student = torch.randn(3, 5, 7)
    answer = torch.softmax(torch.randn(3, 5, 7), -1)
    whole = distillation_sum(student, answer, 0.1)
    rows = sum(
        distillation_sum(student[b : b + 1, s : s + 1], answer[b : b + 1, s : s + 1], 0.1)
        for b in range(3)
        for s in range(5)
    )
    torch.testing.assert_close(whole, rows / 5)


def test_centre_is_taken_off_each_token_separately() -> None:
    scores = torch.zeros(1, 2, 2)
    centre = torch.tensor([[0.04 * math.log(3), 0.0], [0.0, 0.0]])
    chances = teacher_distribution(scores, centre, 0.04)
    torch.testing.assert_close(chances[0], torch.tensor([[0.25, 0.75], [0.5, 0.5]]))


def balanced(scores: Tensor, ranks: int = 1, **how: int) -> Tensor:
    """As it is asked for; ``ranks`` that all hold these scores."""
    windows = torch.tensor(ranks * len(scores))
    return balanced_distribution(scores, 0.05, 0.5, windows, lambda x: ranks * x, **how)


def test_balanced_answers_of_each_token_equal_a_plain_loop() -> None:
    scores = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0)).double()
    scores[:, 1] = 3 * scores[:, 1] + 7
    found = balanced(scores)
    for token in range(2):
        off = scores[:, token] - scores[:, token].mean(0)
        logits = off / off.square().mean().sqrt() * 0.5 / 0.05
        table = (logits - logits.amax(1, keepdim=True)).exp()
        for _ in range(3):
            table = table / table.sum(0) * 6 / 4
            table = table / table.sum(1, keepdim=True)
        torch.testing.assert_close(found[:, token].double(), table, atol=1e-5, rtol=1e-4)


def test_balanced_answers_are_distributions_that_use_every_prototype_alike() -> None:
    scores = torch.randn(40, 3, 5, generator=torch.Generator().manual_seed(1)) + torch.arange(5.0)
    torch.testing.assert_close(balanced(scores).sum(-1), torch.ones(40, 3))
    used = balanced(scores, rounds=200).sum(0)
    torch.testing.assert_close(used, torch.full((3, 5), 8.0), atol=0.05, rtol=0)


def test_balanced_answers_are_those_of_the_windows_of_all_ranks() -> None:
    scores = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(balanced(scores, ranks=2), balanced(torch.cat([scores, scores]))[:6])


def test_windows_that_all_answer_alike_ask_for_nothing() -> None:
    torch.testing.assert_close(balanced(torch.ones(6, 2, 4)), torch.full((6, 2, 4), 0.25))
