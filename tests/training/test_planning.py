"""What a run will do: the steps that are asked for, or what fits a time, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from findna.training.planning import Plan, Timings, closing_checks, plan_of
from findna.training.recipes import PretrainSettings

# At other lengths 5 / 8 of the closing check at the own one, of as many bases as one on the way.
ONCE = 1 + 5 / 8


def plan(held: int = 100_000, epoch: int = 7, timed: Timings | None = None, **given: Any) -> Plan:
    validation = {"bases": 1000, "final_bases": 16_000, "checks": 20}
    settings = PretrainSettings.resolve({"validation": validation, **given})

    def asked() -> Timings:
        assert timed is not None, "the clock was asked"
        return timed

    return plan_of(settings, held, epoch, asked)


def test_steps_and_epochs_are_planned_without_a_clock() -> None:
    assert plan(steps=5) == Plan(5, 20, 16_000)
    assert plan(epochs=2) == Plan(14, 20, 16_000)
    assert plan(epochs=0.25) == Plan(2, 20, 16_000)
    assert plan(epochs=0.01) == Plan(1, 20, 16_000)


@pytest.mark.parametrize("given", [{"steps": 5}, {"epochs": 1}, {"budget": "1h"}])
def test_no_more_bases_are_checked_than_are_held_out(given: dict[str, Any]) -> None:
    assert plan(held=3000, timed=Timings(1, 0.01, 0, 3600), **given).final_bases == 3000


def test_closing_checks_are_counted_in_checks_on_the_way() -> None:
    validation = PretrainSettings.resolve({"validation": {"bases": 1000}}).validation
    assert closing_checks(1000, validation) == ONCE
    assert closing_checks(4000, validation) == 4 * ONCE


def test_a_long_time_has_room_for_all_checks_and_pays_for_them() -> None:
    found = plan(budget="1h", timed=Timings(step=2, check=1, yardsticks=0, left=1000))
    assert found == Plan(int((1000 - 20 - 16 * ONCE) / 2), 20, 16_000)


def test_a_short_time_goes_into_steps_and_not_into_checks() -> None:
    """A tenth for the checks on the way, fifteen hundredths for the closing ones."""
    found = plan(budget="2m", timed=Timings(step=0.5, check=2, yardsticks=0, left=120))
    assert (found.checks, found.final_bases) == (6, int(9 / ONCE * 1000))
    assert found.steps == int((120 - 6 * 2 - 9 * 2) / 0.5)
    hardly = plan(budget="1s", timed=Timings(step=0.5, check=1, yardsticks=0, left=1))
    assert hardly == Plan(1, 1, 1000)


def test_the_yardsticks_of_the_closing_check_are_paid_for_first() -> None:
    found = plan(budget="2m", timed=Timings(step=0.5, check=1, yardsticks=40, left=100))
    assert found == plan(budget="1m", timed=Timings(step=0.5, check=1, yardsticks=0, left=60))
    hardly = plan(budget="1s", timed=Timings(step=0.5, check=1, yardsticks=40, left=1))
    assert hardly == Plan(1, 1, 1000)
