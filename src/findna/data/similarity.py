"""K-mers of many sequences at once, and which sequences are near-duplicates.

A sequence and its reverse complement are identical. Otherwise two sequences are near-duplicates if
they share at least half of the k-mer positions of the shorter one (k = 12, strands joined, no N; a
k-mer that occurs m and n times is shared min(m, n) times): about 95 % identity over the whole
length, or an exact overlap of little more than half of it, (L + 11) / 2 bases. Candidates come from
one-permutation min-hash (Li, Owen and Zhang 2012) with 64 bins over k-mers and their occurrence
number, so that repeats count as often as they occur; each candidate pair is then counted exactly. A
sequence within another of more than ten times its length may be missed, and so may, in a large
family, a pair that shares little more than half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from findna.sequence.alphabet import Codes, N, reverse_complement

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Hashes = NDArray[np.uint64]

DUPLICATE_K = 12
SHARED_POSITIONS = 0.5
_BINS = 64
# Agreement of two of 64 bins is a Jaccard index near 0.03, well below the 0.33 implied by sharing
# half the positions. Where many are expected, fewer than a quarter of them agree once in millions
# of pairs (300 bp: 21 of 63 are expected, below 5 has probability 1e-7).
_AGREEING_BINS = 2
_EXPECTED_SHARE = 0.25
# Pairs counted at once, and their bases: an entry of the tables takes three times eight bytes.
_PAIRS_AT_ONCE = 20_000
_PAIRED_BASES_AT_ONCE = 1 << 23
# Bases sketched at once: several times faster than whole tables if they fit a core's cache.
_BASES_AT_ONCE = 1 << 16
_EMPTY = np.iinfo(np.uint64).max


# ---------------------------------------------------------------- k-mers


@dataclass(frozen=True)
class Kmers:
    """K-mers without N of n sequences: `word` (M,) in [0, 4^k), and `row` (M,), the sequence of
    each.
    """

    word: Ints
    row: Ints
    rows: int


def words(letters: Hashes, k: int) -> Hashes:
    """The k-mer at each position as a number, first base most significant; k at most 32.

    Bases (L,) uint64 of 0 to 3 → (L - k + 1,). Words of twice the length are made of two
    neighbours, so this takes log2(k) passes.
    """
    if len(letters) < k:
        return np.empty(0, np.uint64)
    word, length = letters, 1
    for bit in bin(k)[3:]:
        word = (word[:-length] << np.uint64(2 * length)) | word[length:]
        length *= 2
        if bit == "1":
            word = (word[:-1] << np.uint64(2)) | letters[length:]
            length += 1
    return word


def joined(codes: Sequence[Codes]) -> Codes:
    """All sequences concatenated, uint8."""
    return np.concatenate([np.empty(0, np.uint8), *codes])


def lengths_of(codes: Sequence[Codes]) -> Ints:
    """Bases of each sequence (n,)."""
    return np.array([len(c) for c in codes], np.int64)


def kmers(codes: Sequence[Codes], k: int, *, canonical: bool) -> Kmers:
    """All k-mers of the sequences; with `canonical`, each is the smaller of the k-mer and its
    reverse complement.
    """
    flat = joined(codes)
    letters = (flat & 3).astype(np.uint64)
    word = words(letters, k)
    if canonical:
        np.minimum(word, words(3 - letters[::-1], k)[::-1], out=word)
    row = np.repeat(np.arange(len(codes)), lengths_of(codes))
    unknown = np.concatenate([[0], np.cumsum(flat >= N)])
    places = len(word)
    inside = (unknown[k : k + places] == unknown[:places]) & (row[:places] == row[k - 1 :][:places])
    return Kmers(word[inside].astype(np.int64), row[:places][inside], len(codes))


def kmer_counts(codes: Sequence[Codes], k: int, *, canonical: bool) -> scipy.sparse.csr_matrix:
    """K-mer counts of n sequences, (n, 4^k), sparse.

    Computed for some sequences at a time: a list of all positions takes fifty bytes per base.
    """
    parts = [
        _counted(codes[a:b], k, canonical) for a, b in _blocks(lengths_of(codes), _BASES_AT_ONCE)
    ]
    return scipy.sparse.vstack(parts, format="csr")


def _counted(codes: Sequence[Codes], k: int, canonical: bool) -> scipy.sparse.csr_matrix:
    found = kmers(codes, k, canonical=canonical)
    ones = np.ones(len(found.word), np.float32)
    table = scipy.sparse.coo_matrix((ones, (found.row, found.word)), shape=(found.rows, 4**k))
    return table.tocsr()


# ---------------------------------------------------------------- duplicates


def identical_up_to_strand(codes: Sequence[Codes]) -> Ints:
    """Number (n,) of each distinct sequence; a sequence and its reverse complement are one."""
    names: dict[bytes, int] = {}
    strands = ((c.tobytes(), reverse_complement(c).tobytes()) for c in codes)
    return np.array([names.setdefault(min(pair), len(names)) for pair in strands], np.int64)


def near_duplicate_groups(codes: Sequence[Codes]) -> Ints:
    """Group number (n,) of each sequence: the connected components of near-duplicates."""
    kind = identical_up_to_strand(codes)
    _, first, member = np.unique(kind, return_index=True, return_inverse=True)
    distinct = [codes[i] for i in first.tolist()]
    everywhere = np.ones((len(distinct), 1), np.bool_)
    pairs = _candidates(*_signatures(distinct), everywhere)
    pieces = _pieces(pairs, lengths_of(distinct))
    near = [piece[_share_enough(distinct, piece)] for piece in pieces]
    return connected(np.concatenate([np.empty((0, 2), np.int64), *near]), len(first))[member]


def near_duplicates_in(codes: Sequence[Codes], part: Ints) -> Bools:
    """Whether each row has a near-duplicate, other than itself, in each part, (n, parts).

    `part` (n,) numbers the split of each row, from 0; there are as many parts as the largest number
    requires. Identical rows are near-duplicates too. Each
    row is compared with its nearest neighbours of each part in 64 sorted bins: the result is about
    pairs, not chains of pairs; in a large family it is based on a sample of the pairs.
    """
    kind = identical_up_to_strand(codes)
    _, first, member = np.unique(kind, return_index=True, return_inverse=True)
    rows = np.zeros((len(first), int(part.max(initial=0)) + 1), np.int64)
    np.add.at(rows, (member, part), 1)
    has = rows > 0
    twins = rows[member]
    twins[np.arange(len(codes)), part] -= 1
    return np.asarray((twins > 0) | _near_in([codes[i] for i in first.tolist()], has)[member])


def _near_in(distinct: Sequence[Codes], has: Bools) -> Bools:
    """As `near_duplicates_in` for distinct sequences; `has` (n, parts): the parts of each."""
    found = np.zeros_like(has)
    pairs = _candidates(*_signatures(distinct), has)
    # In random order: once some pairs of a family are found, most others need not be counted.
    key = pairs.astype(np.uint64)
    shuffled = pairs[np.argsort(_mix(key[:, 0] << np.uint64(32) | key[:, 1]))]
    for piece in _pieces(shuffled, lengths_of(distinct)):
        a, b = piece.T
        open_ = ((has[b] & ~found[a]) | (has[a] & ~found[b])).any(1)
        piece = piece[open_]
        a, b = piece[_share_enough(distinct, piece)].T
        np.logical_or.at(found, a, has[b])
        np.logical_or.at(found, b, has[a])
    return found


def connected(links: Ints, nodes: int) -> Ints:
    """Number of the connected component of each node, from pairs (P, 2)."""
    ones = np.ones(len(links), np.int8)
    graph = scipy.sparse.coo_matrix((ones, (links[:, 0], links[:, 1])), shape=(nodes, nodes))
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return np.asarray(component, np.int64)


def _pieces(pairs: Ints, lengths: Ints) -> Iterator[Ints]:
    """Pairs (P, 2) of rows of these `lengths`, in pieces of bounded memory."""
    for at in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[at : at + _PAIRS_AT_ONCE]
        yield from (some[a:b] for a, b in _blocks(lengths[some].sum(1), _PAIRED_BASES_AT_ONCE))


def _share_enough(codes: Sequence[Codes], pairs: Ints) -> Bools:
    """Whether the sequences of each pair (P, 2) share half the k-mer positions of the shorter."""
    rows, at = np.unique(pairs, return_inverse=True)
    at = at.reshape(-1, 2)
    chosen = [codes[i] for i in rows.tolist()]
    table = kmer_counts(chosen, DUPLICATE_K, canonical=True)
    positions = np.maximum(np.asarray(table.sum(1)).ravel(), 1)
    shared = np.asarray(table[at[:, 0]].minimum(table[at[:, 1]]).sum(1)).ravel()
    return np.asarray(shared >= SHARED_POSITIONS * positions[at].min(1))


# ---------------------------------------------------------------- min-hash


def _signatures(codes: Sequence[Codes]) -> tuple[Hashes, Ints]:
    """Smallest hash in each of 64 bins of each sequence's k-mers (n, 64), the largest number if a
    bin is empty; and k-mer positions of each (n,), at least one.
    """
    parts = [_signatures_at_once(codes[a:b]) for a, b in _blocks(lengths_of(codes), _BASES_AT_ONCE)]
    signatures = [np.empty((0, _BINS), np.uint64), *(signature for signature, _ in parts)]
    positions = [np.empty(0, np.int64), *(counts for _, counts in parts)]
    return np.concatenate(signatures), np.concatenate(positions)


def _blocks(lengths: Ints, bases: int) -> list[tuple[int, int]]:
    """Ranges [from, to) of rows with about `bases` bases together, at least one row each."""
    block = np.cumsum(lengths) // bases
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(lengths)]
    return list(pairwise(edges))


def _signatures_at_once(codes: Sequence[Codes]) -> tuple[Hashes, Ints]:
    found = kmers(codes, DUPLICATE_K, canonical=True)
    place = np.sort(found.row << 2 * DUPLICATE_K | found.word)
    row, word = place >> 2 * DUPLICATE_K, place & (1 << 2 * DUPLICATE_K) - 1
    mixed = _mix((_number_in_run(place) << 2 * DUPLICATE_K | word).astype(np.uint64))
    bins = (mixed >> np.uint64(58)).astype(np.int64)
    signature = np.full((found.rows, _BINS), _EMPTY)
    np.minimum.at(signature.reshape(-1), row * _BINS + bins, mixed)
    return signature, np.maximum(np.bincount(row, minlength=found.rows), 1)


def _number_in_run(values: Ints) -> Ints:
    """For sorted values (M,), the number of equal ones before each."""
    place = np.arange(len(values))
    begins = np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
    return place - np.maximum.accumulate(np.where(begins, place, 0))


def _mix(x: Hashes) -> Hashes:
    """Finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _candidates(signature: Hashes, positions: Ints, has: Bools) -> Ints:
    """Pairs (P, 2) of rows that agree in at least two bins: each row with its neighbours of each
    part in some bin; `has` (n, parts): the parts of each row.

    Only neighbours in a sorted bin are paired: a family of m near-duplicates gives m - 1 pairs per
    bin and not m², and in each of the 64 bins other neighbours.
    """
    rows = len(signature)
    # Sixteen bits of each hash distinguish nearly all pairs in a quarter of the memory.
    short = (signature & np.uint64(0xFFFF)).astype(np.uint16)
    filled = np.count_nonzero(signature != _EMPTY, axis=1)
    keys = [np.empty(0, np.int64)]
    for column in signature.T:
        order = np.argsort(column, kind="stable")
        order = order[: np.searchsorted(column[order], _EMPTY)]
        if not len(order):
            continue
        run = column[order]
        for present in has.T:
            a, b = _neighbours(order, run, present[order])
            a, b = np.minimum(a, b), np.maximum(a, b)
            likely = np.count_nonzero(short[a] == short[b], axis=1) >= _AGREEING_BINS
            a, b = a[likely], b[likely]
            agreeing = (signature[a] == signature[b]) & (signature[a] != _EMPTY)
            sure = np.count_nonzero(agreeing, axis=1) >= _least_agreeing(positions, filled, a, b)
            keys.append(a[sure] * rows + b[sure])
    unique = np.unique(np.concatenate(keys))
    return np.stack(np.divmod(unique, max(rows, 1)), axis=1)


def _least_agreeing(positions: Ints, filled: Ints, a: Ints, b: Ints) -> NDArray[np.float64]:
    """Fewest bins in which rows `a` and `b` (P,) agree if they share half the shorter's k-mers."""
    least = SHARED_POSITIONS * np.minimum(positions[a], positions[b])
    jaccard = least / (positions[a] + positions[b] - least)
    expected = jaccard * np.minimum(filled[a], filled[b])
    return np.asarray(np.maximum(_AGREEING_BINS, _EXPECTED_SHARE * expected))


def _neighbours(order: Ints, run: Hashes, present: Bools) -> tuple[Ints, Ints]:
    """Each row of a sorted bin with the nearest row of one part before and after it with the same
    hash.
    """
    place = np.arange(len(order))
    before = np.maximum.accumulate(np.where(present, place, -1))
    before = np.concatenate([[-1], before])[: len(order)].astype(np.int64)
    pairs = [(place, before)]
    if not present.all():
        behind = np.minimum.accumulate(np.where(present, place, len(order))[::-1])[::-1]
        behind = np.concatenate([behind[1:], [len(order)]]).astype(np.int64)
        pairs.append((place, np.where(behind < len(order), behind, -1)))
    mine = np.concatenate([a for a, _ in pairs])
    theirs = np.concatenate([b for _, b in pairs])
    same = (theirs >= 0) & (run[mine] == run[theirs])
    return order[mine[same]], order[theirs[same]]
