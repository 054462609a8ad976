"""The small convolutional network of GenomicBenchmarks, written anew from its description.

Grešová et al. (2023, BMC Genomic Data 24:25) describe three convolutions of 16, 8 and 4 filters of
8 letters, each followed by batch normalisation and max-pooling, then a dense layer of 512 and one
for the classes. Settled here, where that is silent or where its two published versions differ:

* letters enter as four indicator channels, N and padding as zeros. A learned embedding in front of
  a convolution spans the same functions;
* ReLU after normalisation, pooling by 2, no padding inside the network, no dropout;
* rows are filled up with zeros to the longest training row and cut behind it, which is said;
* one strand is read, as given;
* Adam at a constant rate; epochs are fixed, the best one is chosen on validation rows by the
  primary metric, then by loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.ragged import Ragged
from findna.data.randomness import Purpose, row_hash
from findna.files import FindnaError, log
from findna.inference.answers import scores_of
from findna.inference.devices import pick_device
from findna.metrics import Answers, primary_metric, value
from findna.model.heads import TaskConfig
from findna.sequence.alphabet import PAD, VOCABULARY
from findna.settings import Settings
from findna.training.finetune_settings import FinetuneSettings
from findna.training.tasks import row_losses, targets_of, task_for
from findna.training.thresholds import threshold_for

Floats = NDArray[np.float64]
Weights = dict[str, Tensor]

_LETTERS = 4
_FILTERS = (16, 8, 4)
_KERNEL = 8
_POOL = 2
_DENSE = 512
# The shortest row of which the last pooling leaves something to its normalisation: two places.
_SHORTEST = 57
# Rows that are answered together have so many places, 64 MiB in the widest layer.
_MOST_ROWS, _PLACES_AT_ONCE = 1024, 1 << 20


class CnnSettings(Settings):
    """How the network is trained, and what validation chooses from."""

    learning_rates: tuple[float, ...] = Field(
        (3e-4, 1e-3, 3e-3), min_length=1, description="Learning rates to try (Adam)."
    )
    epochs: int = Field(10, ge=1, description="Passes over the training rows.")
    batch_rows: int = Field(64, ge=1, description="Sequences per optimizer step.")


@dataclass(frozen=True)
class CnnContender:
    """The GenomicBenchmarks network, trained from random weights."""

    settings: CnnSettings = field(default_factory=CnnSettings)
    device: str = "auto"
    name: str = "cnn"
    draws: bool = True

    @property
    def grid(self) -> tuple[Mapping[str, Any], ...]:
        """One entry a learning rate."""
        return tuple({"learning_rate": rate} for rate in self.settings.learning_rates)

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> LearnedCnn:
        """The learning rate and epoch that are best on "dev".

        Raises:
            FindnaError: the loss was not finite at any learning rate.
        """
        rates = self.settings.learning_rates if settled is None else (settled["learning_rate"],)
        tried = [
            _train(data, rate, seed, self.settings, pick_device(self.device)) for rate in rates
        ]
        best = max(tried, key=lambda one: one.score)
        if not np.isfinite(best.score[1]):
            raise FindnaError(f"{self.name}: the loss was not finite at any learning rate")
        return best


def network(width: int, outputs: int) -> nn.Sequential:
    """Indicators (B, 4, width) → logits (B, outputs)."""
    layers: list[nn.Module] = []
    channels, left = _LETTERS, width
    for filters in _FILTERS:
        layers += [nn.Conv1d(channels, filters, _KERNEL), nn.BatchNorm1d(filters)]
        layers += [nn.ReLU(), nn.MaxPool1d(_POOL)]
        channels, left = filters, (left - _KERNEL + 1) // _POOL
    dense = [nn.Flatten(), nn.Linear(channels * left, _DENSE), nn.ReLU()]
    return nn.Sequential(*layers, *dense, nn.Linear(_DENSE, outputs))


@dataclass(frozen=True, eq=False)
class LearnedCnn:
    """Weights on the device after `epoch` (from 1), the one that validation chose.

    `score`, primary metric and negative loss on validation rows, orders trained networks.
    """

    task: TaskConfig
    width: int
    weights: Weights
    epoch: int
    score: tuple[float, float]
    threshold: float
    learning_rate: float
    device: torch.device

    @property
    def chosen(self) -> Mapping[str, Any]:
        """Learning rate and epoch."""
        return {"learning_rate": self.learning_rate, "epoch": self.epoch}

    def scores(self, rows: LabelledSplit) -> Floats:
        """Probabilities (n, K), or values (n, T), of the chosen epoch."""
        with torch.device("meta"):  # nothing is drawn for weights that are replaced at once
            model = network(self.width, self.task.outputs)
        model.load_state_dict(self.weights, assign=True)
        sequences = _read(rows, self.width, self.device)
        return scores_of(_logits(model, sequences, self.width), self.task)


# ---------------------------------------------------------------- rows of one width


def _read(rows: LabelledSplit, width: int, device: torch.device) -> Ragged:
    cut = int((rows.lengths > width).sum())
    if cut:
        log.warning(
            "cnn: %s of %s rows are longer than the longest training row: only their first %s bp"
            " are read",
            f"{cut:,}",
            f"{len(rows):,}",
            f"{width:,}",
        )
    return Ragged([codes[:width] for codes in rows.codes], device)


def _indicators(sequences: Ragged, rows: NDArray[np.int64], width: int) -> Tensor:
    """Letters (B, 4, width) of some rows; N and what lies past the end are zeros."""
    codes, _ = sequences.batch(rows)
    codes = F.pad(codes, (0, width - codes.shape[1]), value=PAD)
    table = torch.eye(VOCABULARY, _LETTERS, device=codes.device)
    return table[codes].transpose(1, 2)


# ---------------------------------------------------------------- training


def _train(
    data: LabelledData, rate: float, seed: int, settings: CnnSettings, device: torch.device
) -> LearnedCnn:
    """One run: the best epoch on "dev" is kept, the first of equals."""
    train, dev = data.splits["train"], data.splits["dev"]
    task = task_for(data, train, "forward", FinetuneSettings())
    width = max(int(train.lengths.max()), _SHORTEST)
    sequences, checked = _read(train, width, device), _read(dev, width, device)
    targets = targets_of(train.labels, task).to(device)
    with _repeatable(seed, device):
        model = network(width, task.outputs).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        best: tuple[tuple[float, float], int, Weights] | None = None
        for epoch in range(1, settings.epochs + 1):
            for rows in _shuffled(len(train), seed, epoch, settings.batch_rows):
                _step(model, optimizer, _indicators(sequences, rows, width), targets, rows, task)
            score = _score(_logits(model, checked, width), dev, task)
            log.debug("cnn: rate %g, epoch %d: %s", rate, epoch, score)
            if best is None or score > best[0]:
                best = score, epoch, {k: v.clone() for k, v in model.state_dict().items()}
    score, epoch, weights = cast(tuple[tuple[float, float], int, Weights], best)
    model.load_state_dict(weights)
    scores = scores_of(_logits(model, checked, width), task)
    threshold = threshold_for(task.kind, dev.labels, scores) if np.isfinite(score[1]) else 0.5
    return LearnedCnn(task, width, weights, epoch, score, threshold, rate, device)


@contextmanager
def _repeatable(seed: int, device: torch.device) -> Iterator[None]:
    """Draws that follow from `seed`, and sums in one order on a GPU; then all is as it was."""
    cuda = [device] if device.type == "cuda" else []
    flags = torch.backends.cudnn.flags(deterministic=True, benchmark=False)
    with torch.random.fork_rng(devices=cuda), flags:
        torch.manual_seed(seed)
        yield


def _shuffled(n: int, seed: int, epoch: int, batch_rows: int) -> list[NDArray[np.int64]]:
    """Rows of each step of an epoch."""
    order = np.argsort(row_hash(seed, epoch, np.arange(n), Purpose.LABELLED_ORDER), kind="stable")
    return np.split(order, range(batch_rows, n, batch_rows))


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    letters: Tensor,
    targets: Tensor,
    rows: NDArray[np.int64],
    task: TaskConfig,
) -> None:
    model.train()
    at = torch.from_numpy(rows).to(letters.device)
    loss = row_losses(model(letters), targets[at], task.kind).mean()
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


# ---------------------------------------------------------------- answers


@torch.inference_mode()
def _logits(model: nn.Module, sequences: Ragged, width: int) -> Floats:
    """Logits (n, outputs) in the order of the rows."""
    model.eval()
    size = max(1, min(_MOST_ROWS, _PLACES_AT_ONCE // width))
    parts = np.split(np.arange(len(sequences)), range(size, len(sequences), size))
    found = [model(_indicators(sequences, rows, width)).cpu() for rows in parts]
    return torch.cat(found).double().numpy()


def _score(logits: Floats, dev: LabelledSplit, task: TaskConfig) -> tuple[float, float]:
    """Primary metric (−inf where it is not defined) and negative loss; higher is better."""
    if not np.isfinite(logits).all():
        return -np.inf, -np.inf
    losses = row_losses(torch.from_numpy(logits).float(), targets_of(dev.labels, task), task.kind)
    answers = Answers(task.kind, task.classes, dev.labels, scores_of(logits, task))
    found = value(primary_metric(task.kind), answers)
    return (-np.inf if found is None else round(found, 9)), -float(losses.mean())
