"""What a pretraining run will do: steps that are asked for, or what a time budget has room for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from findna.training.recipes import PretrainSettings
from findna.training.validation import ValidationSettings

# Steps that are timed, as long as they take no larger share of the time that is left.
TIMED_STEPS, TIMING = 20, 0.1
# As many were worth nothing to a task of the example (docs/decisions.md, batches of the demo).
FEW_STEPS = 100
# Window lengths at which the model that is kept is checked at the end, beside the run's own.
EXTRA_LENGTHS = (70, 101, 300, 500, 1000)
# Largest shares of a time budget for the checks on the way and for the closing ones.
_CHECKING, _CLOSING = 0.1, 0.15


@dataclass(frozen=True)
class Plan:
    """What a run will do, fixed at its start: steps, checks on the way, bases of the last check."""

    steps: int
    checks: int
    final_bases: int


class Timings(NamedTuple):
    """Seconds of a step, of a check on the way, of the yardsticks, and left of the budget."""

    step: float
    check: float
    yardsticks: float
    left: float


def plan_of(
    settings: PretrainSettings,
    held_bases: int,
    batches_an_epoch: int,
    timed: Callable[[], Timings],
) -> Plan:
    """The plan that the settings ask for; ``timed`` is asked where they give a time.

    ``held_bases`` are there to check on, and ``batches_an_epoch`` pass over the genome once.
    """
    validation = settings.validation
    final_bases = min(validation.final_bases, held_bases)
    if settings.steps is not None:
        return Plan(settings.steps, validation.checks, final_bases)
    if settings.epochs is not None:
        steps = max(1, round(settings.epochs * batches_an_epoch))
        return Plan(steps, validation.checks, final_bases)
    step, check, yardsticks, left = timed()
    left -= yardsticks  # they are asked once more, about the windows of the closing check
    checks = max(1, min(validation.checks, int(_CHECKING * left / check)))
    affordable = _CLOSING * left / check / closing_checks(validation.bases, validation)
    final_bases = min(final_bases, max(validation.bases, int(affordable * validation.bases)))
    left -= check * (checks + closing_checks(final_bases, validation))
    return Plan(max(1, int(left / step)), checks, final_bases)


def closing_checks(final_bases: int, validation: ValidationSettings) -> float:
    """Work of the closing checks in units of a check on the way: at the window's length both
    networks, at each other length one of them on a quarter of the bases.
    """
    return final_bases / validation.bases * (1 + len(EXTRA_LENGTHS) / 8)
