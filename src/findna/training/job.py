"""One pretraining run: planned, trained, checked and written, stopped and resumed anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from findna.data.batches import PretrainBatch, make_batch
from findna.data.holdout import Split
from findna.data.sampling import digests_of_beds
from findna.data.windows import WindowSampler
from findna.files import log
from findna.inference.precision import ResolvedPrecision, resolve_precision
from findna.inference.progress import StepProgress
from findna.model.model import Model
from findna.sequence.genome import Genome
from findna.sequence.intervals import bases_in
from findna.training.engine import agreed, total
from findna.training.examination import Examiner, Figures
from findna.training.planning import (
    FEW_STEPS,
    TIMED_STEPS,
    TIMING,
    Plan,
    Timings,
    closing_checks,
    plan_of,
)
from findna.training.recipes import PretrainSettings, seconds
from findna.training.run_state import (
    MetricsLog,
    Run,
    can_go_on,
    load_checkpoint,
    save_checkpoint,
    until,
)
from findna.training.self_distillation import SelfDistillation, StepNumbers
from findna.training.stopping import NonFiniteLoss, StopRequest
from findna.training.validation import Reference, verdict

LOG_EVERY = 20


@dataclass(frozen=True)
class PretrainResult:
    """What a run ended with. ``metrics`` are those of the last check."""

    folder: Path
    steps: int
    planned_steps: int
    finished: bool
    metrics: dict[str, Any]
    verdict: str


class PretrainJob:
    """One run: its data, its networks and its clock; what can be refused is when it is made."""

    def __init__(
        self,
        settings: PretrainSettings,
        genome: Genome,
        split: Split,
        known_before: int | None,
        model: Model,
        accelerator: Accelerator,
        began: float,
    ) -> None:
        """`known_before`: held-out bases that taught weights which go on here; `began`: when the
        budget began to be spent.
        """
        self.settings, self.genome, self.split = settings, genome, split
        self.known_before = known_before
        self.accelerator, self.began = accelerator, began
        self.main = accelerator.is_main_process
        self.precision: ResolvedPrecision = agreed(
            accelerator, resolve_precision(settings.precision, accelerator.device)
        )
        self.sampler = WindowSampler(genome, split.train, settings.sampling, settings.seed)
        self.learner = SelfDistillation(
            model,
            settings.distillation,
            accelerator,
            self.precision,
            settings.compile,
            settings.sampling.batch_bases // (accelerator.num_processes * settings.accumulate),
        )
        self.examiner = Examiner(genome, split, settings, self.learner)
        self.batches_an_epoch = max(1, int(bases_in(split.train) / self.sampler.usual_batch_bases))
        self.step = 0
        self.deadline = began + seconds(settings.budget or "30m") if self._timed() else math.inf

    @property
    def steps(self) -> int:
        """Steps that the run will have made at its end."""
        return self.plan.steps

    def work(self, run: Run) -> PretrainResult:
        """Plan, train, check, and write the model."""
        self.run = run
        state = self._resume() if self.run.resumed else {}
        if state:
            self.examiner.reference = Reference(**state["reference"])
        else:
            self.examiner.measure()
        self.plan = Plan(**state["plan"]) if state else self._planned()
        self._say_plan()
        rewritten = self.main and self.run.resumed
        self.metrics = MetricsLog(self.run.metrics, until(self.step) if rewritten else None)
        self._save()
        finished = self._train()
        return self._finish(finished)

    def _planned(self) -> Plan:
        held_bases = bases_in(self.split.validation)
        return plan_of(self.settings, held_bases, self.batches_an_epoch, self._timings)

    def _timings(self) -> Timings:
        """Means over ranks, so that all plan alike."""
        step_time, check_time = self._time_steps()
        left = self.deadline - time.monotonic()
        here = torch.tensor([step_time, check_time, self.examiner.measuring, left])
        mean = total(self.accelerator, here.to(self.accelerator.device))
        return Timings(*(mean / self.accelerator.num_processes).tolist())

    def _timed(self) -> bool:
        return self.settings.steps is None and self.settings.epochs is None

    def _time_steps(self) -> tuple[float, float]:
        """Seconds of a step and of a check, measured on steps that are then undone: fewer where
        they would take much of the time that is left.
        """
        before = {k: v.detach().clone() for k, v in self.learner.state().items()}
        began = time.monotonic()
        enough = began + TIMING * (self.deadline - began)
        ended: list[float] = []
        late = False
        while len(ended) < 2 or (len(ended) < TIMED_STEPS and not late):
            self._learn(len(ended), 10 * TIMED_STEPS)
            if len(ended) < TIMED_STEPS // 4:
                self._synchronise()  # steps that are asked for are not yet made
            ended.append(time.monotonic())
            (late,) = self._any_rank(ended[-1] > enough)
        self._synchronise()
        warm = max(1, len(ended) // 4)  # the first steps pay for allocations and caches
        step_time = (time.monotonic() - ended[warm - 1]) / (len(ended) - warm)
        checked = time.monotonic()
        self._check()
        check_time = time.monotonic() - checked
        self.learner.load_state(before)
        return step_time, check_time

    def _synchronise(self) -> None:
        if self.accelerator.device.type == "cuda":
            torch.cuda.synchronize()

    def _say_plan(self) -> None:
        if not self.main:
            return
        each = self.sampler.usual_batch_bases
        log.info(
            f"{self.learner.model.parameters_count:,} parameters, {self.steps:,} steps of about"
            f" {each:,.0f} bases ({self.steps * each / 1e6:,.1f} Mb) on"
            f" {self.accelerator.device} in {self.precision}"
            f"{', compiled' if self.learner.compiled else ''}"
        )
        if self.settings.budget and self.steps < FEW_STEPS:
            log.warning(
                "a budget of %s leaves time for few steps: a model learns little in fewer than"
                " several hundred; give it more time, a smaller --preset or smaller --batch-bases",
                self.settings.budget,
            )
        found = self.examiner.reference
        log.info(
            f"to beat on held-out DNA: letter entropy {found.letter_entropy:.4f}, two-sided"
            f" Markov model (k = {found.markov_k}) {found.markov_loss:.4f} nats per base"
        )

    def _batch_of(self, step: int) -> tuple[int, int]:
        """Epoch and number in it of the batch of ``step``."""
        return divmod(step, self.batches_an_epoch)

    def _parts(self, step: int) -> list[PretrainBatch]:
        """This rank's parts of the batch of ``step``."""
        epoch, batch = self._batch_of(step)
        settings = self.settings
        windows = self.sampler.batch_windows(epoch, batch)
        pieces = self.accelerator.num_processes * settings.accumulate
        edges = np.linspace(0, windows, pieces + 1).astype(int)
        first = self.accelerator.process_index * settings.accumulate
        return [
            make_batch(
                self.sampler,
                epoch,
                batch,
                self.accelerator.device,
                settings.views,
                settings.hiding,
                width=self.learner.model.config.backbone.width,
                rows=slice(int(edges[i]), int(edges[i + 1])),
            )
            for i in range(first, first + settings.accumulate)
        ]

    def _learn(self, step: int, steps: int) -> StepNumbers:
        return self.learner.step(self._parts(step), step, steps)

    def _train(self) -> bool:
        """Train until the end, the deadline or a signal; True when all steps were made."""
        saved = time.monotonic()
        with (
            StopRequest().listening() as stop,
            StepProgress("pretrain", self.steps, self.step, shown=self.main) as progress,
        ):
            while self.step < self.steps:
                numbers = self._learn(self.step, self.steps)
                self.step += 1
                if self.step % LOG_EVERY == 0 or self.step == self.steps:
                    self._log(numbers)
                progress.advance(self.sampler.batch_bases(*self._batch_of(self.step - 1)))
                if self._check_due():
                    self._refuse_not_finite(numbers)
                    self._report(self._check())
                stopping, late = self._any_rank(stop.asked, self._out_of_time())
                due = time.monotonic() - saved > 60 * self.settings.checkpoint_minutes
                if stopping or late or due:
                    self._refuse_not_finite(numbers)
                    self._save()
                    saved = time.monotonic()
                if stopping:
                    raise KeyboardInterrupt
                if late:
                    return self.step == self.steps
        self._save()
        return True

    def _check_due(self) -> bool:
        """Whether one of the checks, of which the last is the closing one, follows this step."""
        before, now = (step * self.plan.checks // self.steps for step in (self.step - 1, self.step))
        return before < now and self.step < self.steps

    def _out_of_time(self) -> bool:
        examiner = self.examiner
        checks = closing_checks(self.plan.final_bases, self.settings.validation)
        closing = examiner.measuring + examiner.seconds * checks
        return time.monotonic() > self.deadline - closing

    def _any_rank(self, *asked: bool) -> tuple[bool, ...]:
        """What any rank asks for, told to all at the same step; on a GPU, which waits for the
        answer, now and then.
        """
        if self.accelerator.num_processes == 1:
            return asked
        if self.accelerator.device.type != "cpu" and self.step % LOG_EVERY:
            return (False,) * len(asked)
        votes = torch.tensor(asked, dtype=torch.float32, device=self.accelerator.device)
        return tuple((total(self.accelerator, votes) > 0).tolist())

    def _log(self, numbers: StepNumbers) -> None:
        self._refuse_not_finite(numbers)
        if self.main:
            self.metrics.write(
                step=self.step,
                masked_loss=numbers.masked_loss,
                train_distillation_loss=numbers.distillation_loss,
                gradient_norm=numbers.gradient_norm,
                learning_rate=numbers.rate,
                momentum=numbers.momentum,
                seconds=time.monotonic() - self.began,
            )

    def _refuse_not_finite(self, numbers: StepNumbers) -> None:
        """Raise before anything bad reaches a check or the disk.

        A loss can be finite and the step it led to not, so that the weights are looked at too.
        """
        seen = (numbers.masked_loss, numbers.distillation_loss, numbers.gradient_norm)
        finite = all(math.isfinite(float(number)) for number in seen)
        if not finite or not all(p.isfinite().all() for p in self.learner.model.parameters()):
            raise self._diverged()

    def _diverged(self) -> NonFiniteLoss:
        folder = self.run.folder
        kept = f"; the checkpoint of an earlier step is kept in {folder / 'checkpoints'}"
        return NonFiniteLoss(
            f"{folder}: the loss is not finite at step {self.step}"
            f"{kept if can_go_on(folder) else ''}\n"
            "  try a lower --learning-rate, or --precision fp32"
        )

    def _check(self, closing_bases: int = 0) -> Figures:
        """What is found on the way, or at the end on so many bases."""
        examiner = self.examiner
        try:
            found = examiner.close(closing_bases) if closing_bases else examiner.figures()
        except FloatingPointError:
            raise self._diverged() from None
        return {"step": self.step, **found}

    def _report(self, numbers: Figures) -> str:
        text = verdict(numbers, distilling=self.settings.distillation.distillation_weight > 0)
        if self.main:
            self.metrics.write(**numbers, verdict=text, seconds=time.monotonic() - self.began)
            log.info(
                f"step {self.step}: held-out MASK-only loss {numbers['mask_loss']:.4f}; {text}"
            )
        return text

    def _save(self) -> None:
        if not self.main:
            return
        numbers = {
            "step": self.step,
            "plan": asdict(self.plan),
            "precision": self.precision,
            "reference": asdict(self.examiner.reference),
            "seconds": time.monotonic() - self.began,
        }
        save_checkpoint(self.run, self.learner.state(), numbers)

    def _resume(self) -> dict[str, Any]:
        # Read once: other machines need not see the folder.
        read = load_checkpoint(self.run) if self.main else ({}, {})
        tensors, numbers = agreed(self.accelerator, read)
        self.learner.load_state(tensors)
        self.step = int(numbers["step"])
        self.began -= numbers.get("seconds", 0.0)  # an older checkpoint does not tell
        self.precision = numbers["precision"]
        self.learner.precision = self.precision
        if self._timed():
            # The first start fixed the steps, and with them the schedules: the resumed run makes
            # what is left of them.
            self.deadline = math.inf
        return numbers

    def _finish(self, finished: bool) -> PretrainResult:
        """The closing check on more windows and at other lengths, then the model folder."""
        numbers = self._check(self.plan.final_bases)
        text = self._report(numbers)
        if self.main:
            self._write_model(numbers, finished)
        self.accelerator.wait_for_everyone()
        return PretrainResult(self.run.folder, self.step, self.steps, finished, numbers, text)

    def _write_model(self, numbers: Mapping[str, Any], finished: bool) -> None:
        name, network = self.examiner.kept(numbers)
        sampling, read = self.settings.sampling, self.settings.views.cropped_length
        seen = sum(self.sampler.batch_bases(*self._batch_of(step)) for step in range(self.step))
        network.provenance = {
            "genome": self.genome.source,
            "genome_digest": self.genome.digest,
            "placing": self.genome.placing,
            "sampling": sampling.model_dump(mode="json", exclude={"include", "exclude"}),
            "held_out": self.split.how,
            "held_out_chromosomes": list(self.split.validation_chroms),
            "held_out_known_before": self.known_before,
            "trained_lengths": [read(sampling.shortest), read(sampling.window)],
            **{name: str(bed) for name, bed in sampling.beds.items()},
            "bed_digests": digests_of_beds(sampling),
            "network": name,
            "steps": self.step,
            "planned_steps": self.steps,
            "finished": finished,
            "bases_seen": seen,
            "seed": self.settings.seed,
            "mask_loss": round(float(numbers["mask_loss"]), 5),
            "letter_entropy": round(float(numbers["letter_entropy"]), 5),
            "markov_loss": round(float(numbers["markov_loss"]), 5),
            "continued_from": dict(self.learner.model.pretraining) or None,
        }
        network.save(self.run.model, overwrite=True)
