"""One step of self-distillation: student, teacher, both losses, optimizer, EMA and centre."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from accelerate import Accelerator
from pydantic import Field, model_validator
from torch import Tensor

from findna.data.batches import PretrainBatch
from findna.inference.precision import ResolvedPrecision, autocast
from findna.model.compiled import Compile, compile_layers
from findna.model.model import Distilled, Model
from findna.settings import Settings
from findna.training.engine import total
from findna.training.losses import (
    balanced_distribution,
    distillation_sum,
    masked_nucleotide_sum,
    teacher_distribution,
)
from findna.training.optimizer import adamw, set_rate
from findna.training.schedules import teacher_momentum, teacher_temperature, warmup_cosine
from findna.training.teacher import Centre, Teacher


class DistillationSettings(Settings):
    """Weights, temperatures and rates of the objective and its optimizer."""

    masked_weight: float = Field(1.0, ge=0, description="Weight of the masked-base loss.")
    distillation_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the distillation loss; 0 drops teacher and loss.",
    )
    target: Distilled = Field(
        "summary",
        description="What student and teacher agree on: each summary token, the mean over bases,"
        " or every hidden base (the teacher then sees the student's view with nothing hidden).",
    )
    student_temperature: float = Field(0.1, gt=0, description="Softmax temperature of the student.")
    teacher_temperature: float = Field(
        0.04, gt=0, description="Softmax temperature of the teacher."
    )
    first_teacher_temperature: float = Field(
        0.07, gt=0, description="Teacher temperature at the first step."
    )
    teacher_warmup: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Fraction of the steps over which the teacher temperature rises.",
    )
    balance: Literal["sinkhorn", "centre"] = Field(
        "sinkhorn",
        description="What keeps the teacher from giving all windows the same output: standardised"
        " scores and Sinkhorn, or a running centre as in the paper.",
    )
    centre_momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of the running centre.")
    first_momentum: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Teacher momentum at the first step. Default: min(0.996, 1 - 20 / steps).",
    )
    learning_rate: float = Field(3e-3, gt=0, description="Highest learning rate.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of the matrices (AdamW).")
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Fraction of the steps over which the rate rises."
    )
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    beta2: float = Field(0.98, gt=0, lt=1, description="Second-moment decay of AdamW (beta2).")

    @model_validator(mode="after")
    def _something_to_learn(self) -> DistillationSettings:
        if not (self.masked_weight or self.distillation_weight):
            raise ValueError("masked_weight and distillation_weight are both 0: nothing is learned")
        return self


@dataclass(frozen=True)
class StepNumbers:
    """What one step measured; tensors stay on the device so that nobody waits for them."""

    masked_loss: Tensor
    distillation_loss: Tensor
    gradient_norm: Tensor
    hidden: Tensor
    rate: float
    momentum: float


class SelfDistillation:
    """Student, teacher, centre and optimizer, and the step that moves them.

    The student is the only network with a gradient and the only one in the optimizer.
    """

    def __init__(
        self,
        model: Model,
        settings: DistillationSettings,
        accelerator: Accelerator,
        precision: ResolvedPrecision,
        compile: Compile = "off",
        batch_bases: int = 0,
    ) -> None:
        """`batch_bases` is how large batches will be, for a compiler; 0 says nothing of it."""
        self.settings, self.accelerator, self.precision = settings, accelerator, precision
        self.device = accelerator.device
        self.model = model.to(self.device).train()
        self.distilling = settings.distillation_weight > 0
        if not self.distilling and model.config.projection.kind == "prototypes":
            # Nothing reaches this head; ranks would wait for its gradients.
            model.projection.requires_grad_(False)
        self.teacher = Teacher(self.model)
        with autocast(self.device, precision):
            self.compiled = compile_layers(self.model, compile, batch_bases)
        if self.compiled:
            for layer in self.teacher.network.encoder.layers:
                layer.compile(dynamic=True)
        tokens = model.config.backbone.summary_tokens if settings.target == "summary" else 1
        self.centre = Centre(tokens, model.prototypes, settings.centre_momentum).to(self.device)
        self.optimizer = adamw(
            self.model, settings.learning_rate, settings.weight_decay, (0.9, settings.beta2)
        )
        self.student: Any = accelerator.prepare_model(self.model)

    def step(self, parts: Sequence[PretrainBatch], step: int, steps: int) -> StepNumbers:
        """Learn from this rank's ``parts`` of one global batch; ``step`` counts from 0 to
        ``steps`` - 1.

        Both losses are divided by the hidden bases and windows of all ranks and parts together, so
        the result does not depend on how the batch was cut up.
        """
        settings = self.settings
        counts = self._counts(parts)
        rate = settings.learning_rate * warmup_cosine(step, steps, settings.warmup)
        set_rate(self.optimizer, rate)
        answers = self._answers(parts, counts, step, steps)
        losses = torch.zeros(2, device=self.device)
        for number, (part, answer) in enumerate(zip(parts, answers, strict=True)):
            last = number == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.student):
                part_losses = self._losses(part, answer, counts)
                weighted = (
                    settings.masked_weight * part_losses[0]
                    + settings.distillation_weight * part_losses[1]
                )
                # Gradients are averaged over ranks, while the losses are already shares of the
                # global sum.
                (weighted * self.accelerator.num_processes).backward()
            losses += part_losses.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        momentum = teacher_momentum(step, steps, settings.first_momentum)
        self.teacher.update(self.model, momentum)
        losses = self._total(losses)
        return StepNumbers(losses[0], losses[1], norm, counts[0], rate, momentum)

    def _total(self, value: Tensor) -> Tensor:
        return total(self.accelerator, value)

    def _counts(self, parts: Sequence[PretrainBatch]) -> Tensor:
        """(hidden bases, windows) of the global batch."""
        hidden = torch.stack([part.hidden.sum() for part in parts]).sum().float()
        windows = hidden.new_full((), float(sum(len(part.ids) for part in parts)))
        return self._total(torch.stack([hidden, windows])).clamp(min=1)

    def _items(self, counts: Tensor) -> Tensor:
        """Over how many items the distillation loss is a mean: hidden bases, or windows."""
        return counts[0] if self.settings.target == "bases" else counts[1]

    @torch.no_grad()
    def _teacher_scores(self, parts: Sequence[PretrainBatch]) -> list[Tensor]:
        """Scores of this rank's teacher views, (n, S, K) a part."""
        target = self.settings.target
        with autocast(self.device, self.precision):
            return [
                self.teacher(
                    p.targets if target == "bases" else p.teacher, target, p.hidden
                ).float()
                for p in parts
            ]

    def _answers(
        self, parts: Sequence[PretrainBatch], counts: Tensor, step: int, steps: int
    ) -> Sequence[Tensor | None]:
        """What the student is to agree with: the teacher's distributions (n, S, K) a part."""
        if not self.distilling:
            return [None] * len(parts)
        settings, pieces = self.settings, self._teacher_scores(parts)
        scores, items = torch.cat(pieces), self._items(counts)
        temperature = teacher_temperature(
            step,
            steps,
            settings.first_teacher_temperature,
            settings.teacher_temperature,
            settings.teacher_warmup,
        )
        if settings.balance == "centre":
            answers = teacher_distribution(scores, self.centre.value, temperature)
        else:
            spread = self.model.config.projection.bottleneck**-0.5
            answers = balanced_distribution(scores, temperature, spread, items, self._total)
        self.centre.update(self._total(scores.sum(0)), items)
        return list(torch.split(answers, [len(piece) for piece in pieces]))

    def _losses(self, part: PretrainBatch, answer: Tensor | None, counts: Tensor) -> Tensor:
        """(masked-nucleotide loss, distillation loss) of a part, as shares of the global means."""
        target = self.settings.target if self.distilling else None
        with autocast(self.device, self.precision):
            logits, scores = self.student(part.student, None, part.noise, target, part.hidden)
        masked = masked_nucleotide_sum(logits, part.targets, part.hidden, part.weights) / counts[0]
        if answer is None:
            return torch.stack([masked, torch.zeros_like(masked)])
        distilled = distillation_sum(scores, answer, self.settings.student_temperature)
        return torch.stack([masked, distilled / self._items(counts)])

    def state(self) -> dict[str, Tensor]:
        """Every tensor that a resumed run needs, by name."""
        tensors = {f"student.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"teacher.{k}": v for k, v in self.teacher.network.state_dict().items()}
        tensors["centre"] = self.centre.value
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` gave, strictly."""
        self.model.load_state_dict(_under("student.", tensors))
        self.teacher.network.load_state_dict(_under("teacher.", tensors))
        self.centre.value.copy_(tensors["centre"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimizer.", tensors).items():
            index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
