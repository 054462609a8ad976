"""The settings of an evaluation: protocol, contenders, seeds and resamples, one flag each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from findna.evaluation.contenders.lineup import ContenderSettings
from findna.training.recipes import seconds, time_as_text


class EvaluateSettings(ContenderSettings):
    """Everything that decides what an evaluation computes."""

    seeds: int = Field(5, ge=1, description="Runs of each contender that involves chance.")
    first_seed: int = Field(0, ge=0, lt=2**31, description="The first of the seeds.")
    tune: Literal["first", "each"] = Field(
        "first",
        description="Search the whole grid at the first seed and keep its choice, or at each seed.",
    )
    dev_as_train: bool = Field(
        False,
        description="If a task of a suite has no train split, train on its validation split.",
    )
    drop: bool = Field(
        False, description="Drop training rows that match validation or test rows in any way."
    )
    budget: str | None = Field(
        None,
        description="Start no run after this time, such as 9m; the next start continues.",
    )
    reference: str | None = Field(
        None,
        description="The contender that the others are compared with. Default: the first"
        " pretrained model, fine-tuned, else its linear or kNN probe.",
    )
    resamples: int = Field(2000, ge=100, description="Resamples per bootstrap.")

    _budget_as_text = field_validator("budget", mode="before")(time_as_text)

    @field_validator("budget")
    @classmethod
    def _a_time(cls, budget: str | None) -> str | None:
        if budget is not None:
            seconds(budget)
        return budget

    @property
    def every_seed(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)
