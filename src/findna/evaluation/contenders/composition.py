"""A linear model on length and composition: the score that needs no understanding of sequence.

Where it reaches most of a model's score, the task is mostly told by GC content, by how often
neighbouring letters meet, or by how long the rows are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.similarity import kmer_counts
from findna.evaluation.contenders.linear import LearnedLinear, learned_linear
from findna.evaluation.contenders.words import word_shares

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Steps of length that hold equally many training rows, and the share of them that must have a
# length for it to be told apart by itself.
_STEPS, _COMMON = 20, 0.005


@dataclass(frozen=True)
class CompositionContender:
    """Logistic or ridge regression on length and its steps, GC, share of N and dinucleotide shares.

    Steps, because a class may be told by a length, and not by how long a row is: by length alone
    nine of ten rows of GenomicBenchmarks' human_ensembl_regulatory are answered
    (docs/results/places).
    """

    canonical: tuple[bool, ...] = (False, True)
    strengths: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    name: str = "composition"
    draws: bool = False

    @property
    def grid(self) -> tuple[Mapping[str, Any], ...]:
        """16 dinucleotides, or 10 with strands put together, at every strength."""
        each = product(self.canonical, self.strengths)
        return tuple({"canonical": canonical, "C": c} for canonical, c in each)

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> LearnedLinear:
        """The entry of the grid with the lowest loss on "dev"; nothing is drawn by `seed`."""
        foldings = self.canonical if settled is None else (settled["canonical"],)
        strengths = self.strengths if settled is None else (settled["C"],)
        taught = data.splits["train"].lengths

        def features(rows: LabelledSplit, canonical: bool) -> Floats:
            return np.hstack([composition(rows, canonical), length_steps(rows.lengths, taught)])

        choices = [{"canonical": canonical} for canonical in foldings]
        return learned_linear(data, features, choices, strengths)


def composition(rows: LabelledSplit, canonical: bool) -> Floats:
    """Length in bases, GC of the known letters, share of N, and dinucleotide shares (n, 19 or 13).

    The share of GC is 0 in a row without a known letter, as are the shares of dinucleotides.
    """
    letters = kmer_counts(rows.codes, 1, canonical=False).toarray()
    known = letters.sum(axis=1)
    gc = letters[:, 1:3].sum(axis=1) / np.maximum(known, 1)
    unknown = 1 - known / np.maximum(rows.lengths, 1)
    pairs = word_shares(rows, 2, canonical).toarray()
    if canonical:
        pairs = pairs[:, _CANONICAL_PAIRS]
    return np.column_stack([rows.lengths, gc, unknown, pairs]).astype(np.float64)


def length_steps(lengths: Ints, taught: Ints) -> Floats:
    """1 from each step of the lengths `taught` upwards, and 1 at each length that is common among
    them (n, steps and common lengths).
    """
    edges = np.unique(np.quantile(taught, np.linspace(0, 1, _STEPS + 1)[1:-1]))
    found, counts = np.unique(taught, return_counts=True)
    common = found[counts >= _COMMON * len(taught)]
    return np.hstack([lengths[:, None] >= edges, lengths[:, None] == common]).astype(np.float64)


# The smaller of each dinucleotide and its reverse complement; A, C, G, T are 0 to 3.
_CANONICAL_PAIRS = [4 * a + b for a in range(4) for b in range(4) if 4 * a + b <= 15 - 4 * b - a]
