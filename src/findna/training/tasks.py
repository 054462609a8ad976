"""What a task is made of: its config, the targets and losses of rows, what each row weighs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from findna.data.labelled import LabelledData, LabelledSplit, Labels
from findna.data.parts import TaskKind
from findna.model.heads import TaskConfig
from findna.model.model import Model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import Strand
from findna.training.calibration import prevalence_of
from findna.training.finetune_settings import ClassWeights, FinetuneSettings


def task_of(model: Model) -> TaskConfig:
    """The task of a model that has one."""
    if model.config.task is None:
        raise ValueError("the model has no task")
    return model.config.task


def retasked(model: Model, **changes: Any) -> ModelConfig:
    """The config of a model with some settings of its task changed."""
    task = task_of(model).model_copy(update=changes)
    return model.config.model_copy(update={"task": task})


_MOST_PLACES = 512
_ALIGNED = 0.9


def task_for(
    data: LabelledData, train: LabelledSplit, strand: Strand, settings: FinetuneSettings
) -> TaskConfig:
    """The task of `data`; targets of a regression are standardised by the rows that train it."""
    moments: dict[str, Any] = {}
    if data.kind == "regression":
        mean, spread = train.labels.mean(axis=0), train.labels.std(axis=0)
        # Of equal values rounding leaves a spread that is none.
        varies = spread > 1e-10 * np.abs(mean)
        moments["target_mean"] = tuple(mean.tolist())
        moments["target_sd"] = tuple(np.where(varies, spread, 1.0).tolist())
    else:
        # Rows weighted to balance classes teach a network that all are equally common.
        even = np.full(len(data.classes), 1 / len(data.classes))
        balanced = settings.class_weights == "balanced"
        shares = even if balanced else prevalence_of(data.kind, train.labels, len(data.classes))
        moments["prevalence"] = tuple(shares.tolist())
    return TaskConfig(
        kind=data.kind,
        classes=data.classes,
        pooling=settings.readings[0],
        bins=settings.bins,
        places=_places(data.splits["train"].lengths, settings),
        dropout=settings.dropout,
        strand=strand,
        **moments,
    )


def _places(lengths: NDArray[np.int64], settings: FinetuneSettings) -> int:
    """Those of which pairs of letters may be read, or, where the settings name that, are."""
    named = "placed-pairs" in settings.pooling
    return min(int(lengths.max(initial=1)), _MOST_PLACES) if named else common_places(lengths)


def common_places(lengths: NDArray[np.int64]) -> int:
    """How many places rows of these lengths (n,) have in common, as far as that can be told: their
    length, if nine of ten are as long as the longest and that is at most 512, else 0.
    """
    longest = int(lengths.max(initial=0))
    aligned = 0 < longest <= _MOST_PLACES and (lengths == longest).mean() >= _ALIGNED
    return longest if aligned else 0


def targets_of(labels: Labels, task: TaskConfig) -> Tensor:
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


def row_weights(labels: Labels, how: ClassWeights) -> NDArray[np.float64]:
    """Weight (n,) of each row: 1, or such that all classes that are there weigh the same together;
    1 on average.
    """
    if how == "none":
        return np.ones(len(labels))
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(len(labels) / counts[place] / len(counts))
