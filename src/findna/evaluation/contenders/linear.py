"""What every contender that ends in a linear model becomes; the model is `training.linear`'s."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from findna.data.labelled import LabelledSplit
from findna.training.linear import Features, Floats, LinearModel


@dataclass(frozen=True, eq=False)
class LearnedLinear:
    """A tuned linear model and how it turns rows into features: what a contender learned."""

    features: Callable[[LabelledSplit], Features]
    model: LinearModel
    threshold: float
    chosen: Mapping[str, Any]

    def scores(self, rows: LabelledSplit) -> Floats:
        """Probabilities (n, K), or values (n, T)."""
        return self.model.scores(self.features(rows))
