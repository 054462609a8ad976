"""One training run of a network: rows in, the weights of the best epoch out.

Sequences are encoded once and gathered into batches on the device; nothing in the loop is done row
by row. Every draw (order, strand, dropout) follows from the seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from findna.data.batches import by_length
from findna.data.labelled import LabelledSplit
from findna.data.on_device import sent
from findna.data.parts import TaskKind
from findna.data.ragged import Ragged
from findna.data.randomness import Purpose, row_hash, uniform
from findna.inference.answers import scores_of, task_outputs
from findna.inference.precision import ResolvedPrecision, autocast
from findna.metrics import Answers, primary_metric, value
from findna.model.heads import TaskConfig
from findna.model.model import Model
from findna.training.finetune_settings import BATCH_ROWS, ClassWeights, FinetuneSettings
from findna.training.rates import finetuning_adamw
from findna.training.schedules import averaging, warmup_cosine
from findna.training.stopping import NonFiniteLoss
from findna.training.tasks import retasked, row_losses, row_weights, targets_of, task_of
from findna.training.teacher import average_
from findna.training.thresholds import choose_threshold

# A loss is looked at this often: reading it makes a GPU wait.
_STEPS_BETWEEN_CHECKS = 20


@dataclass(frozen=True)
class Fit:
    """A trained model, and what validation chose: `score` orders fits, higher is better."""

    model: Model
    epoch: int
    score: tuple[float, float]


Note = Callable[..., None]


def fit(
    begun: Model,
    train: LabelledSplit,
    valid: LabelledSplit | None,
    settings: FinetuneSettings,
    *,
    precision: ResolvedPrecision,
    note: Note,
    stop_after: int | None = None,
    after_epoch: Callable[[Model], None] | None = None,
) -> Fit:
    """Train a copy of `begun`: its head, and what `settings.train` names.

    With validation rows the best epoch is kept, by the primary metric and then by loss, and a
    binary threshold is chosen on them. Without, training ends after `stop_after` epochs. `note`
    receives the numbers of every epoch, `after_epoch` the model as it would be kept then.

    Raises:
        NonFiniteLoss: carries the best weights so far.
    """
    if valid is not None and not len(valid):
        valid = None
    task = task_of(begun)
    cuda = [begun.device] if begun.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        model = _copied(begun)
        torch.manual_seed(settings.seed)
        training = _Training(model, task, train, settings, precision)
        some = train.where(np.arange(len(train)) < training.batch_rows)
        best: Fit | None = None
        for epoch in range(1, (stop_after or settings.epochs) + 1):
            began = time.monotonic()
            loss = training.epoch(epoch)
            kept = training.kept
            # The last step of an epoch comes after its last loss.
            broken = valid is None and not np.isfinite(logits_of(kept, some, precision)).all()
            if broken or not np.isfinite(loss):
                raise _broken_down(epoch, best)
            checked = (0.0, 0.0)
            if valid is not None:
                checked = _check(kept, task, valid, precision, settings.class_weights)
            note(
                epoch=epoch,
                strand=task.strand,
                train_loss=loss,
                **_noted(task.kind, valid, checked),
                seconds=time.monotonic() - began,
            )
            if not np.isfinite(checked[1]):
                raise _broken_down(epoch, best)
            if after_epoch is not None:
                after_epoch(kept)
            if valid is None or best is None or checked > best.score:
                best = Fit(_copied(kept), epoch, checked)
    if best is None:
        raise ValueError("no epoch was trained")
    if task.kind == "binary" and valid is not None:
        scores = scores_of(logits_of(best.model, valid, precision), task)
        threshold = choose_threshold(valid.labels, scores[:, 1])
        best.model.config = retasked(best.model, threshold=threshold)
    return best


def _broken_down(epoch: int, best: Fit | None) -> NonFiniteLoss:
    return NonFiniteLoss(
        f"the loss is not finite in epoch {epoch}\n"
        "  try a lower --learning-rate, --precision fp32, or look for extreme target values",
        best.model if best else None,
    )


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
        precision: ResolvedPrecision,
    ) -> None:
        self.model, self.task, self.settings, self.precision = model, task, settings, precision
        self.rows = Ragged(train.codes, model.device)
        self.lengths = train.lengths
        self.targets = targets_of(train.labels, task).to(model.device)
        weights = row_weights(train.labels, settings.class_weights)
        self.weights = torch.from_numpy(weights.astype(np.float32)).to(model.device)
        self.batch_rows = settings.batch_rows or BATCH_ROWS
        self.steps = -(-len(train) // self.batch_rows) * settings.epochs
        self.step = 0
        self.optimizer = finetuning_adamw(model, settings)
        # Without a momentum the average is the model itself.
        self.kept = _copied(model) if settings.average else model

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
        for at in range(0, len(order), self.batch_rows):
            rows = order[at : at + self.batch_rows]
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
            at = sent(rows[part], codes.device)
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
        if self.kept is not self.model:
            average_(self.kept, self.model, averaging(self.step, self.settings.average))
        return loss

    def _parts(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Places in `rows` that are computed together: all, if they are not too many bases."""
        lengths = self.lengths[rows]
        # With its padding, which takes memory as bases do.
        if len(rows) * int(lengths.max()) <= self.settings.batch_bases:
            return [np.arange(len(rows))]
        return by_length(lengths, self.settings.batch_bases)


# ---------------------------------------------------------------- validation


def _check(
    model: Model,
    task: TaskConfig,
    valid: LabelledSplit,
    precision: ResolvedPrecision,
    weights: ClassWeights,
) -> tuple[float, float]:
    """Primary metric (−inf where it is not defined) and negative loss of the validation rows."""
    logits = logits_of(model, valid, precision)
    if not np.isfinite(logits).all():
        return -np.inf, -np.inf
    targets = targets_of(valid.labels, task)
    losses = row_losses(torch.from_numpy(logits.astype(np.float32)), targets, task.kind)
    answers = Answers(task.kind, task.classes, valid.labels, scores_of(logits, task))
    found = value(primary_metric(task.kind), answers)
    loss = float((losses.numpy() * row_weights(valid.labels, weights)).mean())
    return (-np.inf if found is None else round(found, 9)), -loss


def logits_of(
    model: Model, split: LabelledSplit, precision: ResolvedPrecision
) -> NDArray[np.float64]:
    """Logits (n, outputs) of a split."""
    with autocast(model.device, precision):
        return task_outputs(model, split.codes)


def _noted(
    kind: TaskKind, valid: LabelledSplit | None, checked: tuple[float, float]
) -> dict[str, float]:
    if valid is None:
        return {}
    return {"validation_loss": -checked[1], f"validation_{primary_metric(kind)}": checked[0]}
