"""A linear model on the shares of all words of k letters: what a task gives away without order.

Validation rows choose k, whether a word and its reverse complement are one, and the regularisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from pydantic import Field

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.similarity import kmer_counts
from findna.evaluation.contenders.linear import LearnedLinear, learned_linear
from findna.settings import Settings

Counts: TypeAlias = scipy.sparse.csr_matrix


class WordSettings(Settings):
    """What the k-mer baseline may choose from."""

    ks: tuple[int, ...] = Field((3, 4, 5, 6), min_length=1, description="Word lengths (k) to try.")
    canonical: tuple[bool, ...] = Field(
        (False, True),
        min_length=1,
        description="Count a word and its reverse complement together.",
    )
    strengths: tuple[float, ...] = Field(
        (3e-4, 1e-3, 1e-2, 1e-1),
        min_length=1,
        description="Inverse regularisation strengths, C, to try.",
    )


@dataclass(frozen=True)
class KmerContender:
    """Logistic or ridge regression on k-mer shares, each scaled to unit spread."""

    settings: WordSettings = field(default_factory=WordSettings)
    name: str = "kmer"
    draws: bool = False

    @property
    def grid(self) -> tuple[Mapping[str, Any], ...]:
        """Every word length with every way to treat strands and every strength."""
        each = product(self.settings.ks, self.settings.canonical, self.settings.strengths)
        return tuple({"k": k, "canonical": canonical, "C": c} for k, canonical, c in each)

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> LearnedLinear:
        """The entry of the grid with the lowest loss on "dev"; nothing is drawn by `seed`."""
        settings = self.settings
        if settled is not None:
            settings = WordSettings(
                ks=(settled["k"],), canonical=(settled["canonical"],), strengths=(settled["C"],)
            )
        # Counting costs as much as fitting: once for both treatments of strands.
        counted = lru_cache(maxsize=2)(_counted)

        def features(rows: LabelledSplit, k: int, canonical: bool) -> Counts:
            return _shares(counted(rows, k), k, canonical)

        each = product(settings.ks, settings.canonical)
        choices = [{"k": k, "canonical": canonical} for k, canonical in each]
        return learned_linear(data, features, choices, settings.strengths)


def word_shares(rows: LabelledSplit, k: int, canonical: bool) -> Counts:
    """Share of each word among the words of each row (n, 4^k); words with an N do not count."""
    return _shares(_counted(rows, k), k, canonical)


def _counted(rows: LabelledSplit, k: int) -> Counts:
    return kmer_counts(rows.codes, k, canonical=False)


def _shares(counts: Counts, k: int, canonical: bool) -> Counts:
    if canonical:
        counts = counts @ _strands_joined(k)
        counts.sort_indices()
    total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    return scipy.sparse.diags(1 / total) @ counts


def _strands_joined(k: int) -> Counts:
    """A matrix (4^k, 4^k) that adds the counts of each word to the smaller of it and its reverse
    complement.
    """
    word = np.arange(4**k)
    joined = np.minimum(word, _other_strand(k))
    ones = np.ones(len(word), np.float32)
    return scipy.sparse.csr_matrix((ones, (word, joined)), shape=(4**k, 4**k))


def _other_strand(k: int) -> NDArray[np.int64]:
    """Number (4^k,) of the reverse complement of each word."""
    letters = np.indices((4,) * k).reshape(k, -1)
    return np.asarray(np.ravel_multi_index(tuple(3 - letters[::-1]), (4,) * k), np.int64)
