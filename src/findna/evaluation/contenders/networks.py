"""findna's own networks as contenders: the whole network fine-tuned, from a model or from chance.

A *start* is what training begins with: a pretrained model, the same at every seed; one pretrained
model for each seed; or a network of the same shape with random weights, another at every seed. All
take the same path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from findna.data.labelled import LabelledData, LabelledSplit
from findna.files import log
from findna.inference.answers import scores_of
from findna.inference.precision import ResolvedPrecision, resolve_precision
from findna.inference.rows import LengthWarning
from findna.model.model import Model, new_model
from findna.model.presets import ModelConfig
from findna.training.beginning import begin
from findna.training.finetune_settings import FinetuneSettings
from findna.training.fit import Fit, fit, logits_of
from findna.training.stopping import NonFiniteLoss
from findna.training.tasks import task_for, task_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Start:
    """Pretrained `models`, one or one a pretraining seed; none: weights are drawn from the seed."""

    name: str
    config: ModelConfig
    models: tuple[Model, ...] = ()

    @property
    def shape_digest(self) -> str:
        """Digest of the shape of the network."""
        shape = self.config.backbone.model_dump_json()
        return f"sha256:{hashlib.sha256(shape.encode()).hexdigest()}"

    @property
    def draws(self) -> bool:
        """Whether two seeds begin with two networks."""
        return len(self.models) != 1

    @property
    def pretraining_seeds(self) -> bool:
        """Whether each seed is a model that was pretrained anew."""
        return len(self.models) > 1

    def network(self, seed: int) -> Model:
        """The network that a run with `seed` begins with."""
        if not self.models:
            return new_model(self.config, seed)
        return self.models[seed % len(self.models)]


@dataclass(frozen=True, eq=False)
class FinetuneContender:
    """Full fine-tuning: the learning rate and the epoch are chosen on validation rows."""

    start: Start
    settings: FinetuneSettings
    rates: tuple[float, ...]
    device: torch.device
    keep_epochs: bool = False
    draws: bool = field(default=True, init=False)

    @property
    def name(self) -> str:
        """`finetune-` and the name of the start."""
        return f"finetune-{self.start.name}"

    @property
    def grid(self) -> tuple[Mapping[str, Any], ...]:
        """One entry a learning rate of the backbone."""
        return tuple({"learning_rate": rate} for rate in self.rates)

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> FinetunedNetwork:
        """Fine-tune once for each rate that is open; the best on validation rows is kept.

        Raises:
            NonFiniteLoss: at every rate.
        """
        LengthWarning(self.start.network(seed)).look_at(data.splits["train"].lengths)
        precision = resolve_precision(self.settings.precision, self.device)
        begun = self._begun(data, seed, precision)
        best: FinetunedNetwork | None = None
        for setting in [settled] if settled else self.grid:
            try:
                tried = self._tried(begun, data, seed, setting, precision)
            except NonFiniteLoss as error:
                log.warning("%s, %s: %s", self.name, dict(setting), error)
                failed = error
                continue
            if best is None or tried.fitted.score > best.fitted.score:
                best = tried
        if best is None:
            raise failed
        return best

    def _begun(self, data: LabelledData, seed: int, precision: ResolvedPrecision) -> Model:
        """What every rate begins with; validation chooses what the head reads."""
        settings, train = self._settings(seed), data.splits["train"]
        return begin(
            self.start.network(seed).to(self.device),
            task_for(data, train, settings.strands[0], settings),
            train,
            data.splits["dev"],
            settings,
            precision=precision,
            strands=settings.strands,
        )

    def _settings(self, seed: int, **setting: Any) -> FinetuneSettings:
        # What this contender is called says what it trains, whatever the default of finetune is.
        return self.settings.model_copy(update={**setting, "seed": seed, "train": "full"})

    def _tried(
        self,
        begun: Model,
        data: LabelledData,
        seed: int,
        setting: Mapping[str, Any],
        precision: ResolvedPrecision,
    ) -> FinetunedNetwork:
        weights: list[dict[str, Tensor]] = []

        def keep(model: Model) -> None:
            if self.keep_epochs:
                weights.append({k: v.detach().clone() for k, v in model.state_dict().items()})

        fitted = fit(
            begun,
            data.splits["train"],
            data.splits["dev"],
            self._settings(seed, **setting),
            precision=precision,
            note=lambda **numbers: log.debug("%s %s", self.name, numbers),
            after_epoch=keep,
        )
        return FinetunedNetwork(fitted, dict(setting), precision, weights)


@dataclass(frozen=True, eq=False)
class FinetunedNetwork:
    """A fine-tuned network; `weights` are those after every epoch, if they were kept."""

    fitted: Fit
    setting: dict[str, Any]
    precision: ResolvedPrecision
    weights: list[dict[str, Tensor]]

    @property
    def threshold(self) -> float:
        """Chosen on validation rows."""
        task = self.fitted.model.config.task
        return task.threshold if task else 0.5

    @property
    def chosen(self) -> Mapping[str, Any]:
        """Learning rate, epoch, and what the head reads."""
        task = task_of(self.fitted.model)
        reads = {"strand": task.strand, "pooling": "+".join(task.pooling)}
        return {**self.setting, "epoch": self.fitted.epoch, **reads}

    def scores(self, rows: LabelledSplit) -> Floats:
        """Answers of the epoch that validation chose."""
        return self._scores_of(self.fitted.model, rows)

    def scores_by_epoch(self, rows: LabelledSplit) -> Iterator[Floats]:
        """Answers after every epoch, first to last."""
        twin = Model(self.fitted.model.config).to(self.fitted.model.device).eval()
        for weights in self.weights:
            twin.load_state_dict(weights)
            yield self._scores_of(twin, rows)

    def _scores_of(self, model: Model, rows: LabelledSplit) -> Floats:
        if model.config.task is None:
            raise ValueError("the model has no task")
        return scores_of(logits_of(model, rows, self.precision), model.config.task)
