"""Vectors that are computed once: each seed parts the same rows between train and dev anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from findna.sequence.alphabet import Codes

Embeddings = NDArray[np.float32]


class KeptVectors:
    """The vectors of every sequence that was asked for."""

    def __init__(self) -> None:
        self._parts: list[Embeddings] = []
        self._places: dict[bytes, tuple[int, int]] = {}

    def of(
        self,
        codes: Sequence[Codes],
        computed: Callable[[list[Codes]], Embeddings],
        blocks: slice = slice(None),
    ) -> Embeddings:
        """Vectors (n, D), or some blocks (n, blocks, D), of n sequences in their order; `computed`
        gives those (m, D) or (m, all blocks, D) of the m that are new.
        """
        names = [each.tobytes() for each in codes]
        pairs = zip(names, codes, strict=True)
        new = {name: each for name, each in pairs if name not in self._places}
        if new:
            self._parts.append(computed(list(new.values())))
            last = len(self._parts) - 1
            self._places |= {name: (last, row) for row, name in enumerate(new)}
        part, row = np.array([self._places[name] for name in names], np.int64).reshape(-1, 2).T
        first = self._parts[0][:0, blocks]
        found = np.empty((len(names), *first.shape[1:]), np.float32)
        for number, vectors in enumerate(self._parts):
            here = part == number
            found[here] = vectors[row[here], blocks]
        return found
