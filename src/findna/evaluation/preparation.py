"""From a task's files to the rows that learn, the rows that choose, and the rows that judge.

Test rows are the official ones, or, where there are none, a fifth of all rows set aside once. Rows
that choose are the official validation split, or a tenth of the training rows, drawn anew for each
seed (the protocol of Caduceus and later papers: five seeds, 90/10, test once). Nothing that learns
or chooses ever comes from the test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.parts import LabelSettings
from findna.data.similarity import identical_up_to_strand
from findna.data.splits import (
    alike_groups,
    joined_groups,
    parted,
    refuse_same_rows,
    strata_of,
    stratified_holdout,
)
from findna.files import BadInput, log
from findna.metrics import primary_metric
from findna.resampling import word_on_groups

Ints = NDArray[np.int64]
How = Literal["official", "stratified", "chromosome", "similarity"]

# A validation part of whole chromosomes needs a few of them to choose from.
_FEWEST_CHROMOSOMES = 5
# Of few rows a tenth is too few to choose by; one row of each class is the least.
_FEW_SHOT_FRACTION = 0.2
# What `strata_of` gives where it is not classes.
_STRATA = {
    "multilabel": "combination of labels (of rare ones their rarest label)",
    "regression": "tenth of the values",
}


class ProtocolSettings(LabelSettings):
    """Which rows learn, choose and judge."""

    split: Literal["auto", "official", "stratified", "chromosome", "similarity"] = Field(
        "auto",
        description="Validation rows: the official validation split, or a part of train that is"
        " stratified, or made of whole chromosomes, or of whole clusters of near-duplicates;"
        " auto: the first of official, chromosome, similarity that the data allow.",
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Fraction of train used as validation rows, without an official split.",
    )
    test_fraction: float = Field(
        0.2, gt=0, le=0.5, description="Fraction of all rows set aside, without a test split."
    )
    train_rows: int | None = Field(
        None,
        ge=2,
        description="Largest number of training rows; drawn once, stratified; marked as reduced.",
    )
    few_shot: int | None = Field(
        None, ge=2, description="Train on this many rows per class, drawn for each seed."
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """A task ready to be evaluated; `dev` is None where each seed draws its own.

    `groups` (n,) of the training rows are kept whole when a validation part is drawn.
    """

    name: str
    data: LabelledData
    dev: LabelledSplit | None
    test: LabelledSplit
    groups: Ints
    settings: ProtocolSettings
    how: How
    metric: str
    notes: tuple[str, ...] = ()

    @property
    def draws(self) -> bool:
        """Whether the rows that learn or choose differ between seeds."""
        return self.dev is None or self.settings.few_shot is not None

    @property
    def whole(self) -> LabelledData:
        """All rows that take part, by split."""
        chooses = {} if self.dev is None else {"dev": self.dev}
        return replace(self.data, splits={**self.data.splits, **chooses, "test": self.test})

    @property
    def protocol(self) -> str:
        """The protocol in a sentence."""
        if self.settings.few_shot:
            each = _STRATA.get(self.data.kind, "class")
            rows = f"{self.settings.few_shot} training rows of each {each} drawn for each seed"
            usual = self._choosing == _FEW_SHOT_FRACTION
            part = "a fifth" if usual else f"{100 * self._choosing:.0f} %"
            return (
                f"{rows}, {part} of them (at least one of each) used for validation, test read once"
            )
        chooses = {
            "official": "official validation split",
            "stratified": "validation drawn from train for each seed, stratified",
            "chromosome": "validation of whole chromosomes of train, drawn for each seed",
            "similarity": "validation of whole near-duplicate clusters of train, for each seed",
        }[self.how]
        return f"{chooses}, test read once"

    @property
    def _choosing(self) -> float:
        """Share of the rows to learn from that choose, without a split of their own."""
        fraction, few = self.settings.validation_fraction, self.settings.few_shot
        return max(fraction, _FEW_SHOT_FRACTION, 1 / few) if few else fraction

    def parts(self, seed: int) -> LabelledData:
        """Splits "train" and "dev" of one seed, and no other."""
        train, groups = self.data.splits["train"], self.groups
        if self.settings.few_shot:
            few = drawn_per_class(train, self.data.kind, self.settings.few_shot, seed)
            train, groups = train.where(few), groups[few]
        elif self.dev is not None:
            return replace(self.data, splits={"train": train, "dev": self.dev})
        # Another part for another seed: large groups would fall into the same one at every draw.
        learn, choose = parted(
            train, groups, self.data.kind, fraction=self._choosing, seed=0, part=seed
        )
        if not len(choose):
            raise BadInput(
                f"{len(train):,} training rows are too few or too similar to set some aside for"
                " validation",
                file=self.data.source,
                remedy="give a validation split (dev), or more rows",
            )
        return replace(self.data, splits={"train": learn, "dev": choose})


def prepare(
    name: str,
    data: LabelledData,
    settings: ProtocolSettings,
    notes: Sequence[str] = (),
    metric: str | None = None,
) -> Prepared:
    """Decide which rows learn, choose and judge; `metric` is the primary one of the kind if None.

    Raises:
        BadInput: the test split is the validation or training split, or the split that was asked
            for is not possible.
    """
    data, notes = _with_test(data.named(), settings, tuple(notes))
    test = data.splits["test"]
    refuse_same_rows(data)
    how = _how(data, settings)
    train, dev = data.splits["train"], data.splits.get("dev")
    if dev is not None and how != "official":
        # The rows of a validation split that is not used as such are rows to learn from.
        train, dev = train.and_then(dev), None
        notes += ("the official validation split joins train",)
    if settings.train_rows and len(train) > settings.train_rows:
        notes += (f"reduced: {settings.train_rows:,} of {len(train):,} training rows",)
        train = train.where(drawn_rows(train, data.kind, settings.train_rows))
    rest = replace(data, splits={"train": train})
    groups = _groups(train, how, alone=dev is not None and not settings.few_shot)
    few = word_on_groups(test.groups)
    notes += (few,) if few else ()
    for note in notes:
        log.info("%s: %s", name, note)
    metric = metric or primary_metric(data.kind)
    return Prepared(name, rest, dev, test, groups, settings, how, metric, notes)


def _with_test(
    data: LabelledData, settings: ProtocolSettings, notes: tuple[str, ...]
) -> tuple[LabelledData, tuple[str, ...]]:
    """The data with a test split: its own, or a share of all rows in whole groups."""
    if "test" in data.splits:
        return data, notes
    rows = data.splits["train"]
    if "dev" in data.splits:
        if settings.split == "official":
            raise BadInput(
                "there is no test split: one is set aside from all rows, so the official"
                " validation split cannot be kept",
                file=data.source,
                remedy="give a test split, or leave out --split official",
            )
        rows = rows.and_then(data.splits["dev"])
        notes += ("dev rows join train: there is no test split",)
    groups = _groups(rows, "similarity", alone=False)
    strata = strata_of(rows.labels, data.kind)
    held = stratified_holdout(strata, groups, settings.test_fraction, seed=0)
    if not held.any():
        raise BadInput(
            "there is no test split, and the rows are too few or too similar to set some aside",
            file=data.source,
            remedy="give train and test files",
        )
    splits = {"train": rows.where(~held), "test": rows.where(held)}
    share = f"{int(held.sum()):,} of {len(rows):,} rows"
    note = f"no test split was given: {share} are set aside, whole clusters of near-duplicates"
    return replace(data, splits=splits), (*notes, note)


def _how(data: LabelledData, settings: ProtocolSettings) -> How:
    chromosomes = _chromosomes(data.splits["train"])
    if settings.split == "auto":
        if "dev" in data.splits:
            return "official"
        many = chromosomes is not None and len(np.unique(chromosomes)) >= _FEWEST_CHROMOSOMES
        return "chromosome" if many else "similarity"
    if settings.split == "official" and "dev" not in data.splits:
        raise BadInput(
            "there is no official validation split",
            file=data.source,
            remedy="use --split stratified, chromosome or similarity",
        )
    if settings.split == "chromosome" and chromosomes is None:
        raise BadInput(
            "the rows have no chromosome, so none can be held out",
            file=data.source,
            remedy="use --split similarity, or add columns chrom, start, end",
        )
    return settings.split


def _chromosomes(rows: LabelledSplit) -> Ints | None:
    """Number (n,) of the chromosome of each row; None where rows have no places."""
    if rows.places is None:
        return None
    return np.unique(rows.places.chrom, return_inverse=True)[1].astype(np.int64)


def _groups(rows: LabelledSplit, how: How, *, alone: bool) -> Ints:
    """Rows that stay together when train is parted; `alone` where it never is."""
    if alone:
        return np.arange(len(rows), dtype=np.int64)
    if how == "chromosome":
        found = _chromosomes(rows)
        if found is None:
            raise ValueError("rows have no coordinates")
    elif how == "stratified":
        found = identical_up_to_strand(rows.codes)
    else:
        found = alike_groups(rows)
    return found if rows.groups is None else joined_groups(found, rows.groups)


def _shuffled_places(strata: Ints, key: tuple[int, int]) -> tuple[Ints, Ints]:
    """A random place (n,) of each row among the rows of its stratum, and their number (n,)."""
    random = np.random.Generator(np.random.Philox(key=list(key)))
    order = random.permutation(len(strata))
    ordered = order[np.argsort(strata[order], kind="stable")]
    _, first, count = np.unique(strata[ordered], return_index=True, return_counts=True)
    place, size = np.empty((2, len(strata)), np.int64)
    place[ordered] = np.arange(len(strata)) - np.repeat(first, count)
    size[ordered] = np.repeat(count, count)
    return place, size


def drawn_rows(rows: LabelledSplit, kind: str, many: int, seed: int = 0) -> NDArray[np.bool_]:
    """True (n,) for `many` rows with classes in their shares; the same rows for the same seed."""
    place, size = _shuffled_places(strata_of(rows.labels, kind), (seed, len(rows)))
    chosen = np.zeros(len(rows), np.bool_)
    # Taking the smallest shares of each stratum's own order keeps all strata level; the first of
    # each comes before, so that a rare class is not lost.
    share = np.where(place == 0, 0, (place + 0.5) / size)
    chosen[np.argsort(share, kind="stable")[:many]] = True
    return chosen


def drawn_per_class(rows: LabelledSplit, kind: str, each: int, seed: int) -> NDArray[np.bool_]:
    """True (n,) for `each` rows of every class: of every stratum of `strata_of`.

    A class with fewer rows gives all it has.
    """
    place, _ = _shuffled_places(strata_of(rows.labels, kind), (seed, each))
    return np.asarray(place < each)
