"""What takes part in an evaluation, and the one thing it hands over: something that scores rows.

A contender is given training and validation rows and nothing else; test rows are scored by what it
learned, once, at the end. A network, a regression on words and a table of somebody else's
predictions pass through the same two calls, so that they meet the same splits, seeds and budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from findna.data.labelled import LabelledData, LabelledSplit

Floats = NDArray[np.float64]


class Learned(Protocol):
    """What a contender becomes after learning; `chosen` is what validation rows decided."""

    @property
    def threshold(self) -> float:
        """Probability from which a binary answer is the second class; 0.5 for other tasks."""
        ...

    @property
    def chosen(self) -> Mapping[str, Any]:
        """Settings that validation chose, in plain JSON values; empty if there was no choice."""
        ...

    def scores(self, rows: LabelledSplit) -> Floats:
        """Probabilities (n, K) in the order of the classes, or values (n, T)."""
        ...


class Contender(Protocol):
    """One row of the table: how it is called, and how it learns."""

    @property
    def name(self) -> str:
        """Short and safe in a file name: "kmer", "cnn", "linear-human-30m"."""
        ...

    @property
    def draws(self) -> bool:
        """Whether two seeds can give two answers on the same rows; else one run stands for all."""
        ...

    @property
    def grid(self) -> tuple[Mapping[str, Any], ...]:
        """The settings that are compared on validation rows: its whole tuning budget."""
        ...

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> Learned:
        """Learn from the splits "train" and "dev" of `data`; it holds no other.

        Args:
            data: kind, classes and the two splits.
            seed: of every draw.
            settled: one entry of `grid` that an earlier seed chose; None tries them all.
        """
        ...
