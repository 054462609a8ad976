"""Pretraining: from a genome to a model, one straight line, stopped and resumed anywhere."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from findna.data.batches import PretrainBatch, make_batch
from findna.data.windows import SamplingSettings, Split, WindowSampler, split_genome
from findna.files import BadInput, FindnaError, file_digest, log
from findna.inference.precision import resolve_precision
from findna.inference.progress import StepProgress
from findna.model.model import PRESETS, Model, load_model, new_model
from findna.sequence.genome import Genome
from findna.training.engine import open_engine, total
from findna.training.recipes import PretrainSettings, seconds
from findna.training.run_state import (
    CLOSING_KEY,
    MetricsLog,
    Run,
    load_checkpoint,
    open_run,
    save_checkpoint,
)
from findna.training.self_distillation import SelfDistillation, StepNumbers
from findna.training.validation import (
    HeldOut,
    MaskedScore,
    Reference,
    ValidationSettings,
    health,
    held_out,
    masked_score,
    reference,
    verdict,
)

TIMED_STEPS = 20
LOG_EVERY = 20
# Largest shares of a time budget for the checks on the way and for the closing ones.
CHECKING, CLOSING = 0.1, 0.15
EXTRA_LENGTHS = (70, 101, 300, 500, 1000)


class LossNotFinite(FindnaError):
    """The run diverged; the last good checkpoint is kept."""

    exit_code = 3


@dataclass(frozen=True)
class PretrainResult:
    """What a run ended with. ``metrics`` are those of the last check."""

    folder: Path
    steps: int
    planned_steps: int
    finished: bool
    metrics: dict[str, Any]
    verdict: str


def pretrain(
    genome: Genome | str | Path | Sequence[str | Path],
    output: str | Path,
    settings: PretrainSettings | Mapping[str, Any] | None = None,
    *,
    start_from: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> PretrainResult:
    """Pretrain a model on a genome: restore hidden bases and, where it has a weight, agree with a
    teacher.

    Args:
        genome: FASTA files, or an opened genome.
        output: the run folder.
        settings: resolved settings, or a mapping of those that differ from the preset's recipe.
        start_from: a model whose weights to continue from (a new species, a task's unlabelled
            sequences).
        device: auto, cpu, cuda or mps.
        resume: go on from the last checkpoint of ``output``; 2n steps equal n steps, stop, resume,
            n steps.
        overwrite: replace an existing run.

    Raises:
        BadInput: what a user can mend, with file and remedy.
        LossNotFinite: the last good checkpoint is kept.
        KeyboardInterrupt: after a checkpoint was written.
    """
    began = time.monotonic()
    if not isinstance(settings, PretrainSettings):
        settings = PretrainSettings.resolve({**preset_of(start_from), **(settings or {})})
    accelerator = open_engine(device)
    genome = genome if isinstance(genome, Genome) else Genome.open(genome)
    model = _start(settings, start_from)
    # Not by the run's seed: a model that is continued under another seed must not train on what it
    # was validated on.
    split = split_genome(genome, settings.sampling)
    log.info(split.text)
    _check_parts(settings, accelerator.num_processes)
    job = _Job(settings, genome, split, model, accelerator, began)
    described = _described(settings, genome, start_from)
    # Only now, when nothing the user gave can be wrong any more, is a folder made or replaced.
    return job.work(_open(accelerator, output, described, overwrite=overwrite, resume=resume))


def preset_of(start_from: str | Path | None) -> dict[str, str]:
    """The preset of the model that is continued, whose recipe fits it; none for other shapes."""
    preset = "custom" if start_from is None else load_model(start_from).config.preset
    return {"preset": preset} if preset in PRESETS else {}


def _start(settings: PretrainSettings, start_from: str | Path | None) -> Model:
    if start_from is None:
        preset = PRESETS[settings.preset]
        head = preset.projection.model_copy(update={"kind": settings.head})
        return new_model(preset.model_copy(update={"projection": head}), settings.seed)
    model = load_model(start_from)
    _refuse_other_shape(settings, model, start_from)
    if model.config.task is None:
        return model
    bare = new_model(model.config.model_copy(update={"task": None}), settings.seed)
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith("task_head.")}
    bare.load_state_dict(weights)
    bare.provenance = model.provenance
    return bare


def _refuse_other_shape(settings: PretrainSettings, model: Model, source: str | Path) -> None:
    """A preset or head that was asked for is another shape than that of the weights."""
    shape = {"preset": model.config.preset, "head": model.config.projection.kind}
    for name, has in shape.items():
        asked, usual = getattr(settings, name), PretrainSettings.model_fields[name].default
        # A shape of one's own goes by the recipe of the usual preset.
        unnamed = has == "custom" and asked == usual
        if name in settings.model_fields_set and asked != has and not unnamed:
            raise BadInput(
                f"{name} {asked} is asked for, and {source} has {name} {has}",
                remedy=f"leave --{name} away, the shape comes from --from; settings of a recipe"
                " can be given one by one",
            )


def _check_parts(settings: PretrainSettings, processes: int) -> None:
    pieces, sampling = processes * settings.accumulate, settings.sampling
    if sampling.batch_bases // sampling.window < pieces:
        raise BadInput(
            f"a batch of {sampling.batch_bases:,} bases has fewer windows of {sampling.window} bp"
            f" than there are parts ({pieces} = processes x accumulate)",
            remedy="use a larger --batch-bases or a smaller --window",
        )


def _described(
    settings: PretrainSettings, genome: Genome, start_from: str | Path | None
) -> dict[str, Any]:
    return {
        "verb": "pretrain",
        "genome": {"source": genome.source, "digest": genome.digest, "bases": int(genome.total)},
        "start_from": str(start_from) if start_from else None,
        **_digests_of_beds(settings.sampling),
        "settings": settings.model_dump(mode="json"),
    }


def _digests_of_beds(sampling: SamplingSettings) -> dict[str, str]:
    """What the BED files say, which decide with the seed what is held out: a run that is resumed
    must find the same.
    """
    named = {"include": sampling.include, "exclude": sampling.exclude}
    return {name: file_digest(path) for name, path in named.items() if path is not None}


def _open(
    accelerator: Accelerator, output: str | Path, described: dict[str, Any], **how: bool
) -> Run:
    """The first rank makes the folder, the others wait and look."""
    folder = Path(output)
    if accelerator.is_main_process:
        run = open_run(folder, settings=described, device=accelerator.device, **how)
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        run = Run(folder, how["resume"] and (folder / "checkpoints" / "last").is_dir())
    return run


class _StopRequest:
    """Ctrl-C and SIGTERM ask; the loop stops after the step. A second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        log.info("stopping after this step; the checkpoint will be saved")

    @contextmanager
    def listening(self) -> Iterator[_StopRequest]:
        """Handle the signals inside the block, in the main thread."""
        try:
            before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: somebody else owns the signals
            before = {}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(frozen=True)
class Plan:
    """What a run will do, fixed at its start: steps, checks on the way, bases of the last check."""

    steps: int
    checks: int
    final_bases: int


def _closing_checks(final_bases: int, validation: ValidationSettings) -> float:
    """Work of the closing checks, at the window's and at other lengths, in units of a check."""
    return final_bases / validation.bases * (1 + len(EXTRA_LENGTHS) / 4)


class _Job:
    """One run: its data, its networks and its clock; what can be refused is when it is made."""

    def __init__(
        self,
        settings: PretrainSettings,
        genome: Genome,
        split: Split,
        model: Model,
        accelerator: Accelerator,
        began: float,
    ) -> None:
        self.settings, self.genome, self.split = settings, genome, split
        self.accelerator, self.began = accelerator, began
        self.main = accelerator.is_main_process
        self.precision: Literal["fp32", "bf16"] = resolve_precision(
            settings.precision, accelerator.device
        )
        self.sampler = WindowSampler(genome, split.train, settings.sampling, settings.seed)
        self.validation = self._held_out(settings.sampling.window, settings.validation.bases)
        self.learner = SelfDistillation(
            model, settings.distillation, accelerator, self.precision, settings.compile
        )
        self.batches_an_epoch = max(1, _bases(split.train) // settings.sampling.batch_bases)
        self.step = 0
        self.deadline = began + seconds(settings.budget or "30m") if self._timed() else math.inf
        self.check_seconds = 0.0

    @property
    def steps(self) -> int:
        """Steps that the run will have made at its end."""
        return self.plan.steps

    def work(self, run: Run) -> PretrainResult:
        """Plan, train, check, and write the model."""
        self.run = run
        state = self._resume() if self.run.resumed else {}
        self.reference = (
            Reference(**state["reference"])
            if state
            else reference(self.genome, self.split.train, self.validation)
        )
        self.plan = Plan(**state["plan"]) if state else self._plan()
        self._say_plan()
        self.metrics = MetricsLog(self.run.metrics, self.step if self.run.resumed else None)
        self._save()
        finished = self._train()
        return self._finish(finished)

    def _held_out(self, length: int, bases: int) -> HeldOut:
        return held_out(
            self.genome,
            self.split.validation,
            length=length,
            bases=bases,
            hidden=self.settings.validation.hidden,
            max_n=self.settings.sampling.max_n,
            seed=self.settings.seed,
        )

    def _plan(self) -> Plan:
        """What the settings ask for; a time budget is turned into steps after timing some."""
        settings, validation = self.settings, self.settings.validation
        final_bases = min(validation.final_bases, _bases(self.split.validation))
        if settings.steps is not None:
            return Plan(settings.steps, validation.checks, final_bases)
        if settings.epochs is not None:
            steps = max(1, round(settings.epochs * self.batches_an_epoch))
            return Plan(steps, validation.checks, final_bases)
        step_time, check_time, left = self._timings()
        checks = max(1, min(validation.checks, int(CHECKING * left / check_time)))
        affordable = CLOSING * left / check_time / _closing_checks(validation.bases, validation)
        final_bases = min(final_bases, max(validation.bases, int(affordable * validation.bases)))
        left -= check_time * (checks + _closing_checks(final_bases, validation))
        return Plan(max(TIMED_STEPS, int(left / step_time)), checks, final_bases)

    def _timings(self) -> tuple[float, float, float]:
        """Seconds of a step, of a check, and left; means over ranks, so that all plan alike."""
        step_time, check_time = self._time_steps()
        here = torch.tensor([step_time, check_time, self.deadline - time.monotonic()])
        mean = total(self.accelerator, here.to(self.accelerator.device))
        step_time, check_time, left = (mean / self.accelerator.num_processes).tolist()
        return step_time, check_time, left

    def _timed(self) -> bool:
        return self.settings.steps is None and self.settings.epochs is None

    def _time_steps(self) -> tuple[float, float]:
        """Seconds of a step and of a check, measured on steps that are then undone."""
        before = {k: v.detach().clone() for k, v in self.learner.state().items()}
        for step in range(TIMED_STEPS):
            if step == TIMED_STEPS // 4:
                warm = time.monotonic()  # the first steps pay for allocations and caches
            self._learn(step, 10 * TIMED_STEPS)
        self._synchronise()
        step_time = (time.monotonic() - warm) / (TIMED_STEPS - TIMED_STEPS // 4)
        checked = time.monotonic()
        self._check(self.validation)
        check_time = time.monotonic() - checked
        self.learner.load_state(before)
        return step_time, check_time

    def _synchronise(self) -> None:
        if self.accelerator.device.type == "cuda":
            torch.cuda.synchronize()

    def _say_plan(self) -> None:
        if not self.main:
            return
        seen = self.steps * self.settings.sampling.batch_bases
        log.info(
            f"{self.learner.model.parameters_count:,} parameters, {self.steps:,} steps of about"
            f" {self.settings.sampling.batch_bases:,} bases ({seen / 1e6:,.1f} Mb) on"
            f" {self.accelerator.device} in {self.precision}"
            f"{', compiled' if self.learner.compiled else ''}"
        )
        found = self.reference
        log.info(
            f"to beat on held-out DNA: letters {found.letter_entropy:.4f}, two-sided Markov model"
            f" (k = {found.markov_k}) {found.markov_loss:.4f} nats a base"
        )

    def _parts(self, step: int) -> list[PretrainBatch]:
        """This rank's parts of the batch of ``step``."""
        epoch, batch = divmod(step, self.batches_an_epoch)
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
        check_every = max(1, self.steps // self.plan.checks)
        saved = time.monotonic()
        with (
            _StopRequest().listening() as stop,
            StepProgress("pretrain", self.steps, self.step, shown=self.main) as progress,
        ):
            while self.step < self.steps:
                numbers = self._learn(self.step, self.steps)
                self.step += 1
                if self.step % LOG_EVERY == 0 or self.step == self.steps:
                    self._log(numbers)
                progress.advance(self.settings.sampling.batch_bases)
                if self.step % check_every == 0 and self.step < self.steps:
                    self._refuse_not_finite(numbers)
                    self._report(self._check(self.validation))
                if stop.asked:
                    self._refuse_not_finite(numbers)
                    self._save()
                    raise KeyboardInterrupt
                if time.monotonic() - saved > 60 * self.settings.checkpoint_minutes:
                    self._refuse_not_finite(numbers)
                    self._save()
                    saved = time.monotonic()
                if self._out_of_time():
                    self._refuse_not_finite(numbers)
                    self._save()
                    return False
        self._save()
        return True

    def _out_of_time(self) -> bool:
        closing = _closing_checks(self.plan.final_bases, self.settings.validation)
        late = time.monotonic() > self.deadline - self.check_seconds * closing
        if self.accelerator.num_processes == 1:
            return late
        if self.step % LOG_EVERY:
            return False
        votes = torch.tensor(float(late), device=self.accelerator.device)
        return bool(total(self.accelerator, votes) > 0)

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

    def _diverged(self) -> LossNotFinite:
        return LossNotFinite(
            f"{self.run.folder}: the loss is not finite at step {self.step}; the checkpoint of an"
            f" earlier step is kept in {self.run.folder / 'checkpoints'}\n"
            "  try a lower --learning-rate, or --precision fp32"
        )

    def _check(self, data: HeldOut) -> dict[str, Any]:
        """Masked score of both networks on ``data``, and the health figures. Changes nothing."""
        start = time.monotonic()
        learner, settings = self.learner, self.settings
        learner.model.eval()
        student = masked_score(learner.model, data, precision=self.precision)
        teacher = masked_score(learner.teacher.network, data, precision=self.precision)
        if not math.isfinite(student.loss + teacher.loss):
            raise self._diverged()
        figures = health(
            learner.model,
            learner.teacher.network,
            data,
            student_temperature=settings.distillation.student_temperature,
            precision=self.precision,
            target=settings.distillation.target,
        )
        learner.model.train()
        self.check_seconds = time.monotonic() - start
        better = min(student, teacher, key=lambda score: score.loss)
        return {
            "step": self.step,
            "mask_loss": better.loss,
            "mask_accuracy": better.accuracy,
            "mask_loss_low": better.low,
            "mask_loss_high": better.high,
            "mask_count": better.count,
            "student_mask_loss": student.loss,
            "teacher_mask_loss": teacher.loss,
            **asdict(self.reference),
            **figures,
        }

    def _report(self, numbers: dict[str, Any]) -> str:
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
            "reference": asdict(self.reference),
        }
        save_checkpoint(self.run, self.learner.state(), numbers)

    def _resume(self) -> dict[str, Any]:
        tensors, numbers = load_checkpoint(self.run)
        self.learner.load_state(tensors)
        self.step = int(numbers["step"])
        self.precision = numbers["precision"]
        self.learner.precision = self.precision
        if self._timed():
            # The first start fixed the steps, and with them the schedules: the resumed run makes
            # what is left of them.
            self.deadline = math.inf
        return numbers

    def _finish(self, finished: bool) -> PretrainResult:
        """The closing check on more windows and at other lengths, then the model folder."""
        closing = self._held_out(
            self.settings.sampling.window,
            self.plan.final_bases,
        )
        self.reference = reference(self.genome, self.split.train, closing)
        numbers = self._check(closing)
        numbers[CLOSING_KEY] = self._by_length()
        text = self._report(numbers)
        if self.main:
            self._write_model(numbers, finished)
        self.accelerator.wait_for_everyone()
        return PretrainResult(self.run.folder, self.step, self.steps, finished, numbers, text)

    def _better(self, numbers: Mapping[str, Any]) -> tuple[str, Model]:
        if numbers["teacher_mask_loss"] <= numbers["student_mask_loss"]:
            return "teacher", self.learner.teacher.network
        return "student", self.learner.model

    def _by_length(self) -> dict[str, dict[str, float]]:
        """MASK-only loss at other window lengths, of the network that is kept."""
        scores: dict[str, dict[str, float]] = {}
        bases = self.plan.final_bases // 4
        for length in EXTRA_LENGTHS:
            try:
                data = self._held_out(length, bases)
            except (
                BadInput
            ):  # the held-out runs are shorter than this length: nothing to say about it
                continue
            pair = [
                masked_score(network, data, precision=self.precision)
                for network in (self.learner.model.eval(), self.learner.teacher.network)
            ]
            best: MaskedScore = min(pair, key=lambda score: score.loss)
            scores[str(length)] = {"loss": best.loss, "low": best.low, "high": best.high}
        return scores

    def _write_model(self, numbers: Mapping[str, Any], finished: bool) -> None:
        name, network = self._better(numbers)
        sampling = self.settings.sampling
        shortest = sampling.window if sampling.one_length else sampling.min_window
        network.provenance = {
            "genome": self.genome.source,
            "genome_digest": self.genome.digest,
            "held_out": self.split.how,
            "held_out_chromosomes": list(self.split.validation_chroms),
            "trained_lengths": [shortest, sampling.window],
            **{
                name: str(bed)
                for name, bed in (("include", sampling.include), ("exclude", sampling.exclude))
                if bed
            },
            "network": name,
            "steps": self.step,
            "planned_steps": self.steps,
            "finished": finished,
            "bases_seen": self.step * sampling.batch_bases,
            "seed": self.settings.seed,
            "mask_loss": round(float(numbers["mask_loss"]), 5),
            "letter_entropy": round(float(numbers["letter_entropy"]), 5),
            "markov_loss": round(float(numbers["markov_loss"]), 5),
            "continued_from": self.learner.model.provenance.get("genome_digest"),
        }
        network.save(self.run.model, overwrite=True)


def _bases(runs: NDArray[np.int64]) -> int:
    return int((runs[:, 1] - runs[:, 0]).sum())
