"""Two cheap models that every result is held against: words counted, and the commonest answer.

The k-mer baseline is a linear model (logistic regression, or ridge for values) on the shares of all
words of k letters, each scaled to unit spread. k, whether a word and its reverse complement are
one, and the regularisation are chosen on validation rows, as a network's epoch is. Test rows are
read once, at the end; without a test split both baselines are judged by the folds of fine-tuning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.splits import groups_of, kmer_counts, kmers, parted, planned_folds
from findna.files import Settings
from findna.metrics import Answers, choose_threshold
from findna.training.judgement import Judgement

Floats = NDArray[np.float64]

_MOST_ITERATIONS = 200


class BaselineSettings(Settings):
    """What the k-mer baseline may choose from, and how both are judged without a test split."""

    ks: tuple[int, ...] = Field((3, 4, 5, 6), min_length=1, description="Word lengths to try.")
    canonical: tuple[bool, ...] = Field(
        (False, True),
        min_length=1,
        description="Whether a word and its reverse complement are one.",
    )
    strengths: tuple[float, ...] = Field(
        (3e-4, 1e-3, 1e-2, 1e-1), min_length=1, description="Inverse regularisation strengths, C."
    )
    validation_fraction: float = Field(
        0.1, gt=0, le=0.5, description="Share of the training rows that chooses, without dev rows."
    )
    folds: int = Field(5, ge=2, description="Folds where there is no test split.")
    repeats: int = Field(2, ge=1, description="Repeats of the folds.")
    seed: int = Field(0, ge=0, description="Seed of every draw.")


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """A judged baseline, and what it chose (one entry a fold, or one)."""

    name: str
    judgement: Judgement
    chosen: list[dict[str, Any]] = field(default_factory=list)


class Learned(Protocol):
    """What a baseline becomes after learning."""

    threshold: float
    chosen: dict[str, Any]

    def scores(self, rows: LabelledSplit) -> Floats:
        """Probabilities (n, K), or values (n, T)."""
        ...


Learner = Callable[[LabelledSplit, LabelledSplit], Learned]


def kmer_baseline(data: LabelledData, settings: BaselineSettings | None = None) -> BaselineResult:
    """Linear model on k-mer shares."""
    settings = settings or BaselineSettings()

    def learn(train: LabelledSplit, valid: LabelledSplit) -> Learned:
        return _learn_kmers(data, train, valid, settings)

    return _judged("k-mer linear model", data, settings, learn)


def majority_baseline(
    data: LabelledData, settings: BaselineSettings | None = None
) -> BaselineResult:
    """The class frequencies, or mean values, of the training rows as the answer to everything."""

    def learn(train: LabelledSplit, valid: LabelledSplit) -> Learned:
        return _Commonest(_frequencies(data, train))

    return _judged("commonest answer", data, settings or BaselineSettings(), learn)


# ---------------------------------------------------------------- judged as fine-tuning is


def _judged(
    name: str, data: LabelledData, settings: BaselineSettings, learn: Learner
) -> BaselineResult:
    if "test" not in data.splits:
        return _judged_by_folds(name, data, settings, learn)
    train = data.splits["train"]
    if "dev" in data.splits:
        valid = data.splits["dev"]
    else:
        train, valid = _parted(train, data, settings, groups_of(train))
    learned = learn(train, valid)
    test = data.splits["test"]
    scores = learned.scores(test)
    answers = Answers(data.kind, data.classes, test.labels, scores, learned.threshold)
    judgement = Judgement("test split, read once at the end", test, [answers], test.groups)
    return BaselineResult(name, judgement, [learned.chosen])


def _parted(
    rows: LabelledSplit, data: LabelledData, settings: BaselineSettings, groups: NDArray[np.int64]
) -> tuple[LabelledSplit, LabelledSplit]:
    fraction, seed = settings.validation_fraction, settings.seed
    return parted(rows, groups, data.kind, fraction=fraction, seed=seed)


def _judged_by_folds(
    name: str, data: LabelledData, settings: BaselineSettings, learn: Learner
) -> BaselineResult:
    rows = data.splits["train"]
    if "dev" in data.splits:
        rows = rows.and_then(data.splits["dev"])
    groups = groups_of(rows)
    plan = planned_folds(
        data, rows, groups, folds=settings.folds, repeats=settings.repeats, seed=settings.seed
    )
    shape = (plan[-1].repeat + 1, len(rows))
    scores = np.zeros((*shape, len(data.classes)))
    thresholds, numbers, chosen = np.zeros(shape), np.zeros(shape, np.int64), []
    for fold in plan:
        train, valid = _parted(rows.where(fold.train), data, settings, groups[fold.train])
        learned = learn(train, valid)
        here = (fold.repeat, fold.test)
        scores[here] = learned.scores(rows.where(fold.test))
        thresholds[here], numbers[here] = learned.threshold, fold.number
        chosen.append(learned.chosen)
    answers = [
        Answers(data.kind, data.classes, rows.labels, *pair)
        for pair in zip(scores, thresholds, strict=True)
    ]
    return BaselineResult(
        name, Judgement("cross-validation", rows, answers, groups, list(numbers)), chosen
    )


# ---------------------------------------------------------------- the commonest answer


class _Commonest:
    """The same answer to every row."""

    def __init__(self, answer: Floats) -> None:
        self.answer, self.threshold = answer, 0.5
        self.chosen: dict[str, Any] = {}

    def scores(self, rows: LabelledSplit) -> Floats:
        return np.tile(self.answer, (len(rows), 1))


def _frequencies(data: LabelledData, train: LabelledSplit) -> Floats:
    """Share of each class, share of rows with each label, or mean of each target, (K,)."""
    if data.kind in ("multilabel", "regression"):
        return np.asarray(train.labels.mean(axis=0), np.float64)
    counts = np.bincount(train.labels.astype(np.int64), minlength=len(data.classes))
    return counts / max(len(train), 1)


# ---------------------------------------------------------------- words counted


class _Kmers:
    """Words of one length, a scaler and a linear model."""

    def __init__(self, data: LabelledData, k: int, canonical: bool) -> None:
        self.data, self.k, self.canonical = data, k, canonical
        self.scaler = StandardScaler(with_mean=False)
        self.models: list[LogisticRegression | Ridge | float] = []
        self.threshold = 0.5
        self.chosen: dict[str, Any] = {}

    def shares(self, rows: LabelledSplit) -> scipy.sparse.csr_matrix:
        """Share of each word among the words of each row (n, 4^k)."""
        counts = kmer_counts(kmers(rows.codes, self.k, canonical=self.canonical), self.k)
        total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
        return scipy.sparse.diags(1 / total) @ counts

    def fit(self, shares: scipy.sparse.csr_matrix, train: LabelledSplit, strength: float) -> None:
        scaled = self.scaler.fit_transform(shares)
        if self.data.kind == "regression":
            # The same objective as logistic regression's: half the norm plus C times the loss.
            self.models = [Ridge(alpha=1 / (2 * strength)).fit(scaled, train.labels)]
        elif self.data.kind == "multilabel":
            self.models = [_logistic(scaled, column, strength) for column in train.labels.T]
        else:
            self.models = [_logistic(scaled, train.labels, strength)]

    def scores(self, rows: LabelledSplit) -> Floats:
        return self.scores_of(self.shares(rows))

    def scores_of(self, shares: scipy.sparse.csr_matrix) -> Floats:
        scaled = self.scaler.transform(shares)
        if self.data.kind == "regression":
            (ridge,) = (model for model in self.models if isinstance(model, Ridge))
            return np.asarray(ridge.predict(scaled)).reshape(scaled.shape[0], -1)
        each = [_probabilities(m, scaled) for m in self.models if not isinstance(m, Ridge)]
        if self.data.kind == "multilabel":
            return np.stack([p[:, 1] for p in each], axis=1)
        return each[0]


def _logistic(
    scaled: scipy.sparse.csr_matrix, labels: NDArray[Any], strength: float
) -> LogisticRegression | float:
    """A fitted model; the constant itself where all labels are alike."""
    if len(np.unique(labels)) < 2:
        return float(labels[0])
    with warnings.catch_warnings():
        # A model that is not fully converged is still judged on validation like the others.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=_MOST_ITERATIONS).fit(scaled, labels)


def _probabilities(model: LogisticRegression | float, scaled: scipy.sparse.csr_matrix) -> Floats:
    if isinstance(model, float):
        return np.tile([1 - model, model], (scaled.shape[0], 1))
    return np.asarray(model.predict_proba(scaled))


def _loss(data: LabelledData, rows: LabelledSplit, scores: Floats) -> float:
    """Mean cross-entropy, or mean squared error: it tells close settings apart where MCC jumps."""
    if data.kind == "regression":
        return float(((scores - rows.labels) ** 2).mean())
    sure = np.clip(scores, 1e-12, 1 - 1e-12)
    if data.kind == "multilabel":
        return float(-np.log(np.where(rows.labels == 1, sure, 1 - sure)).mean())
    return float(-np.log(sure[np.arange(len(rows)), rows.labels.astype(np.int64)]).mean())


def _learn_kmers(
    data: LabelledData, train: LabelledSplit, valid: LabelledSplit, settings: BaselineSettings
) -> _Kmers:
    """The word length, strands and strength with the lowest loss on validation rows."""
    best: _Kmers | None = None
    lowest = np.inf
    for k, canonical in product(settings.ks, settings.canonical):
        counted = _Kmers(data, k, canonical)
        learning, choosing = counted.shares(train), counted.shares(valid)
        for strength in settings.strengths:
            tried = _Kmers(data, k, canonical)
            tried.fit(learning, train, strength)
            loss = _loss(data, valid, tried.scores_of(choosing))
            if best is None or loss < lowest:
                best, lowest = tried, loss
                tried.chosen = {"k": k, "canonical": canonical, "C": strength}
    if best is None:
        raise ValueError("there is nothing to choose from")
    if data.kind == "binary":
        scores = best.scores(valid)
        best.threshold = choose_threshold(valid.labels.astype(np.int64), scores[:, 1])
    return best
