"""The search for matched negatives: draws from the room that positives leave, kept if alike.

Every draw is a function of the seed; places are store offsets of the genome.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from findna.sequence.alphabet import C, Codes, G, N, codes_of, reverse_complement, soft_of
from findna.sequence.genome import Genome
from findna.sequence.organelles import organelles
from findna.sequence.regions import Integers
from findna.settings import Settings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Bases looked at in one round, which bounds memory.
_BASES_AT_ONCE = 8_000_000
_FEWEST, _MOST = 8, 1024


class NegativeSettings(Settings):
    """How alike a negative must be, and how long one is looked for."""

    gc_tolerance: float = Field(0.02, ge=0, le=1, description="Largest difference in GC.")
    repeat_tolerance: float = Field(
        0.1, ge=0, le=1, description="Largest difference in the fraction of soft-masked bases."
    )
    cpg_tolerance: float = Field(
        0.01, ge=0, le=1, description="Largest difference in CpG fraction, if repeats are unknown."
    )
    flank: int = Field(
        1000, ge=0, description="Bases on each side of a positive where no negative is placed."
    )
    candidates: int = Field(
        4096, ge=16, description="Candidate positions per positive, half of them on its chromosome."
    )


@dataclass(frozen=True, eq=False)
class Wanted:
    """What each of n negatives must be like; `chroms` the genome's names, "" where unknown."""

    lengths: Integers
    gc: Floats
    repeats: Floats
    chroms: list[str]
    strands: list[str]
    sequences: frozenset[bytes]
    by_soft_mask: bool

    @property
    def matched_on(self) -> str:
        """What stands for repeats."""
        return "soft-masked share" if self.by_soft_mask else "CpG share"


class Shares(NamedTuple):
    """Shares (m,) of windows; GC of the known letters, NaN without any."""

    gc: Floats
    soft: Floats
    cpg: Floats


def either_strand(codes: Codes) -> bytes:
    """The same for a sequence and its reverse complement."""
    return min(codes.tobytes(), reverse_complement(codes).tobytes())


def shares_of(codes: Codes, soft: Bools, lengths: Integers) -> Shares:
    """Shares of windows of `lengths` (m,) that lie back to back."""
    starts = np.cumsum(lengths) - lengths
    steps = np.append((codes[:-1] == C) & (codes[1:] == G), False)
    # The last base of a window makes no step to the first of the next.
    steps[starts + lengths - 1] = False
    counted = [(codes == C) | (codes == G), codes < N, soft, steps]
    gc, known, masked, cpg = (np.add.reduceat(flags, starts, dtype=np.float64) for flags in counted)
    with np.errstate(invalid="ignore"):
        return Shares(gc / known, masked / lengths, cpg / np.maximum(lengths - 1, 1))


# ---------------------------------------------------------------- the search


class Search:
    """Rounds of draws: first on the chromosome of each positive, then anywhere.

    Places are counted as ranks, the bases of all runs of the room one after another: organelles
    last, so that a draw from anywhere leaves them out.
    """

    def __init__(
        self,
        genome: Genome,
        room: Integers,
        wanted: Wanted,
        seed: int,
        settings: NegativeSettings,
    ) -> None:
        """`room` (K, 2) holds the runs of store offsets that negatives may lie in."""
        self.genome, self.wanted, self.seed, self.settings = genome, wanted, seed, settings
        self.tolerance = (
            settings.repeat_tolerance if wanted.by_soft_mask else settings.cpg_tolerance
        )
        record = genome.record_at(room[:, 0])
        chroms, organelle = np.array(genome.chroms)[record], organelles(genome.chroms)[record]
        order = np.lexsort((chroms, organelle))
        self.room = room[order]
        self.upto = np.cumsum(self.room[:, 1] - self.room[:, 0])
        self.home = self._ranks(chroms[order])
        nuclear = int(self.upto[~organelle[order]].max(initial=0))
        self.anywhere = np.broadcast_to(np.array([0, nuclear]), self.home.shape)
        self.taken: list[tuple[int, int]] = []

    def found(self) -> Integers:
        """Store offset (n,) of the negative of each positive, −1 where there is none."""
        starts = np.full(len(self.wanted.lengths), -1, np.int64)
        for stage, ranks in enumerate((self.home, self.anywhere)):
            self._fill(starts, ranks, stage)
        return starts

    def _ranks(self, chroms: NDArray[np.str_]) -> Integers:
        """Ranks [low, high) of the chromosome of each positive (n, 2); empty if it has no room."""
        names, first, runs = np.unique(chroms, return_index=True, return_counts=True)
        before = np.append(0, self.upto)
        ranks = {
            str(name): (before[at], before[at + n])
            for name, at, n in zip(names, first, runs, strict=True)
        }
        return np.array([ranks.get(chrom, (0, 0)) for chrom in self.wanted.chroms], np.int64)

    def _fill(self, starts: Integers, ranks: Integers, stage: int) -> None:
        """Rounds of draws for the positives without negative, until half the candidates are tried.

        The fewer they are, the more places are drawn for each in a round.
        """
        most, tried, number = self.settings.candidates // 2, 0, stage
        while tried < most:
            rows = np.flatnonzero((starts < 0) & (ranks[:, 1] > ranks[:, 0]))
            if not len(rows):
                return
            lengths = self.wanted.lengths[rows]
            share = _BASES_AT_ONCE // int(lengths.sum())
            each = min(int(np.clip(share, _FEWEST, _MOST)), most - tried)
            random = np.random.Generator(np.random.Philox(key=[self.seed, number]))
            for part in _portions(rows, lengths * each):
                self._try(part, ranks[part], each, random, starts)
            tried, number = tried + each, number + 2

    def _try(
        self,
        rows: Integers,
        ranks: Integers,
        each: int,
        random: np.random.Generator,
        starts: Integers,
    ) -> None:
        """Draw `each` places for some rows; the first that fits is taken."""
        lengths = np.repeat(self.wanted.lengths[rows], each)
        owner = np.repeat(np.arange(len(rows)), each)
        rank = random.integers(ranks[owner, 0], ranks[owner, 1])
        run = np.searchsorted(self.upto, rank, side="right")
        at = self.room[run, 1] - (self.upto[run] - rank)
        fits = at + lengths <= self.room[run, 1]
        fits[fits] = self._alike(rows[owner[fits]], at[fits], lengths[fits])
        for place in np.flatnonzero(fits).tolist():
            row, start, length = int(rows[owner[place]]), int(at[place]), int(lengths[place])
            if starts[row] < 0 and self._take(start, start + length):
                starts[row] = start

    def _alike(self, rows: Integers, at: Integers, lengths: Integers) -> Bools:
        """Whether windows are as their positives are, within the tolerances."""
        if not len(rows):
            return np.zeros(0, np.bool_)
        stored = self.genome.store[bases_of(at, lengths)]
        shares = shares_of(codes_of(stored), soft_of(stored), lengths)
        repeats = shares.soft if self.wanted.by_soft_mask else shares.cpg
        # A GC of NaN, that of a positive without a known letter, is like no other.
        close = np.abs(shares.gc - self.wanted.gc[rows]) <= self.settings.gc_tolerance + 1e-9
        return close & (np.abs(repeats - self.wanted.repeats[rows]) <= self.tolerance + 1e-9)

    def _take(self, start: int, end: int) -> bool:
        """Keep a place, unless it overlaps one that is kept or is a positive itself."""
        at = bisect(self.taken, (start, end))
        if at and self.taken[at - 1][1] > start:
            return False
        if at < len(self.taken) and self.taken[at][0] < end:
            return False
        if either_strand(codes_of(self.genome.store[start:end])) in self.wanted.sequences:
            return False
        self.taken.insert(at, (start, end))
        return True


def _portions(rows: Integers, bases: Integers) -> list[Integers]:
    """Rows in portions of about the bases that are looked at together."""
    number = (np.cumsum(bases) - bases) // _BASES_AT_ONCE
    return np.split(rows, np.flatnonzero(np.diff(number)) + 1)


def bases_of(starts: Integers, lengths: Integers) -> Integers:
    """Offsets of every base of windows, back to back."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
