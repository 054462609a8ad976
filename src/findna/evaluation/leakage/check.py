"""The leakage report: what the splits of a task share with each other, with other tasks, and with
what a model was pretrained on.

The report (see `leakage.report`) changes nothing; `drop_leaks` takes rows from train, never from
test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import bioframe
import numpy as np
import pandas as pd
from pydantic import Field

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.similarity import (
    DUPLICATE_K,
    SHARED_POSITIONS,
    Bools,
    Ints,
    identical_up_to_strand,
    near_duplicates_in,
)
from findna.evaluation.leakage.occurrences import SEED, contained_in
from findna.evaluation.leakage.pretraining import located_rows, placed_rows, why_not_checked
from findna.evaluation.leakage.report import (
    COLUMNS,
    CONTAINED,
    IDENTICAL,
    IN_GENOME,
    IN_SEEN,
    NEAR,
    OVERLAPPING,
    PLACED_IN_SEEN,
    LeakageReport,
    Marks,
    Pair,
)
from findna.model.model import Model
from findna.sequence.genome import Genome
from findna.settings import Settings
from findna.training.seen import pretraining_of, seen_part

_EITHER_STRAND = "either strand"
_NEAR_THRESHOLD = f"{SHARED_POSITIONS:.0%} of {DUPLICATE_K}-mers of the shorter, {_EITHER_STRAND}"


class LeakageSettings(Settings):
    """What is looked for, and how alike two sequences must be."""

    near: bool = Field(True, description="Also search for near-duplicates.")
    mismatch_share: float = Field(
        0.02,
        ge=0,
        le=0.1,
        description="Fraction of a row that may differ from the genome it is searched in; up to"
        " 0.02, no row of 64 bp or more without N is missed.",
    )


def leakage(
    data: LabelledData,
    *,
    model: Model | str | Path | None = None,
    genome: Genome | None = None,
    others: Mapping[str, LabelledData] | None = None,
    settings: LeakageSettings | None = None,
) -> LeakageReport:
    """Look for leaks within and between the splits of a task, and into it.

    Args:
        data: the task.
        model: whose pretraining is held against the rows; its folder or run tells more than the
            model itself.
        genome: the FASTA the model was pretrained on; without a model, all of it counts as seen.
        others: other tasks by name, whose train and dev rows a joint training would use.
        settings: thresholds.
    """
    settings = LeakageSettings.of(settings)
    found = _Found(data)
    found.add_matrix(IDENTICAL, _EITHER_STRAND, *_identical(data))
    if settings.near:
        note = "identical rows included"
        marks = _by_pair(data, near_duplicates_in(*_stacked(data)))
        found.add_matrix(NEAR, _NEAR_THRESHOLD, marks, dict.fromkeys(marks, note))
    _add_contained(found, data)
    _add_overlapping(found, data)
    for name, other in (others or {}).items():
        _add_other(found, data, name, other)
    if model is not None or genome is not None:
        _add_pretraining(found, data, model, genome, settings)
    return found.report()


class _Found:
    """The lines of a report and the marks of rows, as checks add to them."""

    def __init__(self, data: LabelledData) -> None:
        self.data = data
        self.lines: list[tuple[Any, ...]] = []
        self.marks: dict[Pair, Bools] = {}

    def add_matrix(
        self, check: str, threshold: str, marks: Marks, notes: Mapping[Pair, str]
    ) -> None:
        """Lines for each split within itself and against the splits before it."""
        for pair in _shown_pairs(self.data):
            self.add(check, *pair, marks[pair], threshold, notes.get(pair, ""))
        for pair, rows in marks.items():
            self.mark(pair, rows)

    def mark(self, pair: Pair, rows: Bools) -> None:
        """Remember rows of the first split of a pair that match the second."""
        if pair[0] != pair[1]:
            self.marks[pair] = rows | self.marks.get(pair, np.zeros_like(rows))

    def add(
        self, check: str, split: str, against: str, rows: Bools, threshold: str, note: str = ""
    ) -> None:
        """One line."""
        self.lines.append((check, split, against, int(rows.sum()), len(rows), threshold, note))

    def not_checked(self, check: str, against: str, why: str, *splits: str) -> None:
        """One line that says why there is no number, for these splits or for all."""
        rows = sum(len(self.data.splits[split]) for split in splits or self.data.splits)
        line = (check, ", ".join(splits) or "all", against, None, rows, "", f"not checked: {why}")
        self.lines.append(line)

    def report(self) -> LeakageReport:
        table = pd.DataFrame(self.lines, columns=list(COLUMNS))
        return LeakageReport(table.astype({"rows": "Int64", "of": "Int64"}), self.marks)


def _shown_pairs(data: LabelledData) -> Iterator[Pair]:
    """Each split against itself and against those that come before it: train, dev, test."""
    names = list(data.splits)
    for at, split in enumerate(names):
        for against in (split, *names[:at]):
            yield split, against


def _stacked(data: LabelledData) -> tuple[list[Any], Ints]:
    """The sequences of all splits, one after another, and the number of the split of each."""
    sizes = [len(split) for split in data.splits.values()]
    codes = [row for split in data.splits.values() for row in split.codes]
    return codes, np.repeat(np.arange(len(sizes)), sizes)


def _by_pair(data: LabelledData, matches: Bools) -> dict[Pair, Bools]:
    """From matches of all rows with each split (n, splits), of which the last may lack if they have
    no rows, to marks by ordered pair of splits.
    """
    matches = np.pad(matches, ((0, 0), (0, len(data.splits) - matches.shape[1])))
    ends = np.cumsum([len(split) for split in data.splits.values()])[:-1]
    parts = dict(zip(data.splits, np.split(matches, ends), strict=True))
    numbers = {name: k for k, name in enumerate(data.splits)}
    return {(a, b): parts[a][:, numbers[b]] for a, b in product(data.splits, repeat=2)}


# ---------------------------------------------------------------- identical rows


def _identical(data: LabelledData) -> tuple[dict[Pair, Bools], dict[Pair, str]]:
    """Rows with an identical one elsewhere, and how many of these have one with another label."""
    codes, part = _stacked(data)
    kind = identical_up_to_strand(codes)
    _, label = np.unique(
        np.concatenate([s.labels for s in data.splits.values()]), axis=0, return_inverse=True
    )
    label = label.reshape(-1)
    alike = _with_the_same(kind * (int(label.max(initial=0)) + 1) + label, part)
    twins = _with_the_same(kind, part)
    conflicts = _by_pair(data, twins > alike)
    notes = {
        pair: f"{int(rows.sum()):,} with another label" if rows.any() else ""
        for pair, rows in conflicts.items()
    }
    return _by_pair(data, twins > 0), notes


def _with_the_same(key: Ints, part: Ints) -> Ints:
    """How many other rows of each part have the key of each row (n, parts)."""
    _, member = np.unique(key, return_inverse=True)
    table = np.zeros((int(member.max(initial=-1)) + 1, int(part.max(initial=0)) + 1), np.int64)
    np.add.at(table, (member, part), 1)
    counts = table[member]
    counts[np.arange(len(key)), part] -= 1
    return counts


# ---------------------------------------------------------------- rows within rows, intervals


def _add_contained(found: _Found, data: LabelledData) -> None:
    for split, against in product(data.splits, repeat=2):
        rows, longer = data.splits[split], data.splits[against]
        inside, holds, skipped = contained_in(rows.codes, longer.codes)
        found.add(
            CONTAINED, split, against, inside, f"whole in a longer row, {_EITHER_STRAND}",
            _skipped(skipped),
        )  # fmt: skip
        found.mark((split, against), inside)
        found.mark((against, split), holds)


def _skipped(rows: int) -> str:
    return f"not checked: {rows:,} rows without {SEED} known bases in a row" if rows else ""


def _add_overlapping(found: _Found, data: LabelledData) -> None:
    without = [name for name, split in data.splits.items() if split.places is None]
    if without:
        found.not_checked(OVERLAPPING, "all", f"{', '.join(without)} rows have no coordinates")
    for split, against in _shown_pairs(data):
        rows, others = data.splits[split], data.splits[against]
        if split in without or against in without:
            continue
        overlaps = _overlaps(rows, others) - (split == against)
        found.add(OVERLAPPING, split, against, overlaps > 0, "one base or more, by coordinates")
        found.mark((split, against), overlaps > 0)
        found.mark((against, split), _overlaps(others, rows) > 0)


def _overlaps(rows: LabelledSplit, others: LabelledSplit) -> Ints:
    """How many intervals of `others` share a base with each row (n,)."""
    if rows.places is None or others.places is None or not len(rows) or not len(others):
        return np.zeros(len(rows), np.int64)
    counted = bioframe.count_overlaps(rows.places.frame(), others.places.frame())
    return np.asarray(counted["count"], np.int64)


# ---------------------------------------------------------------- other tasks, pretraining


def _add_other(found: _Found, data: LabelledData, name: str, other: LabelledData) -> None:
    """Test rows (or dev rows, without a test split) against what another task trains on."""
    split = list(data.splits)[-1]
    rows = data.splits[split].codes
    theirs = [row for s in ("train", "dev") if s in other.splits for row in other.splits[s].codes]
    number = identical_up_to_strand([*rows, *theirs])
    identical = np.isin(number[: len(rows)], number[len(rows) :])
    inside, _, skipped = contained_in(rows, theirs)
    against = f"{name} train and dev"
    found.add(IDENTICAL, split, against, identical, _EITHER_STRAND)
    threshold = f"whole in a longer row, {_EITHER_STRAND}"
    found.add(CONTAINED, split, against, inside, threshold, _skipped(skipped))


def _add_pretraining(
    found: _Found,
    data: LabelledData,
    model: Model | str | Path | None,
    genome: Genome | None,
    settings: LeakageSettings,
) -> None:
    pretraining = None if model is None else pretraining_of(model)
    why = why_not_checked(pretraining, genome)
    against = genome.source if genome else "the pretraining genome"
    if why is not None or genome is None:
        found.not_checked(IN_SEEN, against, why or "no genome")
        return
    seen = seen_part(genome, pretraining)
    threshold = f"whole row, at most {settings.mismatch_share:.0%} mismatches, {_EITHER_STRAND}"
    for split, rows in data.splits.items():
        located = located_rows(rows, genome, seen, settings.mismatch_share)
        skipped = _skipped(int(located.unknown.sum()))
        found.add(IN_GENOME, split, against, located.inside, threshold, skipped)
        outside = int((located.inside & ~located.seen).sum())
        note = f"{outside:,} more only in held-out or unread parts; {seen.note}"
        found.add(IN_SEEN, split, against, located.seen, threshold, note)
        placed = placed_rows(rows, genome, seen)
        if isinstance(placed, str):
            found.not_checked(PLACED_IN_SEEN, against, placed, split)
        else:
            found.add(PLACED_IN_SEEN, split, against, placed, "one base or more", seen.note)
