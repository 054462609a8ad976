"""The teacher: an exponential moving average of the student, and the running centre of its
scores.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from findna.model.model import Distilled, Model


@torch.no_grad()
def average_(average: nn.Module, model: nn.Module, momentum: float) -> None:
    """One step of a moving average of all parameters, in one fused call: ξ ← m ξ + (1 − m) θ."""
    theirs = [p.detach() for p in model.parameters()]
    torch._foreach_lerp_(list(average.parameters()), theirs, 1 - momentum)


class Teacher(nn.Module):
    """A copy of the student that never has a gradient.

    After the optimizer step it follows the student: :func:`average_`.
    """

    network: Model

    def __init__(self, student: Model) -> None:
        super().__init__()
        self.network = copy.deepcopy(student).requires_grad_(False).eval()

    def update(self, student: Model, momentum: float) -> None:
        """One EMA step towards ``student``."""
        average_(self.network, student, momentum)

    @torch.no_grad()
    def forward(
        self, codes: Tensor, target: Distilled = "summary", hidden: Tensor | None = None
    ) -> Tensor:
        """Codes (B, L) → prototype scores (n, S, K) of what is distilled; see
        :meth:`Model.distilled`.
        """
        return self.network.project(
            self.network.distilled(self.network.encode(codes), target, hidden)
        )


class Centre(nn.Module):
    """Running mean of the teacher's scores, one per summary token: (S, K).

    A centre pooled over tokens would let every token sit on a prototype of its own at zero loss
    and no information.
    """

    value: Tensor

    def __init__(self, tokens: int, prototypes: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(tokens, prototypes))

    def update(self, score_sum: Tensor, count: int | Tensor) -> None:
        """One step towards the mean of a whole batch.

        Args:
            score_sum: (S, K) teacher scores summed over the sequences of all ranks and
                accumulation steps.
            count: number of these sequences.
        """
        self.value.mul_(self.momentum).add_(score_sum / count, alpha=1 - self.momentum)
