"""Pretraining: from a genome to a model, one straight line, stopped and resumed anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from findna.data.batches import PretrainBatch, make_batch
from findna.data.holdout import Split, split_genome
from findna.data.sampling import digests_of_beds
from findna.data.windows import WindowSampler
from findna.files import BadInput, log, refuse_stream
from findna.inference.precision import ResolvedPrecision, resolve_precision
from findna.inference.progress import StepProgress
from findna.model.model import Model
from findna.sequence.genome import Genome
from findna.sequence.intervals import bases_in, intersect
from findna.sequence.regions import RegionHeaders
from findna.training.engine import agreed, open_engine, total
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
    open_run,
    refuse_start,
    save_checkpoint,
    until,
)
from findna.training.seen import pretraining_of, seen_part
from findna.training.self_distillation import SelfDistillation, StepNumbers
from findna.training.starting import preset_of, starting_model
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


def pretrain(
    genome: Genome | str | Path | Sequence[str | Path],
    output: str | Path,
    settings: PretrainSettings | Mapping[str, Any] | None = None,
    *,
    regions: RegionHeaders | str | Path = "auto",
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
        settings: resolved settings, or a mapping of those that differ from the preset's recipe. A
            budget counts from here on, the indexing of FASTA files included.
        regions: how FASTA files of cut regions are placed, as for `Genome.open`.
        start_from: a model whose weights to continue from (a new species, a task's unlabelled
            sequences).
        device: auto, cpu, cuda or mps.
        resume: go on from the last checkpoint of ``output``; 2n steps equal n steps, stop, resume,
            n steps.
        overwrite: replace an existing run.

    Raises:
        BadInput: what a user can mend, with file and remedy.
        NonFiniteLoss: the last good checkpoint is kept.
        KeyboardInterrupt: after a checkpoint was written.
    """
    began = time.monotonic()
    if not isinstance(settings, PretrainSettings):
        settings = PretrainSettings.resolve({**preset_of(start_from), **(settings or {})})
    accelerator = open_engine(device)
    if accelerator.is_main_process:
        refuse_start(Path(output), overwrite=overwrite, resume=resume)
    genome = _genome(accelerator, genome, regions)
    model = starting_model(settings, start_from)
    # Not by the run's seed: a model that is continued under another seed must not train on what it
    # was validated on. Under other settings it may, which is said.
    split = split_genome(genome, settings.sampling)
    log.info(split.text)
    known = _known_before(genome, split, start_from)
    _check_parts(settings, accelerator.num_processes)
    job = _Job(settings, genome, split, known, model, accelerator, began)
    described = _described(settings, genome, start_from)
    # Only now, when nothing the user gave can be wrong any more, is a folder made or replaced.
    with _opened(accelerator, output, described, overwrite=overwrite, resume=resume) as run:
        return job.work(run)


def _genome(
    accelerator: Accelerator,
    genome: Genome | str | Path | Sequence[str | Path],
    regions: RegionHeaders | str | Path,
) -> Genome:
    """The genome, the same for all ranks."""
    if not isinstance(genome, Genome):
        if accelerator.num_processes > 1:
            for path in [genome] if isinstance(genome, str | Path) else genome:
                refuse_stream(path, f"pretraining in {accelerator.num_processes} processes")
        genome = Genome.open(genome, regions=regions)
    if agreed(accelerator, genome.digest) != genome.digest:
        raise BadInput(
            f"is another genome for process {accelerator.process_index} than for the first",
            file=genome.source,
            remedy="let all processes read the same files",
        )
    return genome


def _known_before(genome: Genome, split: Split, start_from: str | Path | None) -> int | None:
    """Held-out bases that the weights which are continued were trained on, said aloud; None without
    such weights.
    """
    if start_from is None:
        return None
    before = pretraining_of(start_from)
    if not before.on(genome):
        return 0
    seen, held = seen_part(genome, before), bases_in(split.validation)
    known = bases_in(intersect(split.validation, seen.runs))
    if known:
        log.warning(
            "%s of %s held-out bases taught %s, which goes on here (%s): their loss flatters; hold "
            "out what it held out (--validation-chroms, or the same --window)",
            f"{known:,}", f"{held:,}", start_from, seen.note,
        )  # fmt: skip
    return known


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
    cased = settings.sampling.soft_mask != "keep"
    return {
        "verb": "pretrain",
        "genome": {
            "source": genome.source,
            "digest": genome.digest,
            "bases": int(genome.total),
            **({"placing": genome.placing} if genome.mapped else {}),
            **({"soft_masking": genome.soft_masking} if cased else {}),
        },
        "start_from": str(start_from) if start_from else None,
        **digests_of_beds(settings.sampling),
        "settings": settings.model_dump(mode="json"),
    }


@contextmanager
def _opened(
    accelerator: Accelerator, output: str | Path, described: dict[str, Any], **how: bool
) -> Iterator[Run]:
    """The first rank makes the folder and holds it; the others hear whether the run goes on."""
    with ExitStack() as held:
        resumed = False
        if accelerator.is_main_process:
            run = open_run(output, settings=described, device=accelerator.device, **how)
            resumed = held.enter_context(run).resumed
        yield Run(Path(output), agreed(accelerator, resumed))


class _Job:
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
                "a budget of %s leaves time for few steps: a model learns little in fewer than some"
                " hundreds; give it more time, a smaller --preset or smaller --batch-bases",
                self.settings.budget,
            )
        found = self.examiner.reference
        log.info(
            f"to beat on held-out DNA: letters {found.letter_entropy:.4f}, two-sided Markov model"
            f" (k = {found.markov_k}) {found.markov_loss:.4f} nats a base"
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
