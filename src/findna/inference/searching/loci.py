"""From candidates to hits: without the query itself, and with one window per locus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from findna.inference.searching.engines import TOLERANCE, Engine
from findna.inference.searching.index import Doubles, Ints, SearchIndex, Vectors
from findna.inference.tiles import tile
from findna.sequence.alphabet import Codes
from findna.sequence.genome import Genome
from findna.sequence.records import Record

Bools = NDArray[np.bool_]

# Candidates requested first for each wanted hit: neighbours of the query and of better hits are
# among them. If they do not suffice, this many times more are requested.
_CANDIDATES, _MORE = 16, 8
_AT_ONCE = 1 << 22  # candidates of all queries that are held at once: 50 MB
_DIGITS = 6  # of a similarity: smaller differences are ties, which are ordered by position


class Part(NamedTuple):
    """One query vector's sequence: bases [start, end) of a record."""

    record: Record
    start: int
    end: int

    @property
    def codes(self) -> Codes:
        """Codes uint8 (end - start,)."""
        return self.record.codes[self.start : self.end]

    @property
    def name(self) -> str:
        """The name of the record, with the interval if there are other parts."""
        whole = self.end - self.start == len(self.record.codes)
        return self.record.id if whole else f"{self.record.id}:{self.start}-{self.end}"


class Best(NamedTuple):
    """The hits of a part, best first: windows (h,) of the index, their similarity, and the percent
    of all windows, without the query's own, that are less similar.
    """

    windows: Ints
    similarity: Doubles
    percentile: Doubles


class Places(NamedTuple):
    """Windows in source coordinates, 0-based half-open; `chrom` is the number of the chromosome's
    first record.
    """

    chrom: Ints
    start: Ints
    end: Ints


@dataclass(frozen=True)
class Rules:
    """Which candidates are hits: the `k` best, at least `min_similarity` if given; windows that
    overlap the query only with `include_self`, or a better hit only with `all_windows`.
    """

    k: int
    min_similarity: float | None
    include_self: bool
    all_windows: bool


def parts_of(record: Record, window: int) -> list[Part]:
    """A record cut into adjacent windows, the last of which ends at its end."""
    tiles = tile(len(record.codes), window, flank=0)
    return [Part(record, s, e) for s, e in np.stack(tiles[:2], axis=1).tolist()]


class Loci:
    """Finds the best loci of one genome through one index."""

    def __init__(self, index: SearchIndex, genome: Genome, engine: Engine, rules: Rules) -> None:
        self.index, self.genome, self.engine, self.rules = index, genome, engine, rules
        firsts = {chrom: number for number, chrom in reversed(list(enumerate(genome.chroms)))}
        self._chroms = np.array([firsts[chrom] for chrom in genome.chroms], np.int64)

    def best(self, parts: Sequence[Part], queries: Vectors) -> list[Best]:
        """The hits of each part, whose vectors in the index are `queries` (m, D)."""
        answers: dict[int, Best] = {}
        windows = len(self.index)
        count = min(windows, _CANDIDATES * self.rules.k)
        while waiting := [row for row in range(len(parts)) if row not in answers]:
            together = max(1, _AT_ONCE // count)
            for at in range(0, len(waiting), together):
                rows = waiting[at : at + together]
                similar, found = self.engine.nearest(queries[rows], count)
                unseen = similar.min(1) + TOLERANCE if count < windows else [-np.inf] * len(rows)
                for row, candidates, limit in zip(rows, found, unseen, strict=True):
                    best = self._choose(parts[row], queries[row], candidates, float(limit))
                    if best is not None:
                        answers[row] = best
            count = min(windows, _MORE * count)
        return [answers[row] for row in range(len(parts))]

    def places(self, windows: Ints) -> Places:
        """Source coordinates of windows (h,) of the index."""
        starts = np.asarray(self.index.starts[windows])
        records = self.genome.record_at(starts)
        shift = self.genome.shifts[records]
        return Places(self._chroms[records], starts + shift, self.index.ends[windows] + shift)

    def _choose(self, part: Part, query: Vectors, candidates: Ints, unseen: float) -> Best | None:
        """The hits among candidates; None if other windows, whose similarity is at most `unseen`,
        might be hits too.
        """
        own = self._own(part)
        windows, similar = self._sorted(query, candidates, own)
        least = max(
            unseen, -np.inf if self.rules.min_similarity is None else self.rules.min_similarity
        )
        likely = int(np.count_nonzero(similar >= least))
        chosen = self._apart(windows[:likely])
        if len(chosen) < self.rules.k and least == unseen > -np.inf:
            return None
        others = len(self.index) - sum(last - first for first, last in own)
        at_least = np.searchsorted(-similar, -similar[chosen], side="right")
        return Best(windows[chosen], similar[chosen], 100 * (others - at_least) / max(others, 1))

    def _sorted(
        self, query: Vectors, candidates: Ints, own: list[tuple[int, int]]
    ) -> tuple[Ints, Doubles]:
        """Candidates outside `own` and their similarities, most similar first, ties by position.

        Similarities are recomputed and rounded here, so that they depend neither on the engine nor
        on other queries.
        """
        for first, last in own:
            candidates = candidates[(candidates < first) | (candidates >= last)]
        vectors = self.index.vectors[candidates].astype(np.float64)
        # With unit vectors in half precision, a cosine may slightly exceed 1.
        similar = np.clip(np.round(vectors @ query.astype(np.float64), _DIGITS), -1, 1)
        order = np.lexsort((candidates, -similar))
        return candidates[order], similar[order]

    def _own(self, part: Part) -> list[tuple[int, int]]:
        """Ranges [first, last) of windows that overlap the whole query."""
        record = part.record
        if self.rules.include_self or record.chrom is None:
            return []
        assert record.start is not None and record.end is not None
        touched = self.genome.touched_by(record.chrom, record.start, record.end)
        shifts = self.genome.shifts[touched]
        low = np.maximum(record.start, self.genome.starts[touched]) - shifts
        high = np.minimum(record.end, self.genome.ends[touched]) - shifts
        first = np.searchsorted(self.index.ends, low, side="right")
        last = np.searchsorted(self.index.starts, high, side="left")
        return list(zip(first.tolist(), np.maximum(first, last).tolist(), strict=True))

    def _apart(self, windows: Ints) -> Ints:
        """Which of `windows`, best first, are hits: the first k, or the first k that do not overlap
        a better hit (non-maximum suppression).
        """
        if self.rules.all_windows:
            return np.arange(min(len(windows), self.rules.k))
        chrom, start, end = self.places(windows)
        free, chosen = np.ones(len(windows), np.bool_), list[int]()
        while len(chosen) < self.rules.k and free.any():
            at = int(free.argmax())
            chosen.append(at)
            free &= (chrom != chrom[at]) | (end <= start[at]) | (start >= end[at])
        return np.array(chosen, np.int64)
