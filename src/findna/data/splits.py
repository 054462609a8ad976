"""Splitting rows: groups of near-duplicates, stratified validation parts, stratified folds.

Every draw is a function of the given seed.
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

# A combination of labels with fewer rows is not a stratum of its own.
_FEW_ALIKE = 10
# Folds that a held-out part is composed of, if a few of them come close enough to its share.
_FOLDS_A_SHARE = 20
# A fold with more than this times its share of the rows is held out after others.
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
    """Stratum (n,) of each row: its class, its combination of labels (the rarest of its labels, if
    few rows have that combination), or the decile of its first target.
    """
    if kind == "regression":
        cuts = np.unique(np.quantile(labels[:, 0], np.linspace(0.1, 0.9, 9)))
        return np.searchsorted(cuts, labels[:, 0]).astype(np.int64)
    if kind == "multilabel":
        return _strata_of_labels(labels != 0)
    return labels.astype(np.int64)


def _strata_of_labels(has: Bools) -> Ints:
    """Strata of multilabel rows (n, K). If every combination were a stratum, most would have a
    single row, which can be neither spread nor held out.
    """
    _, combination, rows = np.unique(has, axis=0, return_inverse=True, return_counts=True)
    combination = combination.reshape(-1).astype(np.int64)
    rarest = np.where(has, has.sum(0), len(has) + 1).argmin(1)
    return np.where(rows[combination] < _FEW_ALIKE, len(rows) + rarest, combination)


def stratified_folds(strata: Ints, groups: Ints, folds: int, seed: int, repeat: int = 0) -> Ints:
    """Fold (n,) of each row: whole groups, strata spread evenly, sizes as equal as the groups
    allow.

    Groups of several rows are assigned first, largest first, each to the fold with the fewest rows
    of its strata; single rows then level the folds, stratum by stratum.
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
    """Rows of each group of two or more, largest groups first, ties in random order."""
    rows = np.argsort(group, kind="stable")
    ends = np.cumsum(size)
    large = random.permutation(np.flatnonzero(size > 1))
    for g in large[np.argsort(-size[large], kind="stable")]:
        yield rows[ends[g] - size[g] : ends[g]]


def _fullness(held: NDArray[np.float64], content: Ints) -> NDArray[np.float64]:
    """How many rows of the strata in `content` each fold (folds,) has; ties by total size."""
    return np.asarray((held * content).sum(1) / content.sum() + 1e-6 * held.sum(1))


def _fill_up(held: NDArray[np.float64], stratum: int, rows: int) -> Ints:
    """Folds (rows,) for single rows of one stratum, which level it; updates `held`."""
    folds = len(held)
    target = (held[:, stratum].sum() + rows) / folds
    room = np.clip(target - held[:, stratum], 0, None)
    share = np.floor(room * rows / max(room.sum(), 1e-9)).astype(np.int64)
    # Remainders of rounding go to the folds with the fewest rows in all, so as not to pile up.
    left = rows - int(share.sum())
    order = np.argsort(held.sum(1) + share, kind="stable")
    share += np.bincount(order[np.arange(left) % folds], minlength=folds)
    held[:, stratum] += share
    return np.repeat(np.arange(folds), share)


def stratified_holdout(
    strata: Ints, groups: Ints, fraction: float, seed: int, part: int = 0
) -> Bools:
    """True (n,) for about `fraction` of the rows: whole groups, strata in proportion.

    Parts 0, 1, ... are disjoint until every row has been held out once, then rows are dealt anew.
    With few large groups, not every part has all strata: parts with more strata come first, among
    them oversized ones last, and with fewer groups than parts, they repeat. See
    `without_unlearned`.
    """
    share = Fraction(fraction).limit_denominator(max(_FOLDS_A_SHARE, round(1 / fraction)))
    # Some rows are left to train on, whatever the fraction.
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
    """Held-out rows (n,), except the groups of strata that occur in no other rows: these must be
    trained on.
    """
    unlearned = held & ~np.isin(strata, strata[~held])
    return np.asarray(held & ~np.isin(groups, groups[unlearned]))


@dataclass(frozen=True)
class Fold:
    """One round of cross-validation: training and test rows, (n,) booleans."""

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
    """Repeated stratified folds; each repeat tests every row once.

    Raises:
        BadInput: a stratum in fewer than two groups cannot be both trained on and tested.
    """
    folds = min(folds, _smallest_spread(strata, groups, names))
    for repeat in range(repeats):
        fold = stratified_folds(strata, groups, folds, seed, repeat)
        fold = _learned_somewhere(fold, strata, groups)
        for number in range(folds):
            yield Fold(repeat, number, fold == number)


def _learned_somewhere(fold: Ints, strata: Ints, groups: Ints) -> Ints:
    """The folds (n,) with, for each stratum that is in one fold only, the smallest group that helps
    moved to the fold with the fewest rows: every test stratum must have been trained on.
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
    """The folds with `rows` (n,), all of one fold, moved to the one with the fewest other rows."""
    held = np.bincount(fold[~rows], minlength=int(fold.max()) + 1).astype(np.float64)
    held[fold[rows]] = np.inf
    return np.where(rows, held.argmin(), fold)


def alike_groups(rows: LabelledSplit) -> Ints:
    """Groups (n,) of rows of the same DNA: near-duplicates and overlapping intervals."""
    near = near_duplicate_groups(rows.codes)
    return near if rows.places is None else joined_groups(near, rows.places.stretches())


def groups_of(rows: LabelledSplit) -> Ints:
    """Groups (n,) that must stay together: the same DNA, or the same value of the group column."""
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
    """Which of train and dev have exactly the sequences of the test split, in any order."""
    if "test" not in data.splits:
        return []
    test = _distinct(data.splits["test"])
    others = (split for split in ("train", "dev") if split in data.splits)
    return [split for split in others if _distinct(data.splits[split]) == test]


def refuse_same_rows(data: LabelledData) -> None:
    """`BadInput` if the test split is the same as the training or validation split."""
    for split in splits_like_test(data):
        raise BadInput(
            f"the test split has the same sequences as {split}: a score on it would say nothing"
            " about new sequences",
            file=data.source,
            remedy="give rows that are not used for training or choosing, or leave out the test"
            " file: some rows are then set aside",
        )


def _distinct(rows: LabelledSplit) -> frozenset[bytes]:
    return frozenset(codes.tobytes() for codes in rows.codes)


def parted(
    rows: LabelledSplit, groups: Ints, kind: TaskKind, *, fraction: float, seed: int, part: int = 0
) -> tuple[LabelledSplit, LabelledSplit]:
    """Training rows, and about `fraction` of all for validation; see `stratified_holdout`."""
    held = stratified_holdout(strata_of(rows.labels, kind), groups, fraction, seed, part)
    return rows.where(~held), rows.where(held)


def rows_to_cross(data: LabelledData) -> LabelledSplit:
    """The rows of a task without a test split: train and dev together."""
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
    """The rounds of cross-validation for `rows` of a task, the same for every model."""
    names = data.classes if data.kind in ("binary", "multiclass") else ()
    strata = strata_of(rows.labels, data.kind)
    rounds = cross_validation(strata, groups, folds=folds, repeats=repeats, seed=seed, names=names)
    return list(rounds)


def _at_least_two_groups(groups: Ints) -> int:
    found = len(np.unique(groups))
    if found < 2:
        raise BadInput(
            f"all {len(groups):,} rows are near-duplicates, overlap or belong to one group: no"
            " part of them can test what was learned from the rest",
            remedy="give a test split, or --folds 0 to train without a test",
        )
    return found


def _smallest_spread(strata: Ints, groups: Ints, names: Sequence[str]) -> int:
    """Number of groups that contain the least spread class, at least two."""
    if not names:
        return _at_least_two_groups(groups)
    pairs = np.unique(np.stack([strata, groups], 1), axis=0)
    spread = np.bincount(pairs[:, 0], minlength=len(names))
    rarest = int(spread.argmin())
    if spread[rarest] < 2:
        raise BadInput(
            f"all rows of class {names[rarest]} are in one group: it cannot be both trained on"
            " and tested",
            remedy="similar or overlapping rows count as one group: add rows of this class from"
            " other sources or regions, or give a test split",
        )
    return int(spread[rarest])
