"""Principal components of embeddings, and correlations of tracks with base composition.

Components are fitted on a sample of windows of the whole genome, whatever part of it is scanned, so
that a component means the same in every scan of one genome with one model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.decomposition import PCA

from findna.data.randomness import Purpose, integers, row_hash, uniform
from findna.inference.scanning.sliding import Composition
from findna.sequence.regions import Integers

Floats = NDArray[np.floating]

_ROWS = 200_000  # windows per correlation, about


# ---------------------------------------------------------------- components


@dataclass(frozen=True)
class Components:
    """K directions of embeddings: `mean` (D,), `axes` (K, D) of length 1, `shares` (K,) of the
    variance of the windows they were fitted on.
    """

    mean: Floats
    axes: Floats
    shares: Floats

    def of(self, vectors: Floats) -> Floats:
        """Coordinates (n, K) of embeddings (n, D)."""
        return np.asarray((vectors - self.mean) @ self.axes.T)


def fit_components(vectors: Floats, gc: Floats, count: int) -> Components:
    """The first `count` principal components of n embeddings (n, D), or as many as there are.

    The sign of a component is chosen so that it increases with `gc` (n,), or is that of
    scikit-learn if it does not correlate with GC. Fewer than two windows have no component.
    """
    vectors = vectors.astype(np.float64)
    count = min(count, len(vectors) - 1, vectors.shape[1])
    if count < 1:
        return Components(np.zeros(vectors.shape[1]), *_nothing(vectors.shape[1]))
    fitted = PCA(count, svd_solver="full").fit(vectors)
    found = Components(fitted.mean_, fitted.components_, fitted.explained_variance_ratio_)
    known = np.isfinite(gc)
    centred = np.where(known, gc - gc[known].mean(), 0.0) if known.any() else np.zeros(len(gc))
    falls = found.of(vectors).T @ centred < 0
    return Components(found.mean, np.where(falls[:, None], -found.axes, found.axes), found.shares)


def _nothing(width: int) -> tuple[Floats, Floats]:
    return np.zeros((0, width)), np.zeros(0)


def sample_rows(total: int, size: int, seed: int) -> Integers:
    """About `size` distinct numbers below `total`, ascending; all of them if `total` is smaller."""
    if total <= size:
        return np.arange(total)
    bits = row_hash(seed, 0, np.arange(size), Purpose.WINDOW_START)
    return np.unique(integers(bits, total))


# ---------------------------------------------------------------- relations


class Relation(NamedTuple):
    """Pearson and Spearman correlations of values with composition, NaN if undefined."""

    windows: int
    mean: float
    sd: float
    gc: tuple[float, float]
    lower_case: tuple[float, float]
    n: tuple[float, float]


class Relations:
    """Collects values of windows and their composition, for a seeded sample of about 200,000
    windows, which bounds memory.
    """

    def __init__(self, total: int, seed: int) -> None:
        """`total`: number of windows that will be added."""
        self.share, self.seed, self.seen = _ROWS / max(1, total), seed, 0
        self.rows: list[Floats] = []

    def add(self, values: Floats, made_of: Composition) -> None:
        """Values (n, T) of n windows and their composition."""
        numbers = np.arange(self.seen, self.seen + len(values))
        self.seen += len(values)
        rows = np.column_stack([*made_of, values])
        if self.share < 1:
            rows = rows[uniform(row_hash(self.seed, 1, numbers, Purpose.WINDOW_START)) < self.share]
        self.rows.append(rows)

    def of(self, track: int) -> Relation:
        """The relation of column `track` of the values."""
        rows = np.concatenate(self.rows) if self.rows else np.empty((0, 4 + track))
        values = rows[:, 3 + track]
        known = ~np.isnan(values)
        mean, sd = (values[known].mean(), values[known].std()) if known.any() else (np.nan, np.nan)
        pairs = (correlations(values, rows[:, k]) for k in range(3))
        return Relation(int(known.sum()), float(mean), float(sd), *pairs)


def correlations(one: Floats, other: Floats) -> tuple[float, float]:
    """Pearson and Spearman correlation of two columns (n,), without rows with NaN."""
    known = ~(np.isnan(one) | np.isnan(other))
    one, other = one[known], other[known]
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan"), float("nan")
    return _pearson(one, other), _pearson(rankdata(one), rankdata(other))


def _pearson(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(one, other)[0, 1])
