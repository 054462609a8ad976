"""Where windows may start: starts within all limits, and uniform draws from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from findna.data.randomness import Purpose, row_hash
from findna.data.sampling import Offsets, Runs, most_of, sizes_of
from findna.files import BadInput
from findna.sequence.genome import Genome

# Draws before the allowed starts are computed exactly, which takes seconds in a genome with many
# repeats. With 29 of 30 starts rejected, one window in 30 million needs that.
_REDRAWS = 512


class _Coverage:
    """How many bases of a window lie in given sorted runs, without reading the genome."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._before = np.append(0, np.cumsum(sizes_of(runs)))
        self._ends = np.append(0, runs[:, 1])

    def within(self, starts: Offsets, length: int) -> Offsets:
        """Covered bases of [start, start + length), same shape as `starts`."""
        return np.asarray(self._upto(starts + length) - self._upto(starts))

    def _upto(self, offsets: Offsets) -> Offsets:
        run = np.searchsorted(self.runs[:, 0], offsets, side="right")
        beyond = np.maximum(0, self._ends[run] - offsets)
        return np.asarray(self._before[run] - beyond)


@dataclass(frozen=True)
class _Limit:
    """At most `share` of a window may be covered."""

    coverage: _Coverage
    share: float

    def passes(self, starts: Offsets, length: int) -> NDArray[np.bool_]:
        return self.coverage.within(starts, length) <= most_of(self.share, length)

    def allowed(self, among: Runs, length: int) -> Runs:
        """The starts within `among` (runs of starts) that pass, as runs of starts.

        The coverage of a window changes by at most one from a start to the next, and its slope
        changes only where an end of the window meets an end of a covered run. Between such points
        it is linear, and the starts within the limit follow by arithmetic.
        """
        ends = self.coverage.runs.ravel()
        points = np.unique(np.concatenate([among.ravel(), ends, ends - length]))
        if len(points) < 2 or not len(among):
            return among[:0]
        low, high = points[:-1], points[1:]
        run = np.searchsorted(among[:, 0], low, side="right") - 1
        inside = (run >= 0) & (low < among[run, 1])
        low, high = low[inside], high[inside]
        spare = most_of(self.share, length) - self.coverage.within(low, length)
        slope = self.coverage.within(low + 1, length) - self.coverage.within(low, length)
        rising = np.minimum(high, low + spare + 1)
        falling = np.maximum(low, low - spare)
        flat_end = np.where(spare >= 0, high, low)
        first = np.where(slope < 0, falling, low)
        last = np.select([slope < 0, slope > 0], [high, rising], flat_end)
        starts: Runs = np.stack([first, last], axis=1)[last > first]
        return starts


class Starts:
    """The allowed starts of windows of any length, and uniform draws from them."""

    def __init__(self, genome: Genome, runs: Runs, max_n: float, soft_limit: float | None) -> None:
        self.source, self.runs = genome.source, runs
        self.limits = [_Limit(_Coverage(genome.n_runs), max_n)]
        if soft_limit is not None:
            self.limits.append(_Limit(_Coverage(genome.soft_runs), soft_limit))
        self._exact: dict[int, Runs] = {}

    def draw(
        self, length: int, seed: int, epoch: int, ids: NDArray[np.int64], purpose: Purpose
    ) -> Offsets:
        """Starts (B,), uniform over the allowed ones.

        A start that breaks a limit is redrawn; after some attempts the allowed starts are computed
        and drawn from.
        """
        among = self.fitting(length)
        starts = np.empty(len(ids), dtype=np.int64)
        rows = np.arange(len(ids))
        for attempt in range(_REDRAWS):
            starts[rows] = _pick(among, row_hash(seed, epoch, ids[rows], purpose, attempt))
            rows = rows[~self._passes(starts[rows], length)]
            if not len(rows):
                return starts
        bits = row_hash(seed, epoch, ids[rows], purpose, _REDRAWS)
        starts[rows] = _pick(self.allowed(length), bits)
        return starts

    def fitting(self, length: int) -> Runs:
        """Runs of starts whose window lies in one run, ignoring limits; `BadInput` if none does."""
        fits: Runs = self.runs[sizes_of(self.runs) >= length]
        if not len(fits):
            longest = int(sizes_of(self.runs).max(initial=0))
            raise BadInput(
                f"no window of {length:,} bp fits: the longest stretch has {longest:,} bp",
                file=self.source,
                remedy="use a smaller --window",
            )
        return np.stack([fits[:, 0], fits[:, 1] - (length - 1)], axis=1)

    def allowed(self, length: int) -> Runs:
        """Runs of starts within every limit; `BadInput` if there is none."""
        if length not in self._exact:
            starts = self.fitting(length)
            for limit in self.limits:
                starts = limit.allowed(starts, length)
            self._exact[length] = starts
        if not len(self._exact[length]):
            shares = ", ".join(
                f"{100 * limit.share:g} % {what}"
                for limit, what in zip(self.limits, ("N", "lower case"), strict=False)
            )
            raise BadInput(
                f"no window of {length:,} bp has at most {shares}",
                file=self.source,
                remedy="use a smaller --window, a larger --max-n or another --soft-mask",
            )
        return self._exact[length]

    def _passes(self, starts: Offsets, length: int) -> NDArray[np.bool_]:
        passes = np.ones(len(starts), dtype=np.bool_)
        for limit in self.limits:
            passes &= limit.passes(starts, length)
        return passes


def _pick(among: Runs, bits: NDArray[np.uint64]) -> Offsets:
    """Starts, uniform among runs of starts, chosen by 64 random bits each; same shape."""
    upto = np.cumsum(sizes_of(among))
    return _at_rank(among, upto, (bits % np.uint64(upto[-1])).astype(np.int64))


def _at_rank(among: Runs, upto: Offsets, rank: Offsets) -> Offsets:
    run = np.searchsorted(upto, rank, side="right")
    starts: Offsets = among[run, 1] - (upto[run] - rank)
    return starts


def fixed_windows(
    genome: Genome, runs: Runs, length: int, count: int, seed: int, max_n: float
) -> Offsets:
    """Starts (count,) of windows for validation: spread evenly over `runs`, the same every time.

    One is drawn in each of `count` equal parts of the allowed starts; if there are fewer starts,
    some repeat. Raises `BadInput` if no window fits or is within the limit of N.
    """
    among = Starts(genome, runs, max_n, None).allowed(length)
    upto = np.cumsum(sizes_of(among))
    number = np.arange(count, dtype=np.int64)
    within = row_hash(seed, 0, number, Purpose.VALIDATION_START) % np.uint64(upto[-1])
    return _at_rank(among, upto, (number * upto[-1] + within.astype(np.int64)) // count)
