"""What letters and short words alone predict of a hidden base: the yardsticks of masked-base
training.

The two-sided Markov model says P(base | k letters on its left and k on its right), counted on the
training runs of the forward strand with additive smoothing. It sees every neighbour, even those
that are hidden from the network, so it is judged kindly; a network that has not passed it has
learned short words only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from findna.sequence.alphabet import N, codes_of
from findna.sequence.genome import Genome

CHUNK = 1 << 20
_MOST_READ = 1 << 25
SMOOTHING = (0.1, 1.0, 10.0)
Codes = NDArray[np.uint8]
Places = NDArray[np.int64]
_BORDER = np.array([N], dtype=np.uint8)


@dataclass(frozen=True)
class Yardsticks:
    """Losses in nats a base at given places; arrays are one value a place."""

    letters: NDArray[np.float64]
    markov: NDArray[np.float64]
    k: int
    smoothing: float
    fitted_bases: int


def yardsticks(genome: Genome, runs: Places, places: Places, *, largest_k: int = 6) -> Yardsticks:
    """Fit on ``runs`` and judge at ``places``.

    Args:
        runs: (K, 2) half-open store offsets to count on; at most about 32 Mb, spread evenly, are
            read.
        places: (n,) store offsets of known bases.
        largest_k: k is the best of 1 to this by the loss at ``places``, and so is the smoothing:
            the benefit of every doubt goes to the Markov model.
    """
    read = list(_read(genome, _spread(runs)))
    targets = codes_of(genome.store[places]).astype(np.int64)
    counted = np.zeros(4, dtype=np.int64)
    for codes in read:
        counted += np.bincount(codes, minlength=8)[:4]
    frequencies = (counted + 1) / (counted.sum() + 4)
    letters = -np.log(frequencies[targets])
    best = (letters, 0, 0.0)
    for k in range(1, largest_k + 1):
        keys, known = _keys_at(genome, places, k)
        contexts, index = np.unique(keys[known], return_inverse=True)
        counts = _count(read, contexts, k)[index]
        for smoothing in SMOOTHING:
            chances = (counts + smoothing) / (counts.sum(1, keepdims=True) + 4 * smoothing)
            losses = letters.copy()
            losses[known] = -np.log(np.take_along_axis(chances, targets[known, None], 1)[:, 0])
            if losses.mean() < best[0].mean():
                best = (losses, k, smoothing)
    return Yardsticks(letters, best[0], best[1], best[2], int(counted.sum()))


def _spread(runs: Places) -> list[tuple[int, int]]:
    """Pieces of the runs, evenly thinned to about `_MOST_READ` bases."""
    pieces = [
        (at, min(at + CHUNK, int(end)))
        for start, end in runs
        for at in range(int(start), int(end), CHUNK)
    ]
    bases = sum(end - start for start, end in pieces)
    if bases <= _MOST_READ:
        return pieces
    keep = np.linspace(0, len(pieces) - 1, max(1, int(len(pieces) * _MOST_READ / bases)))
    return [pieces[i] for i in np.unique(keep.astype(int))]


def _read(genome: Genome, pieces: list[tuple[int, int]]) -> Iterator[Codes]:
    """Codes of the pieces, short ones joined: a context that is asked for costs as much in each.
    An N, which no context spans, follows on each piece.
    """
    joined: list[Codes] = []
    held = 0
    for start, end in pieces:
        joined += [codes_of(genome.store[start:end]), _BORDER]
        held += end - start
        if held >= CHUNK:
            yield np.concatenate(joined)
            joined, held = [], 0
    if joined:
        yield np.concatenate(joined)


def _keys_at(genome: Genome, places: Places, k: int) -> tuple[Places, NDArray[np.bool_]]:
    """Context key of each place, and whether all 2k neighbours are known bases."""
    around = np.r_[-k:0, 1 : k + 1]
    where = places[:, None] + around
    letters = codes_of(genome.store[np.clip(where, 0, len(genome.store) - 1)])
    known = (letters < 4).all(1) & (where[:, 0] >= 0) & (where[:, -1] < len(genome.store))
    weights = 4 ** np.arange(2 * k - 1, -1, -1, dtype=np.int64)
    return (letters.astype(np.int64) * weights).sum(1), known


def _count(read: list[Codes], contexts: Places, k: int) -> NDArray[np.float64]:
    """How often A C G T stand within each of the sorted ``contexts``, (len(contexts), 4)."""
    slot = np.full(4 ** (2 * k), -1, dtype=np.int32)
    slot[contexts] = np.arange(len(contexts), dtype=np.int32)
    counts = np.zeros(len(contexts) * 4)
    for codes in read:
        inner = max(0, len(codes) - 2 * k)
        known = np.ones(inner, dtype=bool)
        key = np.zeros(inner, dtype=np.int32)
        for shift in range(2 * k + 1):
            letters = codes[shift : shift + inner]
            known &= letters < 4
            if shift != k:
                key = (key << 2) | (letters & 3)
        found = np.where(known, slot[key], -1)
        hit = found >= 0
        middle = codes[k : k + inner][hit]
        counts += np.bincount(found[hit] * 4 + middle, minlength=len(counts))
    return counts.reshape(-1, 4)
