"""One training run of a network: rows in, the weights of the best epoch out.

Sequences are encoded once and gathered into batches on the device; nothing in the loop is done row
by row. Every draw (order, strand, dropout) follows from the seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from findna.data.batches import by_length
from findna.data.label_files import LabelSettings, TaskKind
from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.ragged import Ragged
from findna.data.randomness import Purpose, row_hash, uniform
from findna.files import FindnaError
from findna.inference.precision import Precision, autocast
from findna.inference.predict import Strand, scores_of, task_outputs
from findna.metrics import Answers, choose_threshold, primary_metric, value
from findna.model.heads import Pooling, TaskConfig
from findna.model.model import Model, ModelConfig
from findna.training.calibration import prevalence_of
from findna.training.optimizer import parameter_groups
from findna.training.schedules import warmup_cosine

# A loss is looked at this often: reading it makes a GPU wait.
_STEPS_BETWEEN_CHECKS = 20
_ROWS_TO_STANDARDISE = 1024


class FinetuneSettings(LabelSettings):
    """Everything that decides what a fine-tuning run computes."""

    epochs: int = Field(10, ge=1, description="Passes over the training rows.")
    batch_rows: int = Field(32, ge=1, description="Sequences an optimizer step.")
    batch_bases: int = Field(
        65_536, ge=1, description="Bases computed at once; larger batches are taken in parts."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of the backbone.")
    head_learning_rate: float = Field(3e-3, gt=0, description="Highest rate of the task head.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay of matrices.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which rates rise.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    train: Literal["auto", "probe", "head", "last", "full"] = Field(
        "auto",
        description="What is trained: a linear model on the frozen network, the head, the last"
        " layers and the head, everything, or what inner validation finds best.",
    )
    last_layers: int = Field(2, ge=1, description="Layers that are trained with the head as last.")
    strand: Literal["auto", "both", "forward"] = Field(
        "auto",
        description="Average both strands and augment by reverse complement, read the given strand"
        " only, or train both ways and let validation decide (twice the time).",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="Weight rows equally, or every class equally."
    )
    pooling: tuple[Pooling, ...] = Field(
        ("mean", "max", "summary"), description="What the head reads of a sequence."
    )
    bins: int = Field(
        16, ge=1, description="Parts of equal length whose means are read by pooling over bins."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in front of the last layer.")
    validation_fraction: float = Field(
        0.1, gt=0, le=0.5, description="Share of the training rows that chooses the epoch."
    )
    folds: int = Field(
        5, ge=0, description="Folds of cross-validation where no test split is given; 0 skips it."
    )
    repeats: int = Field(2, ge=1, description="Repeats of cross-validation with other folds.")
    precision: Precision = Field("auto", description="fp32, bf16, or what this device does best.")
    seed: int = Field(0, ge=0, description="Seed of every draw.")


class NonFiniteLoss(FindnaError):
    """Training broke down; `model` holds the best weights so far, None before the first epoch."""

    exit_code = 3

    def __init__(self, epoch: int, model: Model | None) -> None:
        """`epoch` counts from 1."""
        self.model = model
        super().__init__(
            f"the loss is not finite in epoch {epoch}\n"
            "  try a lower --learning-rate, --precision fp32, or look for extreme target values"
        )


@dataclass(frozen=True)
class Fit:
    """A trained model, and what validation chose: `score` orders fits, higher is better."""

    model: Model
    epoch: int
    score: tuple[float, float]


Note = Callable[..., None]


def fit(
    start: Model,
    task: TaskConfig,
    train: LabelledSplit,
    valid: LabelledSplit | None,
    settings: FinetuneSettings,
    *,
    device: torch.device,
    precision: Literal["fp32", "bf16"],
    note: Note,
    stop_after: int | None = None,
    after_epoch: Callable[[Model], None] | None = None,
) -> Fit:
    """Train a fresh head for `task` (and what `settings.train` names) on top of `start`.

    With validation rows the best epoch is kept, by the primary metric and then by loss, and a
    binary threshold is chosen on them. Without, training ends after `stop_after` epochs. `note`
    receives the numbers of every epoch, `after_epoch` the model as it then is.

    Raises:
        NonFiniteLoss: carries the best weights so far.
    """
    if valid is not None and not len(valid):
        valid = None
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(settings.seed)
        model = start.with_task(task, settings.seed).to(device)
        _standardise(model, train, settings)
        training = _Training(model, task, train, settings, precision)
        best: Fit | None = None
        for epoch in range(1, (stop_after or settings.epochs) + 1):
            began = time.monotonic()
            loss = training.epoch(epoch)
            if not np.isfinite(loss):
                raise NonFiniteLoss(epoch, best.model if best else None)
            checked = _check(model, task, valid, precision) if valid is not None else (0.0, 0.0)
            note(
                epoch=epoch,
                strand=task.strand,
                train_loss=loss,
                **_noted(task.kind, valid, checked),
                seconds=time.monotonic() - began,
            )
            if not np.isfinite(checked[1]):
                raise NonFiniteLoss(epoch, best.model if best else None)
            if after_epoch is not None:
                after_epoch(model)
            if valid is None or best is None or checked > best.score:
                best = Fit(_copied(model), epoch, checked)
    if best is None:
        raise ValueError("no epoch was trained")
    if task.kind == "binary" and valid is not None:
        threshold = _threshold(best.model, task, valid, precision)
        best.model.config = retasked(best.model, threshold=threshold)
    return best


def task_of(model: Model) -> TaskConfig:
    """The task of a model that has one."""
    if model.config.task is None:
        raise ValueError("the model has no task")
    return model.config.task


def retasked(model: Model, **changes: Any) -> ModelConfig:
    """The config of a model with some settings of its task changed."""
    task = task_of(model).model_copy(update=changes)
    return model.config.model_copy(update={"task": task})


@torch.no_grad()
def _standardise(model: Model, train: LabelledSplit, settings: FinetuneSettings) -> None:
    """Fit the head's mean and deviation to training rows, as the start model sees them."""
    if model.task_head is None:
        raise ValueError("the model has no task head")
    some = np.unique(np.linspace(0, len(train) - 1, _ROWS_TO_STANDARDISE).astype(np.int64))
    rows = Ragged([train.codes[i] for i in some], model.device)
    pooled = [
        model.task_head.pooled(model.encode(*rows.batch(part)))
        for part in by_length(train.lengths[some], settings.batch_bases)
    ]
    model.task_head.standardise(torch.cat(pooled))


def _copied(model: Model) -> Model:
    twin = Model(model.config).to(model.device)
    twin.load_state_dict(model.state_dict())
    twin.provenance = dict(model.provenance)
    return twin.eval()


# ---------------------------------------------------------------- the loop


class _Training:
    """Optimizer, batches and schedule of one run."""

    def __init__(
        self,
        model: Model,
        task: TaskConfig,
        train: LabelledSplit,
        settings: FinetuneSettings,
        precision: Literal["fp32", "bf16"],
    ) -> None:
        self.model, self.task, self.settings, self.precision = model, task, settings, precision
        self.rows = Ragged(train.codes, model.device)
        self.lengths = train.lengths
        self.targets = targets_of(train.labels, task).to(model.device)
        self.weights = _weights(train.labels, task, settings.class_weights).to(model.device)
        self.steps = -(-len(train) // settings.batch_rows) * settings.epochs
        self.step = 0
        self.optimizer = _optimizer(model, settings)

    def epoch(self, epoch: int) -> float:
        """One pass over all rows; the mean loss, NaN as soon as a step is found not finite."""
        self.model.train()
        total = torch.zeros((), device=self.model.device)
        for number, (rows, turned) in enumerate(self._batches(epoch), 1):
            total += self._learn(rows, turned) * len(rows)
            if number % _STEPS_BETWEEN_CHECKS == 0 and not bool(torch.isfinite(total)):
                break
        self.model.eval()
        return float(total) / len(self.rows)

    def _batches(self, epoch: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_] | None]]:
        """Rows of each step of this epoch, and which of them are read from the other strand."""
        seed, everyone = self.settings.seed, np.arange(len(self.rows))
        order = np.argsort(row_hash(seed, epoch, everyone, Purpose.LABELLED_ORDER), kind="stable")
        strands = uniform(row_hash(seed, epoch, everyone, Purpose.LABELLED_STRAND)) < 0.5
        for at in range(0, len(order), self.settings.batch_rows):
            rows = order[at : at + self.settings.batch_rows]
            yield rows, strands[rows] if self.task.strand == "both" else None

    def _learn(self, rows: NDArray[np.int64], turned: NDArray[np.bool_] | None) -> Tensor:
        """One optimizer step; the mean loss of its rows."""
        factor = warmup_cosine(self.step, self.steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest_rate"] * factor
        self.optimizer.zero_grad()
        loss = torch.zeros((), device=self.model.device)
        for part in self._parts(rows):
            codes, lengths = self.rows.batch(rows[part], None if turned is None else turned[part])
            at = torch.from_numpy(rows[part]).to(codes.device)
            with autocast(codes.device, self.precision):
                # Both strands are averaged in use; training meets them one at a time.
                logits = self.model.task_logits(codes, lengths, strand="forward")
            each = row_losses(logits.float(), self.targets[at], self.task.kind)
            share = (each * self.weights[at]).sum() / len(rows)
            share.backward()
            loss += share.detach()
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(trained, self.settings.clip)
        self.optimizer.step()
        self.step += 1
        return loss

    def _parts(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Places in `rows` that are computed together: all, if they are not too many bases."""
        lengths = self.lengths[rows]
        if int(lengths.sum()) <= self.settings.batch_bases:
            return [np.arange(len(rows))]
        return by_length(lengths, self.settings.batch_bases)


def _optimizer(model: Model, settings: FinetuneSettings) -> torch.optim.AdamW:
    """AdamW over what is trained, the head at a rate of its own; the rest is frozen."""
    if model.task_head is None:
        raise ValueError("the model has no task head")
    model.requires_grad_(False)
    model.task_head.requires_grad_(True)
    groups = _rated(parameter_groups(model.task_head, settings.weight_decay), settings, head=True)
    for part in trained_parts(model, settings):
        part.requires_grad_(True)
    if settings.train != "head":
        backbone = parameter_groups(model.encoder, settings.weight_decay)
        groups += _rated(backbone, settings, head=False)
    return torch.optim.AdamW([g for g in groups if g["params"]], fused=True)


def trained_parts(model: Model, settings: FinetuneSettings) -> list[torch.nn.Module]:
    """Modules of the backbone that are trained."""
    if settings.train == "full":
        return [model.encoder]
    if settings.train == "last":
        return [*model.encoder.layers[-settings.last_layers :], model.encoder.norm]
    if settings.train == "head":
        return []
    raise ValueError(f"a training run trains head, last or full, not {settings.train}")


def _rated(
    groups: list[dict[str, Any]], settings: FinetuneSettings, *, head: bool
) -> list[dict[str, Any]]:
    rate = settings.head_learning_rate if head else settings.learning_rate
    return [{**group, "highest_rate": rate, "lr": rate} for group in groups]


# ---------------------------------------------------------------- tasks, losses and targets


def task_for(
    data: LabelledData, train: LabelledSplit, strand: Strand, settings: FinetuneSettings
) -> TaskConfig:
    """The task of `data`; targets of a regression are standardised by the rows that train it."""
    moments: dict[str, Any] = {}
    if data.kind == "regression":
        spread = train.labels.std(axis=0)
        moments["target_mean"] = tuple(float(m) for m in train.labels.mean(axis=0))
        moments["target_sd"] = tuple(float(s) if s > 0 else 1.0 for s in spread)
    else:
        # Rows weighted to balance classes teach a network that all are equally common.
        even = np.full(len(data.classes), 1 / len(data.classes))
        balanced = settings.class_weights == "balanced"
        shares = even if balanced else prevalence_of(data.kind, train.labels, len(data.classes))
        moments["prevalence"] = tuple(shares.tolist())
    return TaskConfig(
        kind=data.kind,
        classes=data.classes,
        pooling=settings.pooling,
        bins=settings.bins,
        dropout=settings.dropout,
        strand=strand,
        **moments,
    )


def targets_of(labels: NDArray[np.int64] | NDArray[np.float64], task: TaskConfig) -> Tensor:
    """What logits are compared with: class (n,), 0/1 (n, K), or standardised values (n, T)."""
    if task.kind == "multiclass":
        return torch.from_numpy(labels.astype(np.int64))
    values = labels.astype(np.float64).reshape(len(labels), -1)
    if task.kind == "regression":
        values = (values - np.array(task.target_mean)) / np.array(task.target_sd)
    return torch.from_numpy(values.astype(np.float32))


def row_losses(logits: Tensor, targets: Tensor, kind: TaskKind) -> Tensor:
    """Loss (B,) of each row: cross-entropy, or the mean squared error of standardised values."""
    if kind == "multiclass":
        return F.cross_entropy(logits, targets, reduction="none")
    if kind == "regression":
        return F.mse_loss(logits, targets, reduction="none").mean(1)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)


def _weights(
    labels: NDArray[np.int64] | NDArray[np.float64],
    task: TaskConfig,
    how: Literal["none", "balanced"],
) -> Tensor:
    """Weight (n,) of each row: 1, or such that all classes weigh the same together."""
    if how == "none":
        return torch.ones(len(labels))
    counts = np.bincount(labels.astype(np.int64), minlength=len(task.classes))
    each = len(labels) / np.maximum(counts, 1) / np.count_nonzero(counts)
    return torch.from_numpy(each[labels.astype(np.int64)].astype(np.float32))


# ---------------------------------------------------------------- validation


def _check(
    model: Model,
    task: TaskConfig,
    valid: LabelledSplit,
    precision: Literal["fp32", "bf16"],
) -> tuple[float, float]:
    """Primary metric (−inf where it is not defined) and negative loss of the validation rows."""
    logits = logits_of(model, valid, precision)
    if not np.isfinite(logits).all():
        return -np.inf, -np.inf
    targets = targets_of(valid.labels, task)
    losses = row_losses(torch.from_numpy(logits.astype(np.float32)), targets, task.kind)
    answers = Answers(task.kind, task.classes, valid.labels, scores_of(logits, task))
    found = value(primary_metric(task.kind), answers)
    return (-np.inf if found is None else round(found, 9)), -float(losses.mean())


def logits_of(
    model: Model,
    split: LabelledSplit,
    precision: Literal["fp32", "bf16"],
    strand: Strand | None = None,
) -> NDArray[np.float64]:
    """Logits (n, outputs) of a split."""
    with autocast(model.device, precision):
        return task_outputs(model, split.codes, strand=strand)


def _threshold(
    model: Model,
    task: TaskConfig,
    valid: LabelledSplit,
    precision: Literal["fp32", "bf16"],
) -> float:
    scores = scores_of(logits_of(model, valid, precision), task)
    return choose_threshold(valid.labels.astype(np.int64), scores[:, 1])


def _noted(
    kind: TaskKind, valid: LabelledSplit | None, checked: tuple[float, float]
) -> dict[str, float]:
    if valid is None:
        return {}
    return {"validation_loss": -checked[1], f"validation_{primary_metric(kind)}": checked[0]}
