"""What every contender that ends in a linear model becomes; the model is `training.linear`'s."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from findna.data.labelled import LabelledData, LabelledSplit
from findna.training.linear import Features, Floats, LinearModel, tuned


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


def learned_linear(
    data: LabelledData,
    features: Callable[..., Features],
    choices: Sequence[Mapping[str, Any]],
    strengths: Sequence[float],
) -> LearnedLinear:
    """The choice and strength with the lowest loss on "dev", learned from "train"; `features` makes
    those of rows, given one of the choices by name.
    """
    train, dev = data.splits["train"], data.splits["dev"]
    tried = [
        tuned(
            features(train, **choice), train.labels, features(dev, **choice), dev.labels,
            data.kind, len(data.classes), strengths,
        )
        for choice in choices
    ]  # fmt: skip
    at = int(np.argmin([one.loss for one in tried]))
    best, choice = tried[at], choices[at]
    chosen = {**choice, "C": best.strength}
    return LearnedLinear(partial(features, **choice), best.model, best.threshold, chosen)
