"""Settings of a pretraining run, and the recipe that belongs to each preset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from findna.data.masking import HidingSettings
from findna.data.sampling import SamplingSettings
from findna.data.views import ViewSettings
from findna.inference.precision import Precision
from findna.model.compiled import Compile
from findna.model.presets import PRESETS
from findna.settings import Settings
from findna.training.self_distillation import DistillationSettings
from findna.training.validation import ValidationSettings

ENDS = ("steps", "epochs", "budget")
SECTIONS = ("distillation", "sampling", "views", "hiding", "validation")


def time_as_text(time: object) -> object:
    """A time as settings hold it: a number from a YAML file is seconds."""
    number = isinstance(time, int | float) and not isinstance(time, bool)
    return str(time) if number else time


RECIPES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "small": {"distillation": {"learning_rate": 2e-3}, "sampling": {"window": 1000}},
    "medium": {
        "distillation": {"learning_rate": 1.5e-3},
        "sampling": {"window": 1000, "batch_bases": 32_768},
    },
    "base": {
        "distillation": {"learning_rate": 1e-3},
        "sampling": {"window": 1000, "batch_bases": 65_536},
    },
    "paper": {
        "distillation": {
            "learning_rate": 3e-4,
            "weight_decay": 3e-4,
            "warmup": 0.3,
            "clip": 0.5,
            "beta2": 0.999,
            "balance": "centre",
            "distillation_weight": 1.0,
        },
        "sampling": {
            "window": 1000,
            "min_window": 1000,
            "one_length": True,
            "batch_bases": 64_000,
        },
        "hiding": {"fixed_rate": 0.3},
        "epochs": 30.0,
    },
    "long": {
        "distillation": {"learning_rate": 1e-3},
        "sampling": {"window": 131_072, "batch_bases": 262_144},
    },
}


class PretrainSettings(Settings):
    """Everything that decides what a pretraining run computes."""

    alternatives = ENDS
    leading = "preset"
    preset: str = Field(
        "tiny",
        description="Shape and recipe: tiny, small, medium, base, paper or long. The recipe"
        " changes some of the defaults below, which are those of tiny.",
    )
    head: Literal["prototypes", "shared"] = Field(
        "prototypes",
        description="What scores the summary tokens: a projection of its own, or (preset paper"
        " only, for comparison) the base head, as in the reference code.",
    )
    steps: int | None = Field(None, ge=1, description="Number of optimizer steps.")
    epochs: float | None = Field(
        None, gt=0, description="Instead of steps: passes over the usable bases."
    )
    budget: str | None = Field(
        None,
        description="Instead of steps: wall-clock time, such as 10m or 2h. Default if none of the"
        " three is given: 30m.",
    )
    accumulate: int = Field(
        1, ge=1, description="Parts into which a batch is divided to save memory."
    )
    precision: Precision = Field(
        "auto", description="fp32, bf16, or auto, whichever is faster here."
    )
    compile: Compile = Field(
        "auto", description="Compile the layers with torch.compile; auto: only on a GPU."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of weights, windows, views and masking.")
    checkpoint_minutes: float = Field(5.0, ge=0, description="Minutes between checkpoints.")
    distillation: DistillationSettings = Field(
        DistillationSettings(), description="Objective and optimizer."
    )
    sampling: SamplingSettings = Field(SamplingSettings(), description="Which windows are read.")
    views: ViewSettings = Field(ViewSettings(), description="How windows are augmented.")
    hiding: HidingSettings = Field(HidingSettings(), description="Which bases are hidden.")
    validation: ValidationSettings = Field(ValidationSettings(), description="Held-out checks.")

    _budget_as_text = field_validator("budget", mode="before")(time_as_text)

    @model_validator(mode="after")
    def _one_length_of_run(self) -> PretrainSettings:
        if sum(getattr(self, end) is not None for end in ENDS) > 1:
            raise ValueError("give one of steps, epochs and budget")
        if self.preset not in PRESETS:
            raise ValueError(f"there is no preset {self.preset!r}; use one of {', '.join(PRESETS)}")
        if self.budget is not None:
            seconds(self.budget)
        if self.head == "shared" and self.preset != "paper":
            raise ValueError(f"head shared works only with preset paper, not {self.preset}")
        if self.head == "shared" and self.distillation.balance != "centre":
            raise ValueError("head shared has no prototypes to balance: use balance centre")
        return self

    @classmethod
    def resolve(cls, given: Mapping[str, Any], *, source: str = "settings") -> PretrainSettings:
        """Settings from what was given explicitly, over the recipe of the preset, over the
        defaults.
        """
        recipe = RECIPES.get(str(given.get("preset", "tiny")), {})
        merged: dict[str, Any] = {**recipe, **given}
        if any(given.get(end) is not None for end in ENDS):
            merged = {k: v for k, v in merged.items() if k in given or k not in ENDS}
        for section in SECTIONS:
            told = given.get(section) or {}
            # What is no section is refused by name when it is parsed.
            merged[section] = (
                {**_usual(recipe, section, told), **told} if isinstance(told, Mapping) else told
            )
        return cls.parse(merged, source=source)


def _usual(recipe: Mapping[str, Any], section: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """What the recipe says of a section, but for a rate in whose place another kind is given."""
    usual = dict(recipe.get(section, {}))
    if "max_rate" in told:
        usual.pop("fixed_rate", None)
    return usual


def seconds(text: str) -> float:
    """ "90s", "10m" or "2h" in seconds; a bare number is seconds."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not found or float(found[1]) == 0:
        raise ValueError(f"{text!r} is not a duration: write 90s, 10m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
