"""Fine-tuning: from labelled sequences and a model to a model that answers, honestly judged.

With a test split: what is trained, the epoch, the strand and the threshold are chosen on validation
rows (`training.learning` says which those are), the test split is read once, at the end. Without
one: repeated stratified cross-validation, in which every choice is made inside each fold on rows
that are not judged; then the model is fitted to all rows with what most folds chose. A validation
score is never reported as performance.

Probabilities are calibrated on rows that the network did not learn from: the out-of-fold rows of
cross-validation, else the rows that have chosen before and are so a little too kind. Decisions stay
as they were.

    predictions.tsv   one row per judged row: id, row, label, prediction, probabilities
    confusion.tsv     labels in rows, answers in columns
    metrics.json      metrics with intervals, sizes, and what was chosen
    metrics.jsonl     the learning curve: one line an epoch
    checkpoints/      folds that are finished, behind which a run that was stopped goes on
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.labels import read_labelled
from findna.data.similarity import identical_up_to_strand
from findna.data.splits import (
    Fold,
    groups_of,
    planned_folds,
    refuse_same_rows,
    rows_to_cross,
)
from findna.files import BadInput, log, write_json
from findna.inference.answers import scores_of
from findna.inference.precision import Precision, ResolvedPrecision, resolve_precision
from findna.inference.progress import StepProgress
from findna.inference.rows import LengthWarning
from findna.metrics import Answers
from findna.model.loading import DEFAULT, is_preset, model_or_preset, pick_model
from findna.model.model import Model, weights_digest
from findna.resampling import word_on_groups
from findna.sequence.genome import Genome
from findna.training.calibration import OutOfFold, calibrate, cross_fitted, in_words
from findna.training.choices import Choice, Tried, figures, most_chosen
from findna.training.choices import in_words as words_of_choice
from findna.training.engine import one_device
from findna.training.finetune_settings import FinetuneSettings
from findna.training.fit import logits_of
from findna.training.folds import FoldAnswer, KeptFolds, usual_threshold
from findna.training.judgement import RESAMPLES, Folded, Judgement, write_table
from findna.training.learning import Learned, Learner, trainings
from findna.training.run_state import (
    SETTINGS,
    MetricsLog,
    Run,
    can_go_on,
    described_in,
    open_run,
    refuse_start,
)
from findna.training.stopping import NonFiniteLoss
from findna.training.tasks import task_of

__all__ = ["FinetuneResult", "FinetuneSettings", "finetune"]


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
    model: Model | str | Path | None = None,
    settings: FinetuneSettings | Mapping[str, Any] | None = None,
    genome: Genome | str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> FinetuneResult:
    """Fine-tune a model on labelled sequences and judge it.

    Args:
        data: labelled data, or a folder or file that `data.labels.read_labelled` reads.
        output: the run folder.
        model: a model, its folder, its run or its name, or the name of a preset for random weights;
            None takes the one that comes with findna.
        settings: what to do, or a mapping of what differs from the defaults.
        genome: FASTA or opened genome for labelled intervals.
        device: auto, cpu, cuda or mps.
        resume: go on behind the folds that are finished; the numbers are those of one run.
        overwrite: replace an existing run.

    Raises:
        BadInput: what a user can mend, with file, row and remedy.
        NonFiniteLoss: the best weights so far are kept in checkpoints/last-good.
    """
    settings = FinetuneSettings.of(settings)
    refuse_start(Path(output), overwrite=overwrite, resume=resume)
    where = one_device(device, "fine-tuning")
    precision = _precision(Path(output), settings.precision, where, resume)
    settings = settings.model_copy(update={"precision": precision})
    genome = Genome.of(genome)
    if not isinstance(data, LabelledData):
        data = read_labelled(data, genome=genome, settings=settings)
        refuse_same_rows(data)
    job = _Job(data, _start(model, settings.seed), settings, where)
    described = {
        "verb": "finetune",
        "data": data.source,
        "model": "a model in memory" if isinstance(model, Model) else str(model or DEFAULT),
        "digests": {"model": weights_digest(job.start), "rows": job.rows.digest},
        "settings": settings.model_dump(mode="json"),
    }
    # Only now, when nothing the user gave can be wrong any more, is a folder made or replaced.
    how = {"overwrite": overwrite, "resume": resume}
    with open_run(output, settings=described, device=where, **how) as run:
        return job.work(run)


def _precision(folder: Path, asked: Precision, device: torch.device, resume: bool) -> Precision:
    """A run that goes on computes as it began: how busy a machine is can make another of "auto"."""
    if asked == "auto" and resume and (folder / SETTINGS).is_file():
        asked = described_in(folder).get("settings", {}).get("precision", asked)
    return resolve_precision(asked, device)


def _start(model: Model | str | Path | None, seed: int) -> Model:
    if model is None or isinstance(model, Model):
        return pick_model(model)
    if is_preset(model):
        log.info("random initialisation of preset %s: not pretrained", model)
    return model_or_preset(model, seed)


# Training runs of which one is told how to have fewer.
_MANY_RUNS = 10


def _said(runs: int, epochs: int) -> str:
    """How much training is ahead, in words."""
    if not runs:
        return "training runs: none, only probes"
    fewer = "; fewer with a test split, or with --train probe" if runs > _MANY_RUNS else ""
    return f"training runs: at most {runs:,} of {epochs} epochs each{fewer}"


class _Job:
    """One run: data, start, settings and device; what can be refused is refused when it is made."""

    def __init__(
        self, data: LabelledData, start: Model, settings: FinetuneSettings, device: torch.device
    ) -> None:
        self.data, self.start, self.settings, self.device = data, start, settings, device
        self.precision: ResolvedPrecision = resolve_precision(settings.precision, device)
        if settings.class_weights == "balanced" and data.kind not in ("binary", "multiclass"):
            raise BadInput(
                f"a {data.kind} task has no classes to balance", remedy="use --class-weights none"
            )
        self.rows = data.splits["train"]
        self.has_test = "test" in data.splits
        self.valid = data.splits.get("dev")
        crossed = not self.has_test and settings.folds > 0
        if crossed and self.valid is not None:
            log.info("no test split: dev rows join the training rows in cross-validation")
            self.rows, self.valid = rows_to_cross(data), None
        self.groups = groups_of(self.rows)
        self.folds = self._planned_folds() if crossed else []
        LengthWarning(start).look_at(self.rows.lengths)

    def _planned_folds(self) -> list[Fold]:
        return planned_folds(
            self.data,
            self.rows,
            self.groups,
            folds=self.settings.folds,
            repeats=self.settings.repeated,
            seed=self.settings.seed,
        )

    def work(self, run: Run) -> FinetuneResult:
        """Train, judge, and write the folder."""
        self.kept = KeptFolds(run.folder)
        self.log = MetricsLog(run.metrics, self.kept.finished if run.resumed else None)
        epochs = self.settings.epochs
        self.learner = Learner(
            self.start,
            self.data,
            self.settings,
            device=self.device,
            precision=self.precision,
            note=self._note,
        )
        runs = self._trainings()
        log.info("%s", _said(runs, epochs))
        with StepProgress("epoch", max(1, runs * epochs)) as self.progress:
            try:
                learned, judgement = self._with_test() if self.has_test else self._with_folds()
            except NonFiniteLoss as error:
                _keep_last_good(error, run)
                raise
            except KeyboardInterrupt:
                if can_go_on(run.folder):
                    log.info("finished folds are kept: --resume continues after them")
                raise
        metrics = self._described(learned, judgement)
        self._write(run, learned, judgement, metrics)
        return FinetuneResult(run.folder, learned.model, metrics)

    def _trainings(self) -> int:
        if not self.folds:
            return trainings(len(self.rows), self.valid is not None, self.settings)
        # The last run of a cross-validation is on all rows, with what the folds chose.
        last = 0 if self.settings.train == "probe" else 1
        return last + sum(
            trainings(int(fold.train.sum()), False, self.settings) for fold in self.folds
        )

    def _note(self, bases: int, **numbers: Any) -> None:
        self.log.write(**numbers)
        if "epoch" in numbers:
            self.progress.advance(bases)

    def _calibrate(self, learned: Learned) -> None:
        task, self.calibration = calibrate(task_of(learned.model), learned.held)
        learned.model.config = learned.model.config.model_copy(update={"task": task})

    # -------------------------------------------------------- judged by a test split

    def _learned(self) -> Learned:
        """From all training rows, by validation rows where there are some."""
        learned = self.learner.learn(self.rows, self.groups, self.valid, stage="fit")
        self.sizes = {"train": learned.taught, learned.chosen_by: len(learned.held.labels)}
        return learned

    def _with_test(self) -> tuple[Learned, Judgement]:
        learned = self._learned()
        plain = task_of(learned.model)
        self._calibrate(learned)
        # The first and only time that the test split is touched.
        test = self.data.splits["test"]
        logits = logits_of(learned.model, test, learned.precision)
        scores, shown = scores_of(logits, plain), scores_of(logits, task_of(learned.model))
        answers = Answers(plain.kind, plain.classes, test.labels, scores, plain.threshold)
        self.sizes |= {
            "test": len(test),
            "test_also_in_train": _shared(test, self.rows, "training"),
        }
        if self.valid is not None:
            self.sizes["test_also_in_validation"] = _shared(test, self.valid, "validation")
        fitted = task_of(learned.model).calibration is not None
        protocol, calibrated = "test split, read once at the end", [shown] if fitted else []
        return learned, Judgement(protocol, test, [answers], test.groups, [], calibrated)

    # -------------------------------------------------------- judged by cross-validation

    def _with_folds(self) -> tuple[Learned, Judgement | None]:
        if not self.folds:
            learned = self._learned()
            self._calibrate(learned)
            return learned, None
        self.sizes = {"train": len(self.rows), "groups": len(np.unique(self.groups))}
        answered = Folded(self.data, self.rows, self.groups, self.folds)
        outputs = 1 if self.data.kind == "binary" else len(self.data.classes)
        logits = np.zeros((*answered.thresholds.shape, outputs))
        each = []
        self.learner.read(self.rows)
        for fold in self.folds:
            one = self.kept.found(fold) or self._answered(fold)
            logits[fold.repeat, fold.test] = one.logits
            answered.add(fold, one.scores, one.threshold)
            each.append(one)
        choice = most_chosen([one.choice for one in each])
        alike = np.zeros(answered.numbers.shape, np.bool_)
        for fold, one in zip(self.folds, each, strict=True):
            alike[fold.repeat, fold.test] = one.choice.train == choice.train
        by = "its fold" if alike.all() else "a fold that chose to train the same"
        held = OutOfFold(logits, self.rows.labels, f"rows, each by {by}", alike)
        final = self._refitted(choice, each, held)
        plain = task_of(final.model)
        self._calibrate(final)
        fitted = task_of(final.model).calibration is not None
        numbers = answered.numbers
        return final, answered.judgement(list(cross_fitted(plain, held, numbers)) if fitted else [])

    def _answered(self, fold: Fold) -> FoldAnswer:
        learned = self._in_fold(fold)
        task, test = task_of(learned.model), self.rows.where(fold.test)
        logits = logits_of(learned.model, test, learned.precision)
        tried = tuple(map(Tried.of, learned.tried))
        scores = scores_of(logits, task)
        answer = FoldAnswer(learned.choice, task.threshold, tried, logits, scores)
        self.kept.keep(fold, answer)
        return answer

    def _in_fold(self, fold: Fold) -> Learned:
        where = {"stage": "fold", "repeat": fold.repeat + 1, "fold": fold.number + 1}
        return self.learner.learn(
            self.rows.where(fold.train), self.groups[fold.train], None, **where
        )

    def _refitted(self, choice: Choice, folds: list[FoldAnswer], held: OutOfFold) -> Learned:
        """All rows, with what most folds trained and read, and the median threshold of these."""
        rows = replace(self.rows, groups=self.groups)
        model = self.learner.again(rows, choice, stage="all rows")
        precision = self.learner.precision_of(choice)
        threshold = usual_threshold(folds, choice)
        self.learner.set_threshold(model, threshold, self.rows, precision)
        tried = tuple(one for fold in folds for one in fold.tried)
        by = "validation_in_turn"
        return Learned(model, choice, tried, held, len(self.rows), by, precision)

    # -------------------------------------------------------- what is written

    def _described(self, learned: Learned, judgement: Judgement | None) -> dict[str, Any]:
        """What metrics.json holds; figures are said aloud."""
        task = task_of(learned.model)
        if learned.tried:
            log.info("%s", words_of_choice(learned.choice, learned.tried, task.kind))
        return {
            "task": {"kind": task.kind, "classes": list(task.classes)},
            **(self._judged(judgement) if judgement else self._not_judged()),
            "chosen": {
                **learned.choice.as_dict(),
                "epochs": self.settings.epochs,
                "threshold": task.threshold if task.kind == "binary" else None,
                "precision": self.precision,
                "answers_in": learned.precision,
            },
            "tried": figures(learned.tried, task.kind),
            "seed": self.settings.seed,
        }

    def _judged(self, judgement: Judgement) -> dict[str, Any]:
        seed = self.settings.seed
        metrics = judgement.metrics(seed)
        rows = f"{len(judgement.rows):,} rows"
        log.info("%s, %s, 95 %% intervals in brackets:", judgement.protocol, rows)
        few = word_on_groups(judgement.groups)
        if few:
            log.warning("%s", few)
        for name, metric in metrics.items():
            log.info("%s: %s", name, metric)
        p_values = judgement.p_values(seed)
        for name, p in p_values.items():
            log.info("%s: permutation p-value %s", name, "undefined" if p is None else f"{p:.4f}")
        honesty = judgement.honesty()
        log.info("calibration: %s%s", self.calibration, in_words(honesty))
        intervals = f"95 % percentile bootstrap, {RESAMPLES} resamples of rows or groups"
        return {
            "protocol": judgement.protocol,
            "rows": self.sizes,
            "metrics": {name: metric.as_dict() for name, metric in metrics.items()},
            "permutation_p_values": p_values,
            "calibration": {"what": self.calibration, **honesty},
            "intervals": f"{intervals}; {few}" if few else intervals,
        }

    def _not_judged(self) -> dict[str, Any]:
        log.info("calibration: %s", self.calibration)
        return {
            "protocol": "not judged: no test split, no folds",
            "rows": self.sizes,
            "metrics": {},
            "permutation_p_values": {},
            "calibration": {"what": self.calibration},
            "intervals": None,
        }

    def _write(
        self, run: Run, learned: Learned, judgement: Judgement | None, metrics: dict[str, Any]
    ) -> None:
        task = task_of(learned.model)
        learned.model.provenance = self._provenance(learned.choice, metrics)
        learned.model.save(run.model, overwrite=True)
        if judgement:
            write_table(judgement.predictions(task), run.folder / "predictions.tsv")
            table = judgement.confusion()
            if table is not None:
                table.index.name = "label"
                write_table(table, run.folder / "confusion.tsv", index=True)
        write_json(run.folder / "metrics.json", metrics)

    def _provenance(self, choice: Choice, metrics: dict[str, Any]) -> dict[str, Any]:
        lengths = self.rows.lengths
        return {
            "task_data": self.data.source,
            "trained_lengths": [int(lengths.min()), int(lengths.max())],
            "trained": choice.train,
            "asked_to_train": self.settings.train,
            "tried": metrics["tried"],
            "seed": self.settings.seed,
            "protocol": metrics["protocol"],
            "metrics": metrics["metrics"],
            "calibration": self.calibration,
            "started_from": self.start.provenance or "random initialisation",
        }


def _shared(test: LabelledSplit, rows: LabelledSplit, where: str) -> int:
    """Test rows whose sequence, on either strand, also stands in other rows; said aloud."""
    number = identical_up_to_strand([*rows.codes, *test.codes])
    shared = int(np.isin(number[len(rows) :], number[: len(rows)]).sum())
    if shared:
        log.warning(
            "%s of %s test rows also occur in the %s rows", f"{shared:,}", f"{len(test):,}", where
        )
    return shared


def _keep_last_good(error: NonFiniteLoss, run: Run) -> None:
    if error.model is None:
        return
    kept = run.folder / "checkpoints" / "last-good"
    error.model.save(kept, overwrite=True)
    log.warning("the best weights before that are saved in %s", kept)
