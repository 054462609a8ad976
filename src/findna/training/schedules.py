"""Numbers that change with the step. All are pure functions of (step, total), so resuming needs no
state.
"""

from __future__ import annotations

import math

_LAST_RATE = 0.01  # as a share of the highest


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """Factor of the learning rate: linear up over ``warmup * total`` steps, then a cosine down to
    a hundredth.
    """
    rising = max(1, round(warmup * total))
    if step < rising:
        return (step + 1) / rising
    return cosine(step - rising, max(1, total - rising), 1.0, _LAST_RATE)


def cosine(step: int, total: int, first: float, last: float) -> float:
    """Half a cosine from ``first`` at step 0 to ``last`` at step ``total``."""
    share = min(max(step / total, 0.0), 1.0)
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def first_momentum(total: int) -> float:
    """Teacher momentum at the start: min(0.996, 1 - 20 / total).

    At a fixed 0.996 a run of 225 steps would leave 64 % of the initial weights in its teacher.
    """
    return min(0.996, max(0.0, 1 - 20 / max(total, 1)))


def teacher_momentum(step: int, total: int, first: float | None = None) -> float:
    """Momentum of the EMA teacher, on a cosine from ``first`` (:func:`first_momentum` if None) to 1
    (DINO, Caron et al. 2021).
    """
    return cosine(step, total, first_momentum(total) if first is None else first, 1.0)


def averaging(step: int, momentum: float) -> float:
    """Momentum of an average of weights after ``step`` steps: at most (1 + step) / (10 + step), so
    that the first weights are soon forgotten.
    """
    return min(momentum, (1 + step) / (10 + step))


def teacher_temperature(step: int, total: int, first: float, last: float, warmup: float) -> float:
    """Linear from ``first`` to ``last`` over ``warmup * total`` steps, then constant."""
    share = min(1.0, step / max(1, round(warmup * total)))
    return first + (last - first) * share
