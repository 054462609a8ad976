"""A linear probe as a task head: what a network that is not trained further already tells.

The task head is one linear layer on standardised pooled vectors, so that a logistic or ridge
regression on these vectors, fitted to its optimum in well under a second, *is* a head: its scaler
and coefficients are written there, and `predict` answers what the regression answers. Averaging
the logits of two strands is averaging what is read of them, so that this holds for both settings of
the strand.

A probe may read other poolings than the head of a network that is trained: what a pretrained
network knows of a task does not stand in its last layer alone, so that means and deviations of
all layers are among the choices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from findna.data.batches import by_length
from findna.data.labelled import LabelledSplit
from findna.data.ragged import Ragged
from findna.inference.answers import scores_of
from findna.inference.devices import usual_batch_bases
from findna.model.heads import LEAST_DEVIATION, Pooling, TaskConfig, TaskHead, widths_of
from findna.model.model import Model
from findna.sequence.alphabet import Strand
from findna.training.finetune_settings import ClassWeights
from findna.training.linear import LinearModel, clearly_lower, losses_of_rows, until_worse

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Bools = NDArray[np.bool_]

# What a probe may read beside the pooling of the settings.
READINGS: tuple[tuple[Pooling, ...], ...] = (
    ("mean",),
    ("max",),
    ("summary",),
    ("layers",),
    ("layers", "deviations"),
)
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
# A logit of a class that no training row has: its probability is nil and its logit a number.
_NEVER = -30.0


@dataclass(frozen=True)
class Probing:
    """What validation chooses of a probe: strand, what is read, and C, the inverse strength of the
    regularisation.
    """

    strand: Strand
    parts: tuple[Pooling, ...]
    strength: float


class PooledRows:
    """Pooled vectors of rows by a frozen network, computed once a strand when first asked for. Any
    subset of the rows is then looked up, whatever is learned from it.
    """

    def __init__(self, model: Model, rows: LabelledSplit) -> None:
        """`model` has a head that reads all that may be read."""
        self._at = {id(codes): row for row, codes in enumerate(rows.codes)}
        self._rows = rows  # so that no other sequence gets the identity of one of these
        self._pooled = cache(partial(pooled, model, rows))

    def holds(self, rows: LabelledSplit) -> bool:
        """Whether all these rows are among those that are read."""
        return all(id(codes) in self._at for codes in rows.codes)

    def of(self, rows: LabelledSplit, turned: bool) -> Vectors:
        """Pooled vectors (n, channels) of the given strand, or of the other."""
        every = self._pooled(turned)
        at = [self._at[id(codes)] for codes in rows.codes]
        return every if at == list(range(len(every))) else np.asarray(every[at])


class FrozenRows:
    """What heads may read of rows from a frozen network, and the probes fitted to it."""

    def __init__(
        self,
        start: Model,
        task: TaskConfig,
        rows: LabelledSplit,
        *,
        weights: ClassWeights = "none",
        readings: Sequence[tuple[Pooling, ...]] = READINGS,
        known: PooledRows | None = None,
    ) -> None:
        """`weights` let all rows count alike, or all classes. `readings` may be chosen beside the
        pooling of the task. `known` holds vectors of these and other rows, computed before.
        """
        self.start, self.labels, self.weights = start, rows.labels, weights
        self.readings = tuple(dict.fromkeys([task.pooling, *readings]))
        parts = tuple(dict.fromkeys(part for reading in self.readings for part in reading))
        self.task = task.model_copy(update={"pooling": parts})
        self.known = known or PooledRows(
            start.with_task(self.task, 0).to(start.device).eval(), rows
        )
        self.pooled = cache(partial(self.known.of, rows))
        # A choice asks for the same vectors a hundred times. A method of this object would keep
        # them in memory until garbage is collected.
        self.vectors = cache(partial(_by_strand, self.pooled))

    def choose(
        self, held: Sequence[Bools], strands: Sequence[Strand], tasks: Sequence[TaskConfig]
    ) -> tuple[Probing, list[Floats]]:
        """The probe with the lowest mean loss on held rows, and its logits (rows, outputs) of each
        round.

        Args:
            held: (n,) for each round, True for rows that it does not learn from.
            strands: readings of the strands to choose from.
            tasks: the task of each round.
        """
        tried: dict[Probing, tuple[Floats, list[Floats]]] = {}
        for strand, parts in product(strands, self.readings):
            tried |= self._weakened(strand, parts, STRENGTHS, held, tasks)
        best = min(tried, key=lambda probing: float(tried[probing][0].mean()))
        return best, tried[best][1]

    def prefer(
        self,
        held: Bools,
        strands: Sequence[Strand],
        task: TaskConfig,
        strengths: Sequence[float],
    ) -> Probing:
        """A probe of the first reading and strand, unless another answers the held rows (n,) with a
        loss that is lower by more than a standard error of the difference. Strengths have no order.
        """
        best: tuple[Probing, Floats] | None = None
        for strand, parts in product(strands, self.readings):
            tried = self._weakened(strand, parts, strengths, [held], [task])
            chosen, (losses, _) = min(tried.items(), key=lambda one: float(one[1][0].mean()))
            if best is None or clearly_lower(losses, best[1]):
                best = chosen, losses
        if best is None:
            raise ValueError("there is nothing to choose from")
        return best[0]

    def _weakened(
        self,
        strand: Strand,
        parts: tuple[Pooling, ...],
        strengths: Sequence[float],
        held: Sequence[Bools],
        tasks: Sequence[TaskConfig],
    ) -> dict[Probing, tuple[Floats, list[Floats]]]:
        """Losses and logits of probes of one reading, up to the strength that makes them worse."""
        asked = until_worse(
            strengths,
            lambda strength: self._asked(Probing(strand, parts, strength), held, tasks),
            lambda said: float(said[0].mean()),
        )
        return {Probing(strand, parts, strength): said for strength, said in asked.items()}

    def _asked(
        self, probing: Probing, held: Sequence[Bools], tasks: Sequence[TaskConfig]
    ) -> tuple[Floats, list[Floats]]:
        """Losses of the held rows of all rounds, and their logits by round."""
        rounds = list(zip(held, tasks, strict=True))
        said = [self.logits(probing, ~some, some, task) for some, task in rounds]
        losses = [
            losses_of_rows(task.kind, self.labels[some], scores_of(logits, task), self.weights)
            for (some, task), logits in zip(rounds, said, strict=True)
        ]
        return np.concatenate(losses), said

    def logits(self, probing: Probing, learn: Bools, answer: Bools, task: TaskConfig) -> Floats:
        """Logits (answered rows, outputs) of a probe of the rows `learn` (n,)."""
        return self._head(probing, learn, task).logits(self.read(probing)[answer])

    def model(self, probing: Probing, task: TaskConfig) -> Model:
        """The network with a probe of all rows as the head of `task`, which reads what it reads."""
        reads = task.model_copy(update={"pooling": probing.parts, "strand": probing.strand})
        model = self.start.with_task(reads, 0).to(self.start.device).eval()
        self._head(probing, np.ones(len(self.labels), np.bool_), task).write(model)
        return model

    def beginning(self, probing: Probing, learn: Bools, task: TaskConfig) -> Model:
        """The network with a head that answers what a probe of the rows `learn` (n,) answers, each
        channel scaled as training meets it: on one strand.
        """
        reads = task.model_copy(update={"pooling": probing.parts, "strand": probing.strand})
        model = self.start.with_task(reads, 0).to(self.start.device).eval()
        seen = self.read(replace(probing, strand="forward"))[learn]
        task_head_of(model).standardise(torch.from_numpy(seen).to(model.device))
        self._head(probing, learn, task).begin(model)
        return model

    def read(self, probing: Probing) -> Vectors:
        """What a probe reads of the rows, (n, channels)."""
        every, widths = self.task.pooling, widths_of(self.task, self.start.config.backbone)
        ends = np.cumsum(widths)
        place = {p: slice(end - w, end) for p, w, end in zip(every, widths, ends, strict=True)}
        vectors = self.vectors(probing.strand)
        return np.concatenate([vectors[:, place[part]] for part in probing.parts], axis=1)

    def _head(self, probing: Probing, learn: Bools, task: TaskConfig) -> _Head:
        labels = self.labels[learn]
        linear = LinearModel.fit(
            self.read(probing)[learn], labels, task.kind, len(task.classes), probing.strength,
            balanced=self.weights == "balanced",
        )  # fmt: skip
        return _Head(
            linear.scaler.mean_, linear.scaler.scale_, *_coefficients(linear, task, len(labels))
        )


def _by_strand(pooled: Callable[[bool], Vectors], strand: Strand) -> Vectors:
    """Pooled vectors (n, channels) of the given strand, or the mean of both."""
    if strand == "forward":
        return pooled(False)
    return (pooled(False) + pooled(True)) / np.float32(2)


def task_head_of(model: Model) -> TaskHead:
    """The head of a model that has one."""
    if model.task_head is None:
        raise ValueError("the model has no task head")
    return model.task_head


@torch.no_grad()
def pooled(model: Model, rows: LabelledSplit, turned: bool) -> Vectors:
    """What the head of a model reads of rows, (n, channels), of the given strand or the other."""
    head = task_head_of(model)
    sequences = Ragged(rows.codes, model.device)
    found = np.zeros((len(rows), len(head.mean)), np.float32)
    for some in by_length(rows.lengths, usual_batch_bases(model.device)):
        batch = sequences.batch(some, np.full(len(some), turned))
        found[some] = head.pooled(model.encode(*batch)).float().cpu().numpy()
    return found


# ---------------------------------------------------------------- a regression as a head


@dataclass(frozen=True, eq=False)
class _Head:
    """Mean and deviation (channels,), weight (outputs, channels) and bias (outputs,)."""

    mean: Floats
    deviation: Floats
    weight: Floats
    bias: Floats

    def logits(self, vectors: Vectors) -> Floats:
        """Logits (n, outputs) of pooled vectors (n, channels)."""
        scaled = (vectors - self.mean) / self.deviation
        return np.asarray(scaled @ self.weight.T + self.bias)

    @torch.no_grad()
    def begin(self, model: Model) -> None:
        """Write as the first weights of a task head, which keeps its own mean and deviation. A
        channel that hardly varies, which only single precision resolves, begins at 0.
        """
        head = task_head_of(model)
        mean, deviation = (b.cpu().double().numpy() for b in (head.mean, head.deviation))
        varies = (head.deviation > LEAST_DEVIATION).cpu().numpy()
        weight = np.where(varies, self.weight / self.deviation, 0.0)
        bias = self.bias + weight @ (mean - self.mean)
        head.linear.weight.copy_(torch.from_numpy(weight * deviation))
        head.linear.bias.copy_(torch.from_numpy(bias))

    @torch.no_grad()
    def write(self, model: Model) -> None:
        """Write into the task head of a model, mean and deviation included."""
        head = task_head_of(model)
        for mine, its in (
            (self.mean, head.mean),
            (self.deviation, head.deviation),
            (self.weight, head.linear.weight),
            (self.bias, head.linear.bias),
        ):
            its.copy_(torch.from_numpy(mine))


def _coefficients(linear: LinearModel, task: TaskConfig, rows: int) -> tuple[Floats, Floats]:
    """Weight (outputs, features) and bias (outputs,) of logits, on scaled features."""
    if task.kind == "regression":
        (ridge,) = linear.models
        spread, middle = np.array(task.target_sd), np.array(task.target_mean)
        weight = ridge.coef_.reshape(task.outputs, -1) / spread[:, None]
        return weight, (ridge.intercept_ - middle) / spread
    if task.kind != "multiclass":
        each = [_of_two(model, linear, rows) for model in linear.models]
        weights, biases = zip(*each, strict=True)
        return np.stack(weights), np.array(biases)
    return _of_many(linear)


def _of_two(model: object, linear: LinearModel, rows: int) -> tuple[Floats, float]:
    """One logit; where all rows are alike, the odds by the rule of succession."""
    if isinstance(model, float):
        sure = float(np.log(rows + 1))
        return np.zeros(len(linear.scaler.mean_)), sure if model else -sure
    return model.coef_[0], float(model.intercept_[0])  # type: ignore[attr-defined]


def _of_many(linear: LinearModel) -> tuple[Floats, Floats]:
    """A logit a class; scikit-learn gives one in all where it saw two classes."""
    (model,) = linear.models
    weight = np.zeros((linear.classes, len(linear.scaler.mean_)))
    bias = np.full(linear.classes, _NEVER)
    if isinstance(model, float):
        bias[int(model)] = 0
        return weight, bias
    seen = model.classes_.astype(np.int64)
    two = len(seen) == 2
    weight[seen] = np.concatenate([-model.coef_, model.coef_]) / 2 if two else model.coef_
    at_zero = model.intercept_
    bias[seen] = np.concatenate([-at_zero, at_zero]) / 2 if two else at_zero
    return weight, bias
