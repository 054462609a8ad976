"""Does a model know this DNA at all: hidden bases of the user's own sequences.

The loss counts MASK positions only, as in pretraining's validation. It is held against what the
same sequences say without any model: the entropy of their letters, and of a letter given both its
neighbours (an order-2, two-sided model with 64 counts, which a few thousand bases determine).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from findna.data.similarity import kmers, lengths_of
from findna.model.model import Model
from findna.sequence.alphabet import Codes
from findna.training.validation import masked, masked_score

_BASES = 1 << 17
_FEWEST_BASES = 1000
_LONGEST = 512
_HIDDEN = 0.15
_SEED = 0


@dataclass(frozen=True)
class Knowledge:
    """Nats a base: the model's loss with its 95 % interval, and the two entropies."""

    loss: float
    low: float
    high: float
    letters: float
    neighbours: float


def knowledge_of(model: Model, rows: Sequence[Codes]) -> Knowledge | None:
    """Ask the model about up to 128 kb of the rows; None if there are fewer than 1,000 bases.

    Rows are cut to one length, the lower quartile of their lengths (at most 512 bp), and evenly
    drawn; rows shorter than that are passed over.
    """
    lengths = lengths_of(rows)
    length = int(min(np.quantile(lengths, 0.25, method="lower"), _LONGEST)) if len(rows) else 0
    long_enough = np.flatnonzero(lengths >= max(length, 1))
    if length * len(long_enough) < _FEWEST_BASES:
        return None
    wanted = min(len(long_enough), max(1, _BASES // length))
    chosen = long_enough[np.linspace(0, len(long_enough) - 1, wanted).astype(np.int64)]
    windows = [rows[i][:length] for i in chosen.tolist()]
    letters, neighbours = entropies(windows)
    if not np.isfinite(letters):
        return None
    data = masked(np.stack(windows), chosen, _HIDDEN, _SEED)
    score = masked_score(model, data, precision="fp32")
    return Knowledge(score.loss, score.low, score.high, letters, neighbours)


def entropies(rows: Sequence[Codes]) -> tuple[float, float]:
    """Entropy in nats of a letter, and of a letter given its left and right neighbour.

    NaN where there is nothing to count.
    """
    letters = np.bincount(kmers(rows, 1, canonical=False).word, minlength=4)
    words = np.bincount(kmers(rows, 3, canonical=False).word, minlength=64).reshape(4, 4, 4)
    # H(middle | left, right) = H(left, middle, right) − H(left, right).
    return _entropy(letters), _entropy(words) - _entropy(words.sum(axis=1))


def _entropy(counts: np.ndarray) -> float:
    total = counts.sum()
    if not total:
        return float("nan")
    shares = counts[counts > 0] / total
    return float(-(shares * np.log(shares)).sum())
