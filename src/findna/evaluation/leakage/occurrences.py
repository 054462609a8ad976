"""Where sequences occur whole, on either strand, in longer ones: in other rows, or in a genome.

Each row is cut into disjoint words of 32 letters, its seeds, which fit a 64-bit number exactly. A
row that occurs with m mismatches keeps one of any m + 1 seeds intact (the pigeonhole principle), so
so many are looked up, and each place a seed points to is compared letter by letter. With at most
2 % mismatches no occurrence of a row of 64 bp or more is missed, if it has no N: these may leave it
fewer seeds. An N of a row matches any letter, an N of the text only that of a row.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from findna.data.similarity import Bools, Ints, joined, lengths_of, words
from findna.sequence.alphabet import PAD, Codes, N, codes_of, reverse_complement
from findna.sequence.genome import Genome

SEED = 32
# Letters of the text looked at together: what fits a core's cache.
CHUNK = 1 << 19
_COMPARED_AT_ONCE = 1 << 22
# Odd, 2^64 divided by the golden ratio: the high bits of a product depend on all bits of a word.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SLOTS_A_SEED = 64
_RELEASE_EVERY = 1 << 28


@dataclass(frozen=True)
class Hits:
    """Occurrences: number of the row (M,) and where it starts in the text (M,)."""

    row: Ints
    start: Ints


class Finder:
    """Looks for n rows, and for their reverse complements, in texts.

    `seeded` (n,) is False for rows without 32 known letters in a seed: nothing is known of them.
    """

    def __init__(self, rows: Sequence[Codes], mismatch_share: float = 0.0) -> None:
        """`mismatch_share`: share of a row's letters that may differ, rounded down."""
        strands = [*rows, *map(reverse_complement, rows)]
        self.rows = len(rows)
        self._flat, self._lengths = joined(strands), lengths_of(strands)
        self._begins = np.cumsum(self._lengths) - self._lengths
        self._allowed = np.floor(mismatch_share * self._lengths + 1e-9).astype(np.int64)
        self._strand, self._offset, word = self._seeds()
        order = np.argsort(word, kind="stable")
        self._word = word[order]
        self._strand, self._offset = self._strand[order], self._offset[order]
        self.seeded: Bools = np.zeros(self.rows, np.bool_)
        self.seeded[self._strand % max(self.rows, 1)] = True
        bits = int(np.clip(np.ceil(np.log2(_SLOTS_A_SEED * max(len(word), 1))), 16, 26))
        self._shift = np.uint64(64 - bits)
        self._maybe = np.zeros(1 << bits, np.bool_)
        self._maybe[(self._word * _SPREAD) >> self._shift] = True

    def _seeds(self) -> tuple[Ints, Ints, np.ndarray]:
        """Strand (S,), offset in it (S,) and word (S,) of the first m + 1 seeds without N."""
        counts = self._lengths // SEED
        strand = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(strand)) - np.repeat(np.cumsum(counts) - counts, counts)
        place = self._begins[strand] + number * SEED
        unknown = np.concatenate([[0], np.cumsum(self._flat >= N)])
        known = unknown[place + SEED] == unknown[place]
        strand, number, place = strand[known], number[known], place[known]
        rank = np.arange(len(strand)) - np.searchsorted(strand, strand)
        kept = rank <= self._allowed[strand]
        word = words((self._flat & 3).astype(np.uint64), SEED)[place[kept]]
        return strand[kept], number[kept] * SEED, word

    def occurrences(self, text: Codes, done: Bools | None = None) -> Iterator[Hits]:
        """All occurrences in a text of codes (or of the bytes of a store), chunk by chunk.

        `done` (n,): rows that are passed over; the caller may add to it between chunks.
        """
        for at in range(0, len(text) - SEED + 1, CHUNK):
            letters = codes_of(np.asarray(text[at : at + CHUNK + SEED - 1]))
            strand, start = self._pointed_at(letters)
            start = start + at
            inside = (start >= 0) & (start + self._lengths[strand] <= len(text))
            if done is not None:
                inside &= ~done[strand % self.rows]
            # Several seeds of a row point to one place.
            pair = np.unique(strand[inside] * len(text) + start[inside])
            strand, start = np.divmod(pair, len(text))
            real = self._compare(text, strand, start)
            yield Hits(strand[real] % self.rows, start[real])

    def _pointed_at(self, letters: Codes) -> tuple[Ints, Ints]:
        """Strands and where they would start, for each seed met among the letters."""
        word = words((letters & 3).astype(np.uint64), SEED)
        places = np.flatnonzero(self._maybe[(word * _SPREAD) >> self._shift])
        places = places[letters[places] < N]
        low = np.searchsorted(self._word, word[places], side="left")
        counts = np.searchsorted(self._word, word[places], side="right") - low
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        seed = np.repeat(low, counts) + within
        return self._strand[seed], np.repeat(places, counts) - self._offset[seed]

    def _compare(self, text: Codes, strand: Ints, start: Ints) -> Bools:
        """Whether each strand (M,) stands at its start, but for the mismatches allowed."""
        real = np.zeros(len(strand), np.bool_)
        block = np.cumsum(self._lengths[strand]) // _COMPARED_AT_ONCE
        for some in np.split(np.arange(len(strand)), np.flatnonzero(np.diff(block)) + 1):
            lengths = self._lengths[strand[some]]
            first = np.cumsum(lengths) - lengths
            within = np.arange(lengths.sum()) - np.repeat(first, lengths)
            seen = codes_of(text[np.repeat(start[some], lengths) + within])
            wanted = self._flat[np.repeat(self._begins[strand[some]], lengths) + within]
            differ = ((seen > N) | ((seen != wanted) & (wanted < N))).astype(np.int64)
            mismatches = np.add.reduceat(differ, first) if len(first) else first
            real[some] = mismatches <= self._allowed[strand[some]]
        return real


def contained_in(rows: Sequence[Codes], longer: Sequence[Codes]) -> tuple[Bools, Bools, int]:
    """Which rows stand whole in a longer one of `longer`, which of `longer` hold one, and how many
    rows were too short, or too full of N, to be looked up.
    """
    inside, holds = np.zeros(len(rows), np.bool_), np.zeros(len(longer), np.bool_)
    mine, theirs = lengths_of(rows), lengths_of(longer)
    able = np.flatnonzero(mine < theirs.max(initial=0))
    finder = Finder([rows[i] for i in able.tolist()])
    # What no row matches keeps two of them apart.
    gap = np.full(1, PAD, np.uint8)
    text = joined([part for row in longer for part in (row, gap)])
    begins = np.cumsum(theirs + 1) - (theirs + 1)
    for hits in finder.occurrences(text):
        row, holder = able[hits.row], np.searchsorted(begins, hits.start, side="right") - 1
        shorter = mine[row] < theirs[holder]
        inside[row[shorter]] = True
        holds[holder[shorter]] = True
    return inside, holds, int((~finder.seeded).sum())


@dataclass(frozen=True)
class Located:
    """Of n rows: `inside` the genome somewhere, `seen` where runs were given, and `unknown`, not
    looked up; each bool (n,).
    """

    inside: Bools
    seen: Bools
    unknown: Bools


def locate(rows: Sequence[Codes], genome: Genome, runs: Ints, *, mismatch_share: float) -> Located:
    """Look for rows in the whole genome, which is streamed and never held in memory.

    `runs` (K, 2), sorted store offsets: an occurrence that shares a base with one counts as seen.
    A row lies within one record of the genome.
    """
    finder = Finder(rows, mismatch_share)
    lengths = lengths_of(rows)
    inside, seen = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
    for number, hits in enumerate(finder.occurrences(genome.store, done=seen), 1):
        end = hits.start + lengths[hits.row]
        whole = genome.record_at(hits.start) == genome.record_at(end - 1)
        inside[hits.row[whole]] = True
        seen[hits.row[whole & _touches(runs, hits.start, end)]] = True
        if number * CHUNK % _RELEASE_EVERY == 0:
            _release(genome.store)
    return Located(inside, seen, ~finder.seeded)


def _touches(runs: Ints, start: Ints, end: Ints) -> Bools:
    """Whether spans (M,) share a base with sorted runs (K, 2) that do not overlap."""
    run = np.searchsorted(runs[:, 0], end, side="left") - 1
    last = np.concatenate([runs[:, 1], [0]])[run]
    return np.asarray((run >= 0) & (last > start))


def _release(store: Codes) -> None:
    """Hand the pages of the memory map back, so that resident memory stays small."""
    mapped = getattr(store, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
