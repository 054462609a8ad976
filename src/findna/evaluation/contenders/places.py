"""A linear model on which word stands at which place: what a task gives away by how rows were cut.

Where it reaches most of a model's score, rows of one class are aligned otherwise than rows of
another, and a model that tells places apart scores by that (docs/results/places).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse

from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.contenders.linear import LearnedLinear, learned_linear
from findna.sequence.alphabet import BASES, N

Indicators: TypeAlias = scipy.sparse.csr_matrix

# Longer rows are hardly aligned to a base, and a model of every place would not fit into memory.
MOST_PLACES = 1000


@dataclass(frozen=True)
class PlacesContender:
    """Logistic or ridge regression on the letter, or the pair, at each place from the start."""

    ks: tuple[int, ...] = (1, 2)
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    name: str = "places"
    draws: bool = False

    @property
    def grid(self) -> tuple[Mapping[str, Any], ...]:
        """Letters and pairs at every strength."""
        return tuple({"k": k, "C": c} for k, c in product(self.ks, self.strengths))

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> LearnedLinear:
        """The entry of the grid with the lowest loss on "dev"; nothing is drawn by `seed`."""
        ks = self.ks if settled is None else (settled["k"],)
        strengths = self.strengths if settled is None else (settled["C"],)
        places = min(int(data.splits["train"].lengths.max()), MOST_PLACES)
        features = partial(placed_words, places=places)
        return learned_linear(data, features, [{"k": k} for k in ks], strengths)


def placed_words(rows: LabelledSplit, k: int, places: int) -> Indicators:
    """1 for the word of k letters that begins at each of the first `places` places of each row
    (n, places · 4^k), place by place; none where an N or the end of the row comes first.
    """
    letters = np.full((len(rows), places + k - 1), N, np.uint8)
    for row, codes in zip(letters, rows.codes, strict=True):
        row[: len(codes)] = codes[: len(row)]
    known = np.ones((len(rows), places), np.bool_)
    columns = np.zeros((len(rows), places), np.int32)
    for at in range(k):
        here = letters[:, at : at + places]
        known &= here < BASES
        columns = columns * BASES + here
    columns += np.arange(places, dtype=np.int32) * BASES**k
    begins = np.concatenate([[0], known.sum(axis=1).cumsum()])
    ones = np.ones(int(begins[-1]), np.float32)
    shape = (len(rows), places * BASES**k)
    return scipy.sparse.csr_matrix((ones, columns[known], begins), shape=shape)
