"""Genome coordinates of labelled rows, if their file has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowPlaces:
    """Intervals of n rows: `chrom` str (n,), `start` and `end` int64 (n,), 0-based half-open.

    `strand` str (n,) is "+", "-" or "."; chromosome names are those of the file.
    """

    chrom: NDArray[np.str_]
    start: Ints
    end: Ints
    strand: NDArray[np.str_]

    @classmethod
    def of(
        cls,
        chrom: Sequence[str],
        start: Sequence[int],
        end: Sequence[int],
        strand: Sequence[str],
    ) -> RowPlaces:
        """From columns; a strand that is neither + nor - is "."."""
        strands = [s if s in ("+", "-") else "." for s in strand]
        return cls(
            np.array(chrom, np.str_),
            np.array(start, np.int64),
            np.array(end, np.int64),
            np.array(strands, np.str_),
        )

    def __len__(self) -> int:
        """Rows."""
        return len(self.start)

    def where(self, chosen: NDArray[np.bool_] | Ints) -> RowPlaces:
        """The intervals of the chosen rows."""
        return RowPlaces(
            self.chrom[chosen], self.start[chosen], self.end[chosen], self.strand[chosen]
        )

    def and_then(self, other: RowPlaces) -> RowPlaces:
        """These intervals, then those of `other`."""
        return RowPlaces(
            np.concatenate([self.chrom, other.chrom]),
            np.concatenate([self.start, other.start]),
            np.concatenate([self.end, other.end]),
            np.concatenate([self.strand, other.strand]),
        )

    def stretches(self) -> Ints:
        """Cluster number (n,) of each interval: intervals that overlap, by one base or more, are in
        one cluster.
        """
        chrom = np.unique(self.chrom, return_inverse=True)[1]
        # All chromosomes on one axis, without overlap.
        begin = chrom * (int(self.end.max(initial=0)) + 1)
        order = np.argsort(begin + self.start, kind="stable")
        reached = np.maximum.accumulate((begin + self.end)[order])
        new = (begin + self.start)[order][1:] >= reached[:-1]
        number = np.empty(len(self), np.int64)
        number[order] = np.append(np.zeros(min(1, len(self)), np.int64), np.cumsum(new))
        return number

    def frame(self) -> pd.DataFrame:
        """Columns chrom, start, end and strand, one row per interval."""
        return pd.DataFrame(
            {"chrom": self.chrom, "start": self.start, "end": self.end, "strand": self.strand}
        )
