"""Examinations of a pretraining run: both networks on fixed held-out windows, and what these
windows ask of anybody.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from findna.data.holdout import Split
from findna.files import BadInput
from findna.model.model import Model
from findna.sequence.genome import Genome
from findna.training.planning import EXTRA_LENGTHS
from findna.training.recipes import PretrainSettings
from findna.training.run_state import CLOSING_KEY
from findna.training.self_distillation import SelfDistillation
from findna.training.validation import (
    HeldOut,
    Reference,
    health,
    held_out,
    masked_score,
    reference,
)

Figures = dict[str, Any]


class Examiner:
    """Examines what a run has learned, on the way and at its end. Nothing of it changes by that.

    ``reference`` are the losses of the yardsticks on the windows that are asked, and have to be
    measured, or known from before, first. ``seconds`` is what the last examination took, and
    ``measuring`` what asking the yardsticks did.
    """

    reference: Reference

    def __init__(
        self, genome: Genome, split: Split, settings: PretrainSettings, learner: SelfDistillation
    ) -> None:
        """Draw the windows.

        Raises:
            BadInput: there is no held-out run as long as a window.
        """
        self.genome, self.split, self.settings, self.learner = genome, split, settings, learner
        self.windows = self._drawn(settings.sampling.window, settings.validation.bases)
        self.seconds = self.measuring = 0.0

    def measure(self) -> None:
        """Ask the yardsticks about the windows."""
        began = time.monotonic()
        self.reference = reference(self.genome, self.split.train, self.windows)
        self.measuring = time.monotonic() - began

    def figures(self) -> Figures:
        """Masked scores of both networks, the yardsticks', and the health figures.

        Raises:
            FloatingPointError: a loss is not finite.
        """
        began = time.monotonic()
        learner, precision = self.learner, self.learner.precision
        learner.model.eval()
        student = masked_score(learner.model, self.windows, precision=precision)
        teacher = masked_score(learner.teacher.network, self.windows, precision=precision)
        if not math.isfinite(student.loss + teacher.loss):
            raise FloatingPointError("the loss on held-out windows is not finite")
        healthy = health(
            learner.model,
            learner.teacher.network,
            self.windows,
            student_temperature=self.settings.distillation.student_temperature,
            precision=precision,
            target=self.settings.distillation.target,
        )
        learner.model.train()
        self.seconds = time.monotonic() - began
        better = min(student, teacher, key=lambda score: score.loss)
        return {
            "mask_loss": better.loss,
            "mask_accuracy": better.accuracy,
            "mask_loss_low": better.low,
            "mask_loss_high": better.high,
            "mask_count": better.count,
            "student_mask_loss": student.loss,
            "teacher_mask_loss": teacher.loss,
            **asdict(self.reference),
            **healthy,
        }

    def close(self, bases: int) -> Figures:
        """The figures on so many bases, and the loss at other window lengths of the network that is
        kept.

        Raises:
            FloatingPointError: a loss is not finite.
        """
        self.windows = self._drawn(self.settings.sampling.window, bases)
        self.measure()
        found = self.figures()
        _, network = self.kept(found)
        return {**found, CLOSING_KEY: self._by_length(network.eval(), bases // 4)}

    def kept(self, figures: Mapping[str, Any]) -> tuple[str, Model]:
        """Name and network of the better one."""
        if figures["teacher_mask_loss"] <= figures["student_mask_loss"]:
            return "teacher", self.learner.teacher.network
        return "student", self.learner.model

    def _by_length(self, network: Model, bases: int) -> dict[str, dict[str, float]]:
        scores: dict[str, dict[str, float]] = {}
        for length in EXTRA_LENGTHS:
            try:
                windows = self._drawn(length, bases)
            except BadInput:  # no held-out run is as long: nothing to say about it
                continue
            found = masked_score(network, windows, precision=self.learner.precision)
            scores[str(length)] = {"loss": found.loss, "low": found.low, "high": found.high}
        return scores

    def _drawn(self, length: int, bases: int) -> HeldOut:
        return held_out(
            self.genome,
            self.split.validation,
            length=length,
            bases=bases,
            hidden=self.settings.validation.hidden,
            max_n=self.settings.sampling.max_n,
            seed=self.settings.seed,
        )
