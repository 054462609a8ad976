"""Two cheap models that every result is held against: words counted, and the commonest answer.

Words are counted in `words`; k, strands and regularisation are chosen on validation rows, as a
network's epoch is. Test rows are read once, at the end; without a test split both baselines are
judged by the folds of fine-tuning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.splits import groups_of, parted, planned_folds, rows_to_cross
from findna.evaluation.contenders.words import KmerContender, WordSettings
from findna.evaluation.protocol import Contender, Learned
from findna.metrics import Answers
from findna.training.judgement import Folded, Judgement

Floats = NDArray[np.float64]


class BaselineSettings(WordSettings):
    """What the k-mer baseline may choose from, and how both are judged without a test split."""

    validation_fraction: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Fraction of the training rows used as validation rows, without dev rows.",
    )
    folds: int = Field(5, ge=2, description="Folds of cross-validation if there is no test split.")
    repeats: int = Field(2, ge=1, description="Repeats of cross-validation.")
    seed: int = Field(0, ge=0, description="Seed of all random draws.")


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """A judged baseline, and what it chose (one entry a fold, or one)."""

    name: str
    judgement: Judgement
    chosen: list[dict[str, Any]] = field(default_factory=list)


def kmer_baseline(data: LabelledData, settings: BaselineSettings | None = None) -> BaselineResult:
    """Linear model on k-mer shares."""
    settings = settings or BaselineSettings()
    return _judged("k-mer linear model", data, settings, KmerContender(settings))


def majority_baseline(
    data: LabelledData, settings: BaselineSettings | None = None
) -> BaselineResult:
    """The class frequencies, or mean values, of the training rows as the answer to everything."""
    return _judged("most common answer", data, settings or BaselineSettings(), MajorityContender())


# ---------------------------------------------------------------- judged as fine-tuning is


def _judged(
    name: str, data: LabelledData, settings: BaselineSettings, contender: Contender
) -> BaselineResult:
    if "test" not in data.splits:
        return _judged_by_folds(name, data, settings, contender)
    train = data.splits["train"]
    if "dev" in data.splits:
        valid = data.splits["dev"]
    else:
        train, valid = _parted(train, data, settings, groups_of(train))
    learned = _learned(contender, data, train, valid, settings)
    test = data.splits["test"]
    scores = learned.scores(test)
    answers = Answers(data.kind, data.classes, test.labels, scores, learned.threshold)
    judgement = Judgement("test split, read once at the end", test, [answers], test.groups)
    return BaselineResult(name, judgement, [dict(learned.chosen)])


def _learned(
    contender: Contender,
    data: LabelledData,
    train: LabelledSplit,
    valid: LabelledSplit,
    settings: BaselineSettings,
) -> Learned:
    seen = replace(data, splits={"train": train, "dev": valid})
    return contender.learn(seen, settings.seed)


def _parted(
    rows: LabelledSplit, data: LabelledData, settings: BaselineSettings, groups: NDArray[np.int64]
) -> tuple[LabelledSplit, LabelledSplit]:
    fraction, seed = settings.validation_fraction, settings.seed
    return parted(rows, groups, data.kind, fraction=fraction, seed=seed)


def _judged_by_folds(
    name: str, data: LabelledData, settings: BaselineSettings, contender: Contender
) -> BaselineResult:
    rows = rows_to_cross(data)
    groups = groups_of(rows)
    plan = planned_folds(
        data, rows, groups, folds=settings.folds, repeats=settings.repeats, seed=settings.seed
    )
    answered, chosen = Folded(data, rows, groups, plan), []
    for fold in plan:
        train, valid = _parted(rows.where(fold.train), data, settings, groups[fold.train])
        learned = _learned(contender, data, train, valid, settings)
        answered.add(fold, learned.scores(rows.where(fold.test)), learned.threshold)
        chosen.append(dict(learned.chosen))
    return BaselineResult(name, answered.judgement(), chosen)


# ---------------------------------------------------------------- the commonest answer


@dataclass(frozen=True)
class MajorityContender:
    """The class frequencies, or mean values, of the training rows as the answer to everything."""

    name: str = "majority"
    draws: bool = False
    grid: tuple[Mapping[str, Any], ...] = ({},)

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> Learned:
        """Count the labels of "train"; nothing is chosen or drawn."""
        return _Commonest(_frequencies(data, data.splits["train"]))


@dataclass(frozen=True, eq=False)
class _Commonest:
    """The same answer (K,) to every row."""

    answer: Floats
    threshold: float = 0.5
    chosen: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, rows: LabelledSplit) -> Floats:
        return np.tile(self.answer, (len(rows), 1))


def _frequencies(data: LabelledData, train: LabelledSplit) -> Floats:
    """Share of each class, share of rows with each label, or mean of each target, (K,)."""
    if data.kind in ("multilabel", "regression"):
        return np.asarray(train.labels.mean(axis=0), np.float64)
    counts = np.bincount(train.labels.astype(np.int64), minlength=len(data.classes))
    return counts / max(len(train), 1)
