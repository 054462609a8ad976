"""Which rows are judged together: near-duplicates, a stratified validation part, stratified folds.

All of it is numpy on whole tables, and every draw is a function of the seed that is given.

Near-duplicates are found as follows. A sequence and its reverse complement are one. Otherwise two
sequences are near duplicates when they share at least half of the k-mer positions of the shorter
one (k = 12, strands put together): about 95 % identity over the whole length, or exact overlap of
half the length. Candidates come from one-permutation min-hash (Li, Owen and Zhang 2012) with 64
bins; each candidate pair is then counted exactly. A sequence within another one of more than ten
times its length may be missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from findna.data.label_files import TaskKind
from findna.data.labelled import LabelledData, LabelledSplit
from findna.files import BadInput, log
from findna.sequence.alphabet import N, reverse_complement

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DUPLICATE_K = 12
SHARED_POSITIONS = 0.5
_BINS = 64
# Two of 64 bins agreeing is a Jaccard index near 0.03, well below the 0.33 that sharing half the
# positions implies.
_AGREEING_BINS = 2
_PAIRS_AT_ONCE = 20_000


# ---------------------------------------------------------------- k-mers of many sequences at once


@dataclass(frozen=True)
class Kmers:
    """K-mers of n sequences: `word` (M,) in [0, 4^k) and the sequence each stands in, `row` (M,).

    None spans an N.
    """

    word: Ints
    row: Ints
    rows: int


def kmers(codes: Sequence[NDArray[np.uint8]], k: int, *, canonical: bool) -> Kmers:
    """All k-mers of the sequences; `canonical` names a word and its reverse complement alike (the
    smaller of both).
    """
    lengths = np.array([len(c) for c in codes], np.int64)
    flat = np.concatenate([np.empty(0, np.uint8), *codes]).astype(np.int64)
    places = max(len(flat) - k + 1, 0)
    word, other = np.zeros(places, np.int64), np.zeros(places, np.int64)
    for i in range(k):
        letter = flat[i : i + places]
        word = word * 4 + letter
        other += (3 - letter) << (2 * i)
    row = np.repeat(np.arange(len(codes)), lengths)
    unknown = np.concatenate([[0], np.cumsum(flat >= N)])
    inside = (unknown[k : k + places] == unknown[:places]) & (row[:places] == row[k - 1 :][:places])
    chosen = np.minimum(word, other) if canonical else word
    return Kmers(chosen[inside], row[:places][inside], len(codes))


def kmer_counts(found: Kmers, k: int) -> scipy.sparse.csr_matrix:
    """Counts (n, 4^k) as a sparse matrix."""
    ones = np.ones(len(found.word), np.float32)
    table = scipy.sparse.coo_matrix((ones, (found.row, found.word)), shape=(found.rows, 4**k))
    return table.tocsr()


# ---------------------------------------------------------------- near-duplicates


def near_duplicate_groups(codes: Sequence[NDArray[np.uint8]]) -> Ints:
    """Group number (n,) of each sequence.

    Near-duplicates, and what they are near-duplicates of, share one.
    """
    kind = identical_up_to_strand(codes)
    _, first, member = np.unique(kind, return_index=True, return_inverse=True)
    links = _near_pairs([codes[i] for i in first])
    return _connected(links, len(first))[member]


def joined_groups(one: Ints, other: Ints) -> Ints:
    """The finest groups (n,) that keep the groups of both whole."""
    _, one = np.unique(one, return_inverse=True)
    _, other = np.unique(other, return_inverse=True)
    shift = int(one.max(initial=-1)) + 1
    links = np.stack([one, other + shift], 1)
    return _connected(links, shift + int(other.max(initial=-1)) + 1)[one]


def _connected(links: Ints, nodes: int) -> Ints:
    """Number of the connected component of each node, from pairs (P, 2)."""
    ones = np.ones(len(links), np.int8)
    graph = scipy.sparse.coo_matrix((ones, (links[:, 0], links[:, 1])), shape=(nodes, nodes))
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return np.asarray(component, np.int64)


def identical_up_to_strand(codes: Sequence[NDArray[np.uint8]]) -> Ints:
    """Number (n,) of each distinct sequence; a sequence and its reverse complement are one."""
    names: dict[bytes, int] = {}
    strands = ((c.tobytes(), reverse_complement(c).tobytes()) for c in codes)
    return np.array([names.setdefault(min(pair), len(names)) for pair in strands], np.int64)


def _near_pairs(codes: Sequence[NDArray[np.uint8]]) -> Ints:
    """Pairs (P, 2) of distinct sequences that share enough k-mers."""
    found = kmers(codes, DUPLICATE_K, canonical=True)
    pairs = _candidates(_signatures(found))
    table = kmer_counts(found, DUPLICATE_K)
    table.data[:] = 1
    positions = np.maximum(np.array([len(c) for c in codes]) - DUPLICATE_K + 1, 1)
    near = [
        part[
            np.asarray(table[part[:, 0]].multiply(table[part[:, 1]]).sum(1)).ravel()
            >= SHARED_POSITIONS * positions[part].min(1)
        ]
        for part in np.split(pairs, range(_PAIRS_AT_ONCE, len(pairs), _PAIRS_AT_ONCE))
    ]
    return np.concatenate(near)


def _signatures(found: Kmers) -> NDArray[np.uint64]:
    """Smallest hash in each of 64 bins of each sequence's k-mers (n, 64).

    The largest number where a bin is empty.
    """
    mixed = _mix(found.word.astype(np.uint64))
    bins = (mixed >> np.uint64(58)).astype(np.int64)
    signature = np.full((found.rows, _BINS), np.iinfo(np.uint64).max)
    np.minimum.at(signature.reshape(-1), found.row * _BINS + bins, mixed)
    return signature


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _candidates(signature: NDArray[np.uint64]) -> Ints:
    """Pairs (P, 2) of rows that agree in at least two bins, each row with its neighbour in some
    bin.

    Only neighbours in a sorted bin are paired: within a family of m near-duplicates that is m - 1
    pairs a bin and not m², and the 64 bins sort the family in 64 different company.
    """
    empty = np.iinfo(np.uint64).max
    pairs = [np.empty((0, 2), np.int64)]
    for column in signature.T:
        order = np.argsort(column, kind="stable")
        same = (column[order[1:]] == column[order[:-1]]) & (column[order[1:]] != empty)
        pairs.append(np.sort(np.stack([order[:-1][same], order[1:][same]], 1), axis=1))
    # Rows are stably sorted, so a pair that agrees in several bins often stands there several
    # times.
    unique = np.unique(np.concatenate(pairs), axis=0)
    agreeing = np.zeros(len(unique), np.int64)
    for column in signature.T:
        left, right = column[unique[:, 0]], column[unique[:, 1]]
        agreeing += (left == right) & (left != empty)
    return unique[agreeing >= _AGREEING_BINS]


# ---------------------------------------------------------------- stratified parts


def strata_of(labels: NDArray[np.int64] | NDArray[np.float64], kind: str) -> Ints:
    """Stratum (n,) of each row: its class, its combination of labels, or the tenth its first target
    falls into.
    """
    if kind == "regression":
        cuts = np.unique(np.quantile(labels[:, 0], np.linspace(0.1, 0.9, 9)))
        return np.searchsorted(cuts, labels[:, 0]).astype(np.int64)
    if kind == "multilabel":
        return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return labels.astype(np.int64)


def stratified_folds(strata: Ints, groups: Ints, folds: int, seed: int, repeat: int = 0) -> Ints:
    """Fold (n,) of each row: whole groups, strata spread evenly, sizes as equal as the groups
    allow.

    Groups of several rows are placed first, largest first, each where its strata are least full;
    single rows then fill up what is missing, stratum by stratum.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, repeat]))
    _, stratum = np.unique(strata, return_inverse=True)
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    held = np.zeros((folds, int(stratum.max(initial=0)) + 1))
    fold = np.full(len(strata), -1, np.int64)
    for rows in _rows_of_large_groups(group, size, random):
        content = np.bincount(stratum[rows], minlength=held.shape[1])
        at = int(_fullness(held, content).argmin())
        fold[rows], held[at] = at, held[at] + content
    order = random.permutation(len(strata))
    alone = order[fold[order] < 0]
    for s in range(held.shape[1]):
        rows = alone[stratum[alone] == s]
        places = _fill_up(held, s, len(rows))
        fold[rows] = random.permutation(places)
    return fold


def _rows_of_large_groups(group: Ints, size: Ints, random: np.random.Generator) -> Iterator[Ints]:
    """Rows of each group of two and more, largest groups first, equals in random order."""
    rows = np.argsort(group, kind="stable")
    ends = np.cumsum(size)
    large = random.permutation(np.flatnonzero(size > 1))
    for g in large[np.argsort(-size[large], kind="stable")]:
        yield rows[ends[g] - size[g] : ends[g]]


def _fullness(held: NDArray[np.float64], content: Ints) -> NDArray[np.float64]:
    """How full each fold (folds,) would be of the strata in `content`.

    The total decides between equals.
    """
    return np.asarray((held * content).sum(1) / content.sum() + 1e-6 * held.sum(1))


def _fill_up(held: NDArray[np.float64], stratum: int, rows: int) -> Ints:
    """Folds (rows,) for single rows of one stratum, so that it ends up level; updates `held`."""
    folds = len(held)
    target = (held[:, stratum].sum() + rows) / folds
    room = np.clip(target - held[:, stratum], 0, None)
    share = np.floor(room * rows / max(room.sum(), 1e-9)).astype(np.int64)
    # What rounding leaves goes to the folds with the fewest rows of all, so that remainders do not
    # pile up in one.
    left = rows - int(share.sum())
    order = np.argsort(held.sum(1) + share, kind="stable")
    share += np.bincount(order[np.arange(left) % folds], minlength=folds)
    held[:, stratum] += share
    return np.repeat(np.arange(folds), share)


def stratified_holdout(strata: Ints, groups: Ints, fraction: float, seed: int) -> Bools:
    """True (n,) for about `fraction` of the rows: whole groups, each stratum in its share.

    A stratum that would lie in held rows only stays with the others: it must be learned.
    """
    folds = max(2, round(1 / fraction))
    held = stratified_folds(strata, groups, folds, seed, repeat=1_000_003) == 0
    return np.asarray(held & np.isin(strata, strata[~held]))


@dataclass(frozen=True)
class Fold:
    """One round of cross-validation: rows to learn from and rows to be judged on, (n,) booleans."""

    repeat: int
    number: int
    test: Bools

    @property
    def train(self) -> Bools:
        """The other rows."""
        return ~self.test


def cross_validation(
    strata: Ints, groups: Ints, *, folds: int, repeats: int, seed: int, names: Sequence[str] = ()
) -> Iterator[Fold]:
    """Repeated stratified folds; each repeat judges every row once.

    Raises:
        BadInput: a stratum lies in fewer than two groups, so that it cannot be both learned and
            judged.
    """
    folds = min(folds, _smallest_spread(strata, groups, names))
    for repeat in range(repeats):
        fold = stratified_folds(strata, groups, folds, seed, repeat)
        for number in range(folds):
            yield Fold(repeat, number, fold == number)


def groups_of(rows: LabelledSplit) -> Ints:
    """Rows that must stay together: near-duplicates, and equal values of the group column."""
    near = near_duplicate_groups(rows.codes)
    found = near if rows.groups is None else joined_groups(near, rows.groups)
    together = len(rows) - len(np.unique(found))
    if together:
        share = f"{together:,} of {len(rows):,}"
        log.info("%s rows stay with a near-duplicate or their group when rows are split", share)
    return found


def parted(
    rows: LabelledSplit, groups: Ints, kind: TaskKind, *, fraction: float, seed: int
) -> tuple[LabelledSplit, LabelledSplit]:
    """Rows to learn from, and about `fraction` of them to choose by."""
    held = stratified_holdout(strata_of(rows.labels, kind), groups, fraction, seed)
    return rows.where(~held), rows.where(held)


def planned_folds(
    data: LabelledData,
    rows: LabelledSplit,
    groups: Ints,
    *,
    folds: int,
    repeats: int,
    seed: int,
) -> list[Fold]:
    """The rounds of cross-validation for `rows` of a task.

    The same for every model with this seed.
    """
    names = data.classes if data.kind in ("binary", "multiclass") else ()
    strata = strata_of(rows.labels, data.kind)
    rounds = cross_validation(strata, groups, folds=folds, repeats=repeats, seed=seed, names=names)
    return list(rounds)


def _smallest_spread(strata: Ints, groups: Ints, names: Sequence[str]) -> int:
    """Groups that the rarest named class lies in."""
    pairs = np.unique(np.stack([strata, groups], 1), axis=0)
    if not names:
        return max(2, len(np.unique(groups)))
    spread = np.bincount(pairs[:, 0], minlength=len(names))
    rarest = int(spread.argmin())
    if spread[rarest] < 2:
        raise BadInput(
            f"class {names[rarest]} stands in one group of rows only:"
            " it cannot be both learned and judged",
            remedy="add rows of this class from other sources, or give a test split",
        )
    return int(spread[rarest])
