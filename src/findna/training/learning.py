"""What is trained, how strands are read, when to stop: chosen on rows that do not teach.

Candidates are a linear probe on the frozen network, the last layers with the head, and everything
(`--train auto`), or the one that was named. Both networks begin as a probe, which also says what of
a sequence and of its strands is read (`training.beginning`). Which rows choose depends on how many
there are:

    validation rows given      they choose, once
    fewer than FEW_ROWS        three parts of the rows choose in turn, each after learning from the
                               other two; both networks answer the first part only, the
                               better one and the probe on all. What is chosen then learns from
                               all rows
    otherwise                  a part of the rows chooses, once
    MANY_ROWS and more         only everything is trained: 5,000 rows of it were ahead of, or within
                               0.01 MCC of, a probe of all rows of nine GUE sets
                               (docs/results/gue-cpu), and the rest would cost half a run more

So a choice costs less than twice what training everything costs where rows are not few. Candidates
are compared by how they rank the rows, then by loss; of equals the cheaper one wins. Epochs are
chosen by the primary metric and the loss on the one part; where parts choose in turn they are too
small for it, and all epochs are run.

Few rows are taken in smaller batches, so that there are steps enough. A threshold never gives a
class less than half of its share, neither of the rows that choose nor of those that teach: the best
of thresholds that know nothing may be one that answers a single class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.splits import (
    strata_of,
    stratified_folds,
    stratified_holdout,
    without_unlearned,
)
from findna.files import log
from findna.inference.answers import scores_of
from findna.inference.precision import ResolvedPrecision
from findna.metrics import Answers, value
from findna.model.heads import TaskConfig
from findna.model.model import Model
from findna.sequence.alphabet import Strand
from findna.training.beginning import begin, drawn
from findna.training.calibration import OutOfFold
from findna.training.choices import RANKING, Candidate, Choice, HeldAnswers, Trained, Tried
from findna.training.finetune_settings import BATCH_ROWS, FinetuneSettings
from findna.training.fit import Fit, fit, logits_of
from findna.training.linear import mean_loss
from findna.training.probe import READINGS, STRENGTHS, FrozenRows, PooledRows
from findna.training.tasks import retasked, task_for, task_of
from findna.training.thresholds import LEAST_ANSWERED, choose_threshold, leaves_open

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

FEW_ROWS, MANY_ROWS = 1_000, 5_000
PARTS = 3
LEAST_STEPS, SMALLEST_BATCH = 200, 8
# Another draw than those of the folds that judge.
_PARTS_DRAW = 2_000_003
_ROWS_LOOKED_AT = 1024


@dataclass(frozen=True, eq=False)
class Learned:
    """A model, what was chosen and tried, and the answers of held rows, which taught nothing.

    taught: rows that the model learned from. chosen_by: "validation", or "validation_in_turn" where
    the rows that chose are the rows that taught. precision: in which the model answers.
    """

    model: Model
    choice: Choice
    tried: tuple[Candidate | Tried, ...]
    held: OutOfFold
    taught: int
    chosen_by: str
    precision: ResolvedPrecision


@dataclass(frozen=True, eq=False)
class Rounds:
    """Rows, and for each round which of them (n,) are held back to choose by.

    `in_turn`: every row is held back once; else there is one round. There is no round at all where
    every row has to teach.
    """

    rows: LabelledSplit
    held: tuple[Bools, ...]
    in_turn: bool

    @property
    def what(self) -> str:
        """The rows that choose, in words."""
        if self.in_turn:
            return "rows, each by a network trained on the other parts"
        return "validation rows, which also chose what to keep"

    @property
    def chosen_by(self) -> str:
        """What metrics.json calls them."""
        return "validation_in_turn" if self.in_turn else "validation"

    @property
    def teaching(self) -> Bools:
        """Rows (n,) that the model which is kept learns from."""
        everyone = np.ones(len(self.rows), np.bool_)
        return everyone if self.in_turn or not self.held else ~self.held[0]


# ---------------------------------------------------------------- what is tried


def trainings(rows: int, validation_given: bool, settings: FinetuneSettings) -> int:
    """Training runs of a network that `Learner.learn` makes for so many training rows, at most."""
    if settings.train == "probe":
        return 0
    return len(_networks(settings, rows)) + (0 if validation_given or rows >= FEW_ROWS else PARTS)


def _networks(settings: FinetuneSettings, rows: int) -> tuple[Trained, ...]:
    """Candidates that are trained by steps, the cheapest last."""
    if settings.train == "auto":
        return ("full",) if rows >= MANY_ROWS else ("full", "last")
    return () if settings.train == "probe" else (settings.train,)


def probes(settings: FinetuneSettings, rows: int) -> bool:
    """Whether a probe is among the candidates that learn from so many rows."""
    return settings.train == "probe" or (settings.train == "auto" and rows < MANY_ROWS)


def batch_rows(rows: int, settings: FinetuneSettings) -> int:
    """Rows a step: fewer than usual where there would be too few steps, unless they were given."""
    if settings.batch_rows is not None:
        return settings.batch_rows
    enough = rows * settings.epochs // LEAST_STEPS
    return min(BATCH_ROWS, max(SMALLEST_BATCH, enough))


class Learner:
    """Learns one task from one start; chooses on rows that do not teach."""

    def __init__(
        self,
        start: Model,
        data: LabelledData,
        settings: FinetuneSettings,
        *,
        device: torch.device,
        precision: ResolvedPrecision,
        note: Callable[..., None],
    ) -> None:
        """`note` receives bases read, and the numbers of every epoch and of every probe."""
        self.start, self.data, self.settings, self.note = start.to(device), data, settings, note
        self.device, self.precision = device, precision
        self._known: PooledRows | None = None

    def learn(
        self, train: LabelledSplit, groups: Ints, valid: LabelledSplit | None = None, **stage: Any
    ) -> Learned:
        """Choose and learn, by the rules at the head of this module.

        Args:
            train: rows to learn from, and to choose by where no others are given.
            groups: (n,) of these rows; those of a group never stand on two sides.
            valid: rows to choose by.
            stage: of the run, for the notes.
        """
        rounds = self._rounds(replace(train, groups=groups), groups, valid)
        if not rounds.held:
            return self._unchosen(rounds, **stage)
        finalists, tried = [], []
        if probes(self.settings, len(train)):
            tried.append(self._probed(rounds, **stage))
            finalists.append(tried[0])
        if networks := _networks(self.settings, len(train)):
            raced = self._raced(rounds, networks, **stage)
            finalists.append(raced[0])
            tried += raced
        best = max(finalists, key=lambda one: one.figures)
        model = best.model if best.model and not rounds.in_turn else None
        model = model or self.again(rounds.rows.where(rounds.teaching), best.choice, **stage)
        precision = self.precision_of(best.choice)
        self._choose_threshold(model, best.answers, rounds, precision)
        held = _out_of_fold(best.answers, rounds.what)
        by, taught = rounds.chosen_by, int(rounds.teaching.sum())
        return Learned(model, best.choice, tuple(tried), held, taught, by, precision)

    def precision_of(self, choice: Choice) -> ResolvedPrecision:
        """The precision in which a choice answers. A probe needs fp32: it was fitted to features of
        that precision, and may give large weights to channels that hardly vary.
        """
        return "fp32" if choice.train == "probe" else self.precision

    def again(self, rows: LabelledSplit, choice: Choice, **stage: Any) -> Model:
        """Learn what was chosen from `rows`, whose groups are set, up to the chosen epoch."""
        if choice.train == "probe":
            task = self._task(rows, choice.strand)
            return self._frozen(rows, task).model(choice.probing(), task)
        begun = self._begun(rows, None, choice)
        return self._fitted(begun, rows, None, choice.train, choice.epoch, **stage).model

    # -------------------------------------------------------- which rows choose

    def _rounds(self, train: LabelledSplit, groups: Ints, valid: LabelledSplit | None) -> Rounds:
        if valid is not None and len(valid):
            rows = train.and_then(valid)
            held = np.arange(len(rows)) >= len(train)
            return Rounds(rows, (held,), in_turn=False)
        strata, seed = strata_of(train.labels, self.data.kind), self.settings.seed
        if len(train) >= FEW_ROWS:
            held = stratified_holdout(strata, groups, self.settings.validation_fraction, seed)
            return Rounds(train, (held,) if held.any() else (), in_turn=False)
        part = stratified_folds(strata, groups, PARTS, seed, repeat=_PARTS_DRAW)
        each = [without_unlearned(part == number, strata, groups) for number in range(PARTS)]
        return Rounds(train, tuple(some for some in each if some.any()), in_turn=True)

    def _unchosen(self, rounds: Rounds, **stage: Any) -> Learned:
        """What is learned where every row has to teach: nothing can be compared."""
        log.warning(
            "rows are too similar to hold any out for validation: what to train was not chosen"
        )
        networks = _networks(self.settings, len(rounds.rows))
        strand = self.settings.strands[0]
        parts = self.settings.readings[0]
        probe = Choice("probe", strand, 0, parts, STRENGTHS[0])
        named = self.settings.train in networks
        choice = Choice(networks[0], strand, self.settings.epochs, parts) if named else probe
        model = self.again(rounds.rows, choice, **stage)
        nobody = np.zeros(len(rounds.rows), np.bool_)
        precision = self.precision_of(choice)
        self.set_threshold(model, 0.5, rounds.rows, precision)
        logits = np.zeros((1, 0, task_of(model).outputs))
        held = OutOfFold(logits, rounds.rows.labels[nobody], "rows")
        return Learned(model, choice, (), held, len(rounds.rows), rounds.chosen_by, precision)

    # -------------------------------------------------------- candidates

    def _probed(self, rounds: Rounds, **stage: Any) -> Candidate:
        """The best probe, with its answers in every round."""
        strands = self.settings.strands
        tasks = [self._task(rounds.rows.where(~held), strands[0]) for held in rounds.held]
        frozen = self._frozen(rounds.rows, self._task(rounds.rows, strands[0]))
        probing, said = frozen.choose(rounds.held, strands, tasks)
        answers = [
            HeldAnswers(logits, scores_of(logits, task), rounds.rows.labels[held])
            for logits, task, held in zip(said, tasks, rounds.held, strict=True)
        ]
        found = self._candidate(Choice.of(probing), answers)
        self.note(0, **stage, train="probe", strand=probing.strand, validation_loss=found.loss)
        return found

    def _raced(self, rounds: Rounds, networks: Sequence[Trained], **stage: Any) -> list[Candidate]:
        """All networks on the first round; the best one, which comes first, on every round."""
        first, *others = range(len(rounds.held))
        raced = self._networks(rounds, first, networks, **stage)
        best = max(reversed(raced), key=lambda one: one.figures)
        rest = [one for one in raced if one is not best]
        same = (best.choice.train,)
        more = [self._networks(rounds, at, same, best.choice, **stage)[0] for at in others]
        answers = [each for one in (best, *more) for each in one.answers]
        return [replace(self._candidate(best.choice, answers), model=best.model), *rest]

    def _networks(
        self,
        rounds: Rounds,
        at: int,
        networks: Sequence[Trained],
        settled: Choice | None = None,
        **stage: Any,
    ) -> list[Candidate]:
        """Networks that learned from all rows but those held back in one round. They read what the
        probe they begin as reads, or what `settled` says.
        """
        held, found = rounds.held[at], []
        learn, choose = rounds.rows.where(~held), rounds.rows.where(held)
        judges = None if rounds.in_turn else choose
        if rounds.in_turn:
            stage = {**stage, "part": at + 1}
        begun = self._begun(learn, judges, settled)
        task = task_of(begun)
        for train in networks:
            fitted = self._fitted(begun, learn, judges, train, self.settings.epochs, **stage)
            logits = logits_of(fitted.model, choose, self.precision)
            answers = HeldAnswers(logits, scores_of(logits, task), choose.labels)
            choice = Choice(train, task.strand, fitted.epoch, task.pooling)
            found.append(replace(self._candidate(choice, [answers]), model=fitted.model))
        return found

    def _candidate(self, choice: Choice, answers: Sequence[HeldAnswers]) -> Candidate:
        kind, classes, weights = self.data.kind, self.data.classes, self.settings.class_weights
        found = [value(RANKING[kind], Answers(kind, classes, h.labels, h.scores)) for h in answers]
        ranks = [rank for rank in found if rank is not None]
        loss = float(np.mean([mean_loss(kind, h.labels, h.scores, weights) for h in answers]))
        return Candidate(choice, tuple(answers), float(np.mean(ranks)) if ranks else -np.inf, loss)

    def _begun(
        self, learn: LabelledSplit, judges: LabelledSplit | None, settled: Choice | None = None
    ) -> Model:
        """The model that training begins with. What it reads is chosen here, unless `settled`."""
        settings, strands = self.settings, self.settings.strands
        if settled:
            settings = settings.model_copy(update={"pooling": settled.parts})
            strands = (settled.strand,)
        task = task_for(self.data, learn, strands[0], settings)
        return begin(
            self.start, task, learn, judges, settings, precision=self.precision, strands=strands
        )

    def _fitted(
        self,
        begun: Model,
        learn: LabelledSplit,
        judges: LabelledSplit | None,
        train: Trained,
        epochs: int,
        **stage: Any,
    ) -> Fit:
        rows = batch_rows(len(learn), self.settings)
        return fit(
            begun,
            learn,
            judges,
            self.settings.model_copy(update={"train": train, "batch_rows": rows}),
            precision=self.precision,
            note=partial(self.note, int(learn.lengths.sum()), **stage, train=train),
            stop_after=epochs,
        )

    def _task(self, rows: LabelledSplit, strand: Strand) -> TaskConfig:
        return task_for(self.data, rows, strand, self.settings)

    def _frozen(self, rows: LabelledSplit, task: TaskConfig) -> FrozenRows:
        weights = self.settings.class_weights
        more = READINGS if self.settings.pooling == ("auto",) else ()
        readings = (*self.settings.readings_of(task.places), *more)
        known = self._known if self._known and self._known.holds(rows) else None
        frozen = FrozenRows(self.start, task, rows, weights=weights, readings=readings, known=known)
        self._known = frozen.known
        return frozen

    def read(self, rows: LabelledSplit) -> None:
        """Compute the frozen network's features of `rows` once, before parts of them are learned as
        folds: they do not depend on what is learned.
        """
        self._frozen(rows, self._task(rows, self.settings.strands[0]))

    # -------------------------------------------------------- thresholds

    def _choose_threshold(
        self,
        model: Model,
        answers: Sequence[HeldAnswers],
        rounds: Rounds,
        precision: ResolvedPrecision,
    ) -> None:
        if self.data.kind != "binary":
            return
        labels = np.concatenate([h.labels for h in answers])
        scores = np.concatenate([h.scores[:, 1] for h in answers])
        found = choose_threshold(labels, scores, LEAST_ANSWERED)
        self.set_threshold(model, found, rounds.rows.where(rounds.teaching), precision)

    def set_threshold(
        self, model: Model, threshold: float, taught: LabelledSplit, precision: ResolvedPrecision
    ) -> None:
        """Give a binary model a threshold, moved as far as needed for both classes to be answered
        among the rows that taught it; other models have none.
        """
        if self.data.kind != "binary":
            return
        some = taught.where(drawn(len(taught), _ROWS_LOOKED_AT, self.settings.seed))
        scores = scores_of(logits_of(model, some, precision), task_of(model))[:, 1]
        low, high = leaves_open(some.labels, scores)
        model.config = retasked(model, threshold=float(np.clip(threshold, low, high)))


def _out_of_fold(answers: Sequence[HeldAnswers], what: str) -> OutOfFold:
    logits = np.concatenate([each.logits for each in answers])[None]
    return OutOfFold(logits, np.concatenate([each.labels for each in answers]), what)
