"""Which rows are judged together: near-duplicates, a stratified validation part, stratified folds.

All of it is numpy on whole tables, and every draw is a function of the seed that is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from findna.data.labelled import LabelledData, LabelledSplit, Labels
from findna.data.parts import TaskKind
from findna.data.similarity import (
    Bools,
    Ints,
    connected,
    near_duplicate_groups,
)
from findna.files import BadInput, log

# A combination of labels with fewer rows is no stratum.
_FEW_ALIKE = 10
# Folds that a held share is made of, if a few of them come near enough.
_FOLDS_A_SHARE = 20
# Times its share of the rows that a fold may have before others are held first.
_OVERSIZED = 1.5


def joined_groups(one: Ints, other: Ints) -> Ints:
    """The finest groups (n,) that keep the groups of both whole."""
    _, one = np.unique(one, return_inverse=True)
    _, other = np.unique(other, return_inverse=True)
    shift = int(one.max(initial=-1)) + 1
    links = np.stack([one, other + shift], 1)
    return connected(links, shift + int(other.max(initial=-1)) + 1)[one]


# ---------------------------------------------------------------- stratified parts


def strata_of(labels: Labels, kind: str) -> Ints:
    """Stratum (n,) of each row: its class, its combination of labels (where few rows have that, the
    rarest label in it), or the tenth its first target falls into.
    """
    if kind == "regression":
        cuts = np.unique(np.quantile(labels[:, 0], np.linspace(0.1, 0.9, 9)))
        return np.searchsorted(cuts, labels[:, 0]).astype(np.int64)
    if kind == "multilabel":
        return _strata_of_labels(labels != 0)
    return labels.astype(np.int64)


def _strata_of_labels(has: Bools) -> Ints:
    """Of rows (n, K) with several labels. Were every combination a stratum, most rows would have
    one of their own, which can neither be spread nor held out.
    """
    _, combination, rows = np.unique(has, axis=0, return_inverse=True, return_counts=True)
    combination = combination.reshape(-1).astype(np.int64)
    rarest = np.where(has, has.sum(0), len(has) + 1).argmin(1)
    return np.where(rows[combination] < _FEW_ALIKE, len(rows) + rarest, combination)


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


def stratified_holdout(
    strata: Ints, groups: Ints, fraction: float, seed: int, part: int = 0
) -> Bools:
    """True (n,) for about `fraction` of the rows: whole groups, each stratum in its share.

    Parts 0, 1, ... are disjoint until all rows have been held once; then rows are dealt anew. Few
    large groups cannot give every part all strata: parts that lack fewer come first, of these such
    as a large group makes larger than was asked for last, and where there are fewer groups than
    parts, they come again. See `without_unlearned`.
    """
    share = Fraction(fraction).limit_denominator(max(_FOLDS_A_SHARE, round(1 / fraction)))
    # Something is left to learn from, whatever is asked for.
    share = min(share, Fraction(_FOLDS_A_SHARE - 1, _FOLDS_A_SHARE))
    folds = share.denominator
    deal, part = divmod(part, folds // share.numerator)
    fold = stratified_folds(strata, groups, folds, seed, repeat=1_000_003 + deal)
    present = [len(np.unique(strata[fold == number])) for number in range(folds)]
    with_rows = max(1, int(np.count_nonzero(present)))
    many = max(1, min(round(share * with_rows), with_rows - 1))
    chosen = (part * many + np.arange(many)) % with_rows
    size = np.bincount(fold, minlength=folds)
    oversized = np.where(size > _OVERSIZED * len(fold) / folds, size, 0)
    held = np.isin(fold, np.lexsort((oversized, -np.array(present)))[chosen])
    return without_unlearned(held, strata, groups)


def without_unlearned(held: Bools, strata: Ints, groups: Ints) -> Bools:
    """Held rows (n,) of which a stratum that would lie in them only stays with the others, and so
    do the groups it lies in: it must be learned.
    """
    unlearned = held & ~np.isin(strata, strata[~held])
    return np.asarray(held & ~np.isin(groups, groups[unlearned]))


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
        fold = _learned_somewhere(fold, strata, groups)
        for number in range(folds):
            yield Fold(repeat, number, fold == number)


def _learned_somewhere(fold: Ints, strata: Ints, groups: Ints) -> Ints:
    """The folds (n,) again, and of each stratum that lies in one of them only the smallest group
    that helps moved to the fold with the fewest rows: what is judged must have been learned.
    """
    for stratum in _in_one_fold(fold, strata).tolist():
        names, size = np.unique(groups[strata == stratum], return_counts=True)
        for name in names[np.argsort(size, kind="stable")].tolist():
            moved = _moved(fold, groups == name)
            if len(_in_one_fold(moved, strata)) < len(_in_one_fold(fold, strata)):
                fold = moved
                break
    return fold


def _in_one_fold(fold: Ints, strata: Ints) -> Ints:
    pairs = np.unique(np.stack([strata, fold], 1), axis=0)
    found, folds = np.unique(pairs[:, 0], return_counts=True)
    return np.asarray(found[folds == 1])


def _moved(fold: Ints, rows: Bools) -> Ints:
    """The folds with rows (n,) of one of them in the one with the fewest other rows."""
    held = np.bincount(fold[~rows], minlength=int(fold.max()) + 1).astype(np.float64)
    held[fold[rows]] = np.inf
    return np.where(rows, held.argmin(), fold)


def alike_groups(rows: LabelledSplit) -> Ints:
    """Groups (n,) of rows of the same DNA: near-duplicates, and places that overlap."""
    near = near_duplicate_groups(rows.codes)
    return near if rows.places is None else joined_groups(near, rows.places.stretches())


def groups_of(rows: LabelledSplit) -> Ints:
    """Rows that must stay together: those of the same DNA, and equal values of the group column."""
    alike = alike_groups(rows)
    found = alike if rows.groups is None else joined_groups(alike, rows.groups)
    together = len(rows) - len(np.unique(found))
    if together:
        share = f"{together:,} of {len(rows):,} rows"
        log.info(
            "kept with a near-duplicate, an overlapping row or their group when rows are split: %s",
            share,
        )
    return found


def splits_like_test(data: LabelledData) -> list[str]:
    """Which of train and dev hold the sequences of the test split and no others, in any order."""
    if "test" not in data.splits:
        return []
    test = _distinct(data.splits["test"])
    others = (split for split in ("train", "dev") if split in data.splits)
    return [split for split in others if _distinct(data.splits[split]) == test]


def refuse_same_rows(data: LabelledData) -> None:
    """`BadInput` where there is a test split and it is the training or validation split."""
    for split in splits_like_test(data):
        raise BadInput(
            f"the test split holds the same sequences as {split}: a score on it would say nothing"
            " about new sequences",
            file=data.source,
            remedy="give rows that take no part in learning and choosing, or leave the test file"
            " away: some rows are then set aside",
        )


def _distinct(rows: LabelledSplit) -> frozenset[bytes]:
    return frozenset(codes.tobytes() for codes in rows.codes)


def parted(
    rows: LabelledSplit, groups: Ints, kind: TaskKind, *, fraction: float, seed: int, part: int = 0
) -> tuple[LabelledSplit, LabelledSplit]:
    """Rows to learn from, and about `fraction` of them to choose by; see `stratified_holdout`."""
    held = stratified_holdout(strata_of(rows.labels, kind), groups, fraction, seed, part)
    return rows.where(~held), rows.where(held)


def rows_to_cross(data: LabelledData) -> LabelledSplit:
    """The rows of a task without a test split: those of dev join those of train."""
    rows, dev = data.splits["train"], data.splits.get("dev")
    if dev is None:
        return rows
    both = replace(data, splits={"train": rows, "dev": dev}).named().splits
    return both["train"].and_then(both["dev"])


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


def _at_least_two_groups(groups: Ints) -> int:
    found = len(np.unique(groups))
    if found < 2:
        raise BadInput(
            f"all {len(groups):,} rows are near-duplicates, overlap or are of one group: no part of"
            " them can judge what was learned from the rest",
            remedy="give a test split, or --folds 0 to learn without being judged",
        )
    return found


def _smallest_spread(strata: Ints, groups: Ints, names: Sequence[str]) -> int:
    """Groups that the rarest named class lies in."""
    pairs = np.unique(np.stack([strata, groups], 1), axis=0)
    if not names:
        return _at_least_two_groups(groups)
    spread = np.bincount(pairs[:, 0], minlength=len(names))
    rarest = int(spread.argmin())
    if spread[rarest] < 2:
        raise BadInput(
            f"class {names[rarest]} stands in one group of rows only:"
            " it cannot be both learned and judged",
            remedy="rows that are alike or overlap are one group, too: add rows of this class from"
            " other sources or places, or give a test split",
        )
    return int(spread[rarest])
