"""Fine-tuning: from labelled sequences and a model to a model that answers, honestly judged.

With a test split: the epoch, the strand and the threshold are chosen on validation rows, the test
split is read once, at the end. Without one: repeated stratified cross-validation, in which every
choice is made inside each fold on rows that are not judged; then the model is fitted to all rows
with what the folds chose. A validation score is never reported as performance.

Probabilities are calibrated on rows that the network did not learn from: the out-of-fold rows of
cross-validation, else the validation rows, which have chosen the epoch before and are so a little
too kind. Decisions stay as they were.

    predictions.tsv   one row per judged row: id, row, label, prediction, probabilities
    confusion.tsv     labels in rows, answers in columns
    metrics.json      metrics with intervals, sizes, and what was chosen
    metrics.jsonl     the learning curve: one line an epoch
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from findna.data.labelled import LabelledData, LabelledSplit, read_labelled
from findna.data.splits import (
    Fold,
    groups_of,
    identical_up_to_strand,
    parted,
    planned_folds,
)
from findna.files import BadInput, log, write_json
from findna.inference.precision import resolve_precision
from findna.inference.predict import Strand, scores_of
from findna.inference.progress import StepProgress
from findna.inference.rows import LengthWarning
from findna.metrics import Answers
from findna.model.heads import TaskConfig
from findna.model.model import PRESETS, Model, load_model, new_model
from findna.sequence.genome import Genome
from findna.training.calibration import (
    OutOfFold,
    calibrate,
    cross_fitted,
    in_words,
    prevalence_of,
)
from findna.training.engine import open_engine
from findna.training.fit import FinetuneSettings, Fit, NonFiniteLoss, fit, logits_of, retasked
from findna.training.judgement import RESAMPLES, Judgement, write_table
from findna.training.run_state import MetricsLog, Run, open_run

__all__ = ["FinetuneResult", "FinetuneSettings", "finetune"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FinetuneResult:
    """What a run ended with; `metrics` is what metrics.json holds."""

    folder: Path
    model: Model
    metrics: dict[str, Any]


def finetune(
    data: LabelledData | str | Path,
    output: str | Path,
    *,
    model: Model | str | Path = "tiny",
    settings: FinetuneSettings | None = None,
    genome: Genome | str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> FinetuneResult:
    """Fine-tune a model on labelled sequences and judge it.

    Args:
        data: labelled data, or a folder or file that `data.labelled.read_labelled` reads.
        output: the run folder.
        model: a model, its folder or run, or the name of a preset for random weights.
        settings: what to do; defaults if None.
        genome: FASTA or opened genome for labelled intervals.
        device: auto, cpu, cuda or mps.
        overwrite: replace an existing run.

    Raises:
        BadInput: what a user can mend, with file, row and remedy.
        NonFiniteLoss: the best weights so far are kept in checkpoints/last-good.
    """
    settings = settings or FinetuneSettings()
    where = _one_device(device)
    genome = Genome.open(genome) if isinstance(genome, str | Path) else genome
    if not isinstance(data, LabelledData):
        data = read_labelled(data, genome=genome, settings=settings)
    job = _Job(data, _start(model, settings.seed), settings, where)
    described = {
        "verb": "finetune",
        "data": data.source,
        "model": "a model in memory" if isinstance(model, Model) else str(model),
        "settings": settings.model_dump(mode="json"),
    }
    # Only now, when nothing the user gave can be wrong any more, is a folder made or replaced.
    run = open_run(output, settings=described, device=where, overwrite=overwrite)
    return job.work(run)


def _one_device(device: str) -> torch.device:
    engine = open_engine(device)
    if engine.num_processes > 1:
        raise BadInput(
            f"fine-tuning runs in one process, not in {engine.num_processes}",
            remedy="start it without torchrun, one run for each device",
        )
    return engine.device if device == "auto" else torch.device(device)


def _start(model: Model | str | Path, seed: int) -> Model:
    if isinstance(model, Model):
        return model
    if str(model) in PRESETS and not Path(model).exists():
        log.info("random initialisation of preset %s: nothing was pretrained", model)
        return new_model(str(model), seed)
    return load_model(model)


class _Job:
    """One run: data, start, settings and device; what can be refused is refused when it is made."""

    def __init__(
        self, data: LabelledData, start: Model, settings: FinetuneSettings, device: torch.device
    ) -> None:
        self.data, self.start, self.settings, self.device = data, start, settings, device
        self.precision: Literal["fp32", "bf16"] = resolve_precision(settings.precision, device)
        if settings.class_weights == "balanced" and data.kind not in ("binary", "multiclass"):
            raise BadInput(
                f"a {data.kind} task has no classes to balance", remedy="use --class-weights none"
            )
        self.rows = data.splits["train"]
        self.has_test = "test" in data.splits
        if not self.has_test and "dev" in data.splits:
            log.info("no test split: dev rows join the training rows in cross-validation")
            self.rows = self.rows.and_then(data.splits["dev"])
        self.groups = groups_of(self.rows)
        self.folds = [] if self.has_test or not settings.folds else self._planned_folds()
        LengthWarning(start).look_at(self.rows.lengths)

    def _planned_folds(self) -> list[Fold]:
        return planned_folds(
            self.data,
            self.rows,
            self.groups,
            folds=self.settings.folds,
            repeats=self.settings.repeats,
            seed=self.settings.seed,
        )

    def work(self, run: Run) -> FinetuneResult:
        """Train, judge, and write the folder."""
        self.log = MetricsLog(run.metrics)
        # The last run of a cross-validation is on all rows with one strand.
        rounds = len(self.folds) * len(self._strands()) + (
            1 if self.folds else len(self._strands())
        )
        why = "; strand auto trains both ways" if self.settings.strand == "auto" else ""
        log.info("training runs: %d of %d epochs each%s", rounds, self.settings.epochs, why)
        with StepProgress("epoch", rounds * self.settings.epochs) as self.progress:
            try:
                chosen, judgement = self._with_test() if self.has_test else self._with_folds()
            except NonFiniteLoss as error:
                _keep_last_good(error, run)
                raise
        metrics = self._described(chosen, judgement)
        self._write(run, chosen, judgement, metrics)
        return FinetuneResult(run.folder, chosen.model, metrics)

    # -------------------------------------------------------- learning and choosing

    def _strands(self) -> tuple[Strand, ...]:
        strand = self.settings.strand
        return ("both", "forward") if strand == "auto" else (strand,)

    def _choose(self, train: LabelledSplit, valid: LabelledSplit, **stage: Any) -> Fit:
        """The best fit on validation rows over the strands that are open.

        The first among equals.
        """
        fits = [self._fit(train, valid, strand, **stage) for strand in self._strands()]
        return max(fits, key=lambda each: each.score)

    def _fit(
        self,
        train: LabelledSplit,
        valid: LabelledSplit | None,
        strand: Strand,
        *,
        stop_after: int | None = None,
        **stage: Any,
    ) -> Fit:
        def note(**numbers: Any) -> None:
            self.log.write(**stage, **numbers)
            self.progress.advance(int(train.lengths.sum()))

        return fit(
            self.start,
            task_for(self.data, train, strand, self.settings),
            train,
            valid,
            self.settings,
            device=self.device,
            precision=self.precision,
            note=note,
            stop_after=stop_after,
        )

    def _parted(self, rows: LabelledSplit, groups: Ints) -> tuple[LabelledSplit, LabelledSplit]:
        """Rows to learn from and rows to choose by."""
        fraction, seed = self.settings.validation_fraction, self.settings.seed
        return parted(rows, groups, self.data.kind, fraction=fraction, seed=seed)

    # -------------------------------------------------------- calibrating

    def _calibrate(self, model: Model, rows: OutOfFold) -> None:
        task, self.calibration = calibrate(_task_of(model), rows)
        model.config = model.config.model_copy(update={"task": task})

    def _held_out(self, model: Model, valid: LabelledSplit) -> OutOfFold:
        """Rows that chose the epoch, the strand and the threshold, but taught nothing."""
        logits = logits_of(model, valid, self.precision)[None]
        return OutOfFold(logits, valid.labels, "validation rows, which also chose the epoch")

    # -------------------------------------------------------- judged by a test split

    def _with_test(self) -> tuple[Fit, Judgement]:
        if "dev" in self.data.splits:
            train, valid = self.rows, self.data.splits["dev"]
        else:
            train, valid = self._parted(self.rows, self.groups)
        chosen = self._choose(train, valid, stage="fit")
        self.sizes = {"train": len(train), "validation": len(valid)}
        plain = _task_of(chosen.model)
        self._calibrate(chosen.model, self._held_out(chosen.model, valid))
        # The first and only time that the test split is touched.
        test = self.data.splits["test"]
        logits = logits_of(chosen.model, test, self.precision)
        scores, shown = scores_of(logits, plain), scores_of(logits, _task_of(chosen.model))
        answers = Answers(plain.kind, plain.classes, test.labels, scores, plain.threshold)
        self.sizes |= {"test": len(test), "test_also_in_train": _shared(test, self.rows)}
        fitted = _task_of(chosen.model).calibration is not None
        protocol, calibrated = "test split, read once at the end", [shown] if fitted else []
        return chosen, Judgement(protocol, test, [answers], test.groups, [], calibrated)

    # -------------------------------------------------------- judged by cross-validation

    def _with_folds(self) -> tuple[Fit, Judgement | None]:
        self.sizes = {"train": len(self.rows), "groups": len(np.unique(self.groups))}
        if not self.folds:
            train, valid = self._parted(self.rows, self.groups)
            self.sizes = {"train": len(train), "validation": len(valid)}
            chosen = self._choose(train, valid, stage="fit")
            self._calibrate(chosen.model, self._held_out(chosen.model, valid))
            return chosen, None
        repeats = max(fold.repeat for fold in self.folds) + 1
        shape = (repeats, len(self.rows))
        scores = np.zeros((*shape, len(self.data.classes)))
        logits = np.zeros((*shape, 1 if self.data.kind == "binary" else len(self.data.classes)))
        thresholds, numbers = np.zeros(shape), np.zeros(shape, np.int64)
        fits = []
        for fold in self.folds:
            here = (fold.repeat, fold.test)
            chosen = self._learned(fold)
            task = _task_of(chosen.model)
            logits[here] = logits_of(chosen.model, self.rows.where(fold.test), self.precision)
            scores[here] = scores_of(logits[here], task)
            thresholds[here], numbers[here] = task.threshold, fold.number
            fits.append(_Choice.of(chosen))
        kind, classes, labels = self.data.kind, self.data.classes, self.rows.labels
        answers = [
            Answers(kind, classes, labels, *pair) for pair in zip(scores, thresholds, strict=True)
        ]
        protocol = (
            f"{int(numbers.max()) + 1}-fold cross-validation repeated {repeats} times, stratified,"
            " groups and near-duplicates kept together, every choice made inside its fold"
        )
        final, rows = self._refitted(fits), OutOfFold(logits, labels, "rows, each by its fold")
        plain = _task_of(final.model)
        self._calibrate(final.model, rows)
        fitted = _task_of(final.model).calibration is not None
        calibrated = list(cross_fitted(plain, rows, numbers)) if fitted else []
        folds = list(numbers)
        return final, Judgement(protocol, self.rows, answers, self.groups, folds, calibrated)

    def _learned(self, fold: Fold) -> Fit:
        inside = self.rows.where(fold.train)
        train, valid = self._parted(inside, self.groups[fold.train])
        return self._choose(
            train, valid, stage="fold", repeat=fold.repeat + 1, fold=fold.number + 1
        )

    def _refitted(self, choices: list[_Choice]) -> Fit:
        """All rows, with the strand most folds chose and their median epoch and threshold."""
        strand = Counter(c.strand for c in choices).most_common(1)[0][0]
        epoch = round(float(np.median([c.epoch for c in choices])))
        final = self._fit(self.rows, None, strand, stop_after=epoch, stage="all rows")
        threshold = float(np.median([c.threshold for c in choices]))
        final.model.config = retasked(final.model, threshold=threshold)
        return final

    # -------------------------------------------------------- what is written

    def _described(self, chosen: Fit, judgement: Judgement | None) -> dict[str, Any]:
        task, seed = _task_of(chosen.model), self.settings.seed
        judged = judgement.metrics(seed) if judgement else {}
        if judgement:
            rows = f"{len(judgement.rows):,} rows"
            log.info("%s, %s, 95 %% intervals in brackets:", judgement.protocol, rows)
        for name, metric in judged.items():
            log.info("%s: %s", name, metric)
        p_values = judgement.p_values(seed) if judgement else {}
        for name, p in p_values.items():
            log.info("%s: permutation p-value %s", name, "undefined" if p is None else f"{p:.4f}")
        honesty = judgement.honesty() if judgement else {}
        log.info("calibration: %s%s", self.calibration, in_words(honesty))
        return {
            "task": {"kind": task.kind, "classes": list(task.classes)},
            "protocol": judgement.protocol if judgement else "not judged: no test split, no folds",
            "rows": self.sizes,
            "metrics": {name: metric.as_dict() for name, metric in judged.items()},
            "permutation_p_values": p_values,
            "calibration": {"what": self.calibration, **honesty},
            "intervals": f"95 % percentile bootstrap, {RESAMPLES} resamples of rows or groups",
            "chosen": {
                "epoch": chosen.epoch,
                "epochs": self.settings.epochs,
                "strand": task.strand,
                "threshold": task.threshold if task.kind == "binary" else None,
            },
            "seed": seed,
        }

    def _write(
        self, run: Run, chosen: Fit, judgement: Judgement | None, metrics: dict[str, Any]
    ) -> None:
        task = _task_of(chosen.model)
        chosen.model.provenance = self._provenance(metrics)
        chosen.model.save(run.model, overwrite=True)
        if judgement:
            write_table(judgement.predictions(task), run.folder / "predictions.tsv")
            table = judgement.confusion()
            if table is not None:
                table.index.name = "label"
                write_table(table, run.folder / "confusion.tsv", index=True)
        write_json(run.folder / "metrics.json", metrics)

    def _provenance(self, metrics: dict[str, Any]) -> dict[str, Any]:
        lengths = self.rows.lengths
        return {
            "task_data": self.data.source,
            "trained_lengths": [int(lengths.min()), int(lengths.max())],
            "trained": self.settings.train,
            "seed": self.settings.seed,
            "protocol": metrics["protocol"],
            "metrics": metrics["metrics"],
            "calibration": self.calibration,
            "started_from": self.start.provenance or "random initialisation",
        }


@dataclass(frozen=True)
class _Choice:
    """What one fold chose on its validation rows."""

    epoch: int
    strand: Strand
    threshold: float

    @staticmethod
    def of(chosen: Fit) -> _Choice:
        task = _task_of(chosen.model)
        return _Choice(chosen.epoch, task.strand, task.threshold)


def _task_of(model: Model) -> TaskConfig:
    if model.config.task is None:
        raise ValueError("the model has no task")
    return model.config.task


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


def _shared(test: LabelledSplit, train: LabelledSplit) -> int:
    """Test rows whose sequence, on either strand, also stands in training; said aloud."""
    number = identical_up_to_strand([*train.codes, *test.codes])
    shared = int(np.isin(number[len(train) :], number[: len(train)]).sum())
    if shared:
        log.warning("%s of %s test rows also stand in training", f"{shared:,}", f"{len(test):,}")
    return shared


def _keep_last_good(error: NonFiniteLoss, run: Run) -> None:
    if error.model is None:
        return
    kept = run.folder / "checkpoints" / "last-good"
    error.model.save(kept, overwrite=True)
    log.warning("the best weights before that are kept in %s", kept)
