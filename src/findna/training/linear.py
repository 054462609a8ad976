"""A linear model on features, its strength chosen on validation rows.

It is the probe that `findna finetune` may choose, and what every cheap contender of an evaluation
ends in, so that those differ in what they know of a sequence and in nothing else. The model is
logistic regression for classes, one per label for multilabel, ridge regression for values. Each
feature is scaled to unit spread by the training rows; dense ones are centred too, which changes how
fast the solver gets there but not where.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.linalg import LinAlgWarning
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

from findna.data.labelled import Labels
from findna.data.parts import TaskKind
from findna.training.finetune_settings import ClassWeights
from findna.training.tasks import row_weights
from findna.training.thresholds import choose_threshold

Floats = NDArray[np.float64]
Features: TypeAlias = scipy.sparse.csr_matrix | NDArray[np.float32] | NDArray[np.float64]
Said = TypeVar("Said")

_MOST_ITERATIONS = 200
_ROWS_THAT_TELL = 100


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A scaler, and one model for the task or one per label of a multilabel task."""

    kind: TaskKind
    classes: int
    scaler: StandardScaler
    models: tuple[Any, ...]

    @classmethod
    def fit(
        cls,
        features: Features,
        labels: Labels,
        kind: TaskKind,
        classes: int,
        strength: float,
        *,
        balanced: bool = False,
    ) -> Self:
        """Learn from `features` (n, F) and `labels` of n rows.

        `classes` is the number of outputs K, of which the rows may lack some; `strength` is C, the
        inverse of the regularisation. The objective is half the norm plus C times the loss, to
        which rows count alike, or, if `balanced`, all classes of a classification together.
        """
        scaler = StandardScaler(with_mean=not scipy.sparse.issparse(features))
        scaled = scaler.fit_transform(features)
        if kind == "regression":
            return cls(kind, classes, scaler, (_ridge(scaled, labels, strength),))
        columns = labels.T if kind == "multilabel" else [labels]
        models = tuple(_logistic(scaled, column, strength, balanced) for column in columns)
        return cls(kind, classes, scaler, models)

    def scores(self, features: Features) -> Floats:
        """Probabilities (n, K), or values (n, T)."""
        scaled = self.scaler.transform(features)
        if self.kind == "regression":
            (ridge,) = self.models
            return np.asarray(ridge.predict(scaled), np.float64).reshape(scaled.shape[0], -1)
        if self.kind == "multilabel":
            each = [_probabilities(model, scaled, 2)[:, 1] for model in self.models]
            return np.stack(each, axis=1)
        return _probabilities(self.models[0], scaled, self.classes)


@dataclass(frozen=True, eq=False)
class Tuned:
    """What validation rows chose: the model and its C, with their loss and threshold there.

    The threshold is 0.5 unless the task is binary.
    """

    model: LinearModel
    strength: float
    loss: float
    threshold: float


def tuned(
    features: Features,
    labels: Labels,
    dev_features: Features,
    dev_labels: Labels,
    kind: TaskKind,
    classes: int,
    strengths: Sequence[float],
) -> Tuned:
    """The strength with the lowest loss on validation rows (`until_worse`); the first of equals.

    Loss decides because it tells close settings apart where MCC jumps.
    """

    def asked(strength: float) -> Tuned:
        model = LinearModel.fit(features, labels, kind, classes, strength)
        loss = mean_loss(kind, dev_labels, model.scores(dev_features))
        return Tuned(model, strength, loss, 0.5)

    tried = until_worse(strengths, asked, lambda one: one.loss)
    best = min(tried.values(), key=lambda one: one.loss)
    if kind != "binary":
        return best
    said = best.model.scores(dev_features)[:, 1]
    return replace(best, threshold=choose_threshold(dev_labels, said))


def until_worse(
    strengths: Sequence[float], ask: Callable[[float], Said], loss_of: Callable[[Said], float]
) -> dict[float, Said]:
    """The result of `ask` for each strength, the strongest regularisation first, up to the first
    one with a higher loss than all before it.

    Validation loss falls and then rises with C, and the weakest regularisations take the longest
    (measured: docs/performance.md).
    """
    if not strengths:
        raise ValueError("there is no regularisation strength to choose from")
    found: dict[float, Said] = {}
    lowest = np.inf
    for strength in sorted(strengths):
        found[strength] = ask(strength)
        loss = loss_of(found[strength])
        if loss > lowest:
            break
        lowest = loss
    return found


def mean_loss(
    kind: TaskKind, labels: Labels, scores: Floats, weights: ClassWeights = "none"
) -> float:
    """Mean of `losses_of_rows`."""
    return float(losses_of_rows(kind, labels, scores, weights).mean())


def losses_of_rows(
    kind: TaskKind, labels: Labels, scores: Floats, weights: ClassWeights = "none"
) -> Floats:
    """Cross-entropy in nats, or squared error in variances of its target, of each row (n,); means
    over labels or targets, each times the weight of its row (`row_weights`).
    """
    if kind == "regression":
        variance = labels.var(axis=0)
        errors = (scores - labels) ** 2 / np.where(variance > 0, variance, 1)
        return np.asarray(errors.mean(axis=1))
    sure = np.clip(scores, 1e-12, 1 - 1e-12)
    if kind == "multilabel":
        return np.asarray(-np.log(np.where(labels == 1, sure, 1 - sure)).mean(axis=1))
    losses = -np.log(sure[np.arange(len(labels)), labels.astype(np.int64)])
    return np.asarray(losses * row_weights(labels, weights))


def clearly_lower(losses: Floats, others: Floats) -> bool:
    """Whether `losses` (n,) are lower than `others`, of the same rows, by more than one standard
    error of the mean difference; two, where rows are too few to estimate it well.
    """
    gains = others - losses
    errors = 1 if len(gains) >= _ROWS_THAT_TELL else 2
    return bool(gains.mean() > errors * gains.std() / np.sqrt(len(gains)))


def _ridge(scaled: Features, labels: Labels, strength: float) -> Ridge:
    # Around their mean, and in double precision: scikit-learn casts labels to the type of the
    # features, and weak penalties on many alike features need more digits than float32 has.
    mean = labels.mean(axis=0)
    with warnings.catch_warnings():
        # A model of a penalty too weak for its features is judged on validation like the others.
        warnings.simplefilter("ignore", LinAlgWarning)
        model = Ridge(alpha=1 / (2 * strength)).fit(scaled.astype(np.float64), labels - mean)
    model.intercept_ = model.intercept_ + mean
    return model


def _logistic(
    scaled: Features, labels: Labels, strength: float, balanced: bool
) -> LogisticRegression | float:
    """A fitted model; the class itself where all labels are alike."""
    if len(np.unique(labels)) < 2:
        return float(labels[0])
    with warnings.catch_warnings():
        # A model that is not fully converged is still judged on validation like the others.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Nor is a task of many classes and few rows mistaken for a regression: somebody chose it.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        weights = "balanced" if balanced else None
        model = LogisticRegression(C=strength, max_iter=_MOST_ITERATIONS, class_weight=weights)
        with _threads().limit(limits=1, user_api="blas"):
            return model.fit(scaled, labels)


@cache
def _threads() -> ThreadpoolController:
    """Threads of BLAS. The solver asks for many products of a matrix and a vector, which wait for
    memory and lose more by splitting than they gain (measured: docs/performance.md).
    """
    return ThreadpoolController()


def _probabilities(model: LogisticRegression | float, scaled: Features, classes: int) -> Floats:
    """Probabilities (n, K); 0 for a class that the training rows lack."""
    found = np.zeros((scaled.shape[0], classes))
    if isinstance(model, float):
        found[:, int(model)] = 1
    else:
        found[:, model.classes_.astype(np.int64)] = model.predict_proba(scaled)
    return found
