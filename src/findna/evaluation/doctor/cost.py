"""What a fine-tuning would take, measured on a few of its own batches."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.splits import rows_to_cross
from findna.inference.devices import pick_device
from findna.inference.precision import resolve_precision
from findna.model.model import Model
from findna.training.beginning import MOST_ROWS, begin, raced_rows
from findna.training.finetune_settings import FinetuneSettings
from findna.training.fit import fit
from findna.training.learning import FEW_ROWS, Learner, batch_rows, probes, trainings
from findna.training.tasks import task_for

Ints = NDArray[np.int64]

# Batches that are measured, of short rows and with long ones.
_SHORT, _LONG = 6, 2
# A pass without gradient is about a third of a step, and both strands are read.
_CHECKING = 2 / 3


@dataclass(frozen=True)
class Cost:
    """Seconds of the whole run with its `runs` trainings and `searches` for a probe, and the memory
    measured so far, with rows of at most `cut` bases if there are longer ones.
    """

    seconds: float
    mebibytes: float
    runs: int
    searches: int
    batches: int
    device: str
    cut: int | None = None


def cost_of_finetuning(
    model: Model, data: LabelledData, settings: FinetuneSettings, device: str = "auto"
) -> Cost:
    """Train on a few batches of short rows and of long ones, and scale up by rows and by bases; the
    model is left as it is.
    """
    where = pick_device(device)
    trial = _Trial(model, data, settings, where)
    runs, searches = _trainings(data, settings), _searches(data, settings)
    seconds = runs * trial.training() if runs else 0.0
    if searches:
        reading, search = trial.probing()
        seconds += reading + searches * search
    longest = int(trial.train.lengths.max())
    cut = settings.batch_bases if longest > settings.batch_bases else None
    return Cost(seconds, _memory(where), runs, searches, _SHORT + _LONG, where.type, cut)


class _Trial:
    """Parts of a fine-tuning, timed on some of its rows, and scaled up to all of them."""

    def __init__(
        self, model: Model, data: LabelledData, settings: FinetuneSettings, device: torch.device
    ) -> None:
        self.model, self.data, self.settings, self.device = model, data, settings, device
        self.precision = resolve_precision(settings.precision, device)
        self.train = _taught(data, settings)
        self.size = batch_rows(len(self.train), settings)
        self.short = _short(self.train, _SHORT * self.size)
        few = _short(self.train, _LONG * self.size)
        self.long = _with_long(self.train, few, settings.batch_bases)

    def training(self) -> float:
        """Seconds of one training run of all rows, by what short and long ones take."""
        train, short, long = self.train, self.short, self.long
        # What is loaded or compiled at the first use is no cost of a batch.
        self._fit(_short(train, _LONG * self.size))
        quick, slow = self._fit(short), self._fit(long)
        begun = _line(_Work.of(short, 1), quick[0], _Work.of(long, 1), slow[0])
        epoch = _line(_Work.of(short, self.size), quick[1], _Work.of(long, self.size), slow[1])
        known = min(1.0, MOST_ROWS / len(train))
        beginning = begun(_Work(known * len(train), known * int(train.lengths.sum())))
        share = _validation_share(self.data, self.settings)
        once = epoch(_Work.of(train, self.size)) * (1 + _CHECKING * share)
        epochs = self.settings.epochs + raced_rows(len(train), self.settings) / len(train)
        return beginning + epochs * once

    def probing(self) -> tuple[float, float]:
        """Seconds of reading all rows with the network as it is, once, and of one search for a
        probe of what was read, by what short and long ones take.
        """
        self._probe(_short(self.train, len(self.long)))
        quick, slow = self._probe(self.short), self._probe(self.long)
        reading = _line(_Work.of(self.short, 1), quick[0], _Work.of(self.long, 1), slow[0])
        more = max(1.0, len(self.train) / len(self.short))
        return reading(_Work.of(self.train, 1)), quick[1] * more

    def _fit(self, rows: LabelledSplit) -> tuple[float, float]:
        """Seconds of the beginning and of one epoch over the rows."""
        settings, precision = self.settings, self.precision
        task = task_for(self.data, self.data.splits["train"], settings.strands[0], settings)
        # What costs most of all that may be tried.
        dearest = "full" if settings.train == "auto" else settings.train
        once = settings.model_copy(update={"epochs": 1, "train": dearest, "batch_rows": self.size})
        took: list[float] = []

        def note(**numbers: float) -> None:
            took.append(float(numbers["seconds"]))

        began = time.monotonic()
        begun = begin(self.model.to(self.device), task, rows, None, once, precision=precision)
        beginning = time.monotonic() - began
        fit(begun, rows, None, once, precision=precision, note=note, stop_after=1)
        return beginning, sum(took)

    def _probe(self, rows: LabelledSplit) -> tuple[float, float]:
        """Seconds of reading the rows, and of a search for a probe."""
        alone = self.settings.model_copy(update={"train": "probe"})
        learner = Learner(
            self.model,
            self.data,
            alone,
            device=self.device,
            precision=self.precision,
            note=_unnoted,
        )
        in_turn = len(self.train) < FEW_ROWS and not _dev_chooses(self.data, self.settings)
        began = time.monotonic()
        learner.read(rows)
        read = time.monotonic()
        learner.learn(rows, np.arange(len(rows)), None if in_turn else rows)
        return read - began, time.monotonic() - read


# ---------------------------------------------------------------- which rows are measured


def _short(rows: LabelledSplit, wanted: int) -> LabelledSplit:
    """Rows of the shorter half, evenly spread; repeated if there are too few."""
    half = np.argsort(rows.lengths, kind="stable")[: (len(rows) + 1) // 2]
    return _picked(rows, half[_spread(len(half), wanted)])


def _with_long(rows: LabelledSplit, short: LabelledSplit, most: int) -> LabelledSplit:
    """The short ones, but as many of the longest rows in their place as have `most` bases a batch;
    a row of more bases is cut.
    """
    down = np.argsort(-rows.lengths, kind="stable")[: len(short)]
    bases = np.minimum(rows.lengths[down], most).cumsum()
    long = _picked(rows, down[: max(1, int((bases <= _LONG * most).sum()))])
    codes = [*(row[:most] for row in long.codes), *short.codes[len(long) :]]
    return replace(short, codes=codes)


def _picked(rows: LabelledSplit, at: Ints) -> LabelledSplit:
    """These rows, with labels from everywhere: short rows alone may be of one class, and such a
    task would be learned in no time.
    """
    return LabelledSplit(
        [rows.ids[i] for i in at.tolist()],
        [rows.codes[i] for i in at.tolist()],
        rows.labels[_spread(len(rows), len(at))],
        rows.rows[at],
    )


def _spread(rows: int, wanted: int) -> Ints:
    return np.linspace(0, rows - 1, wanted).astype(np.int64)


# ---------------------------------------------------------------- scaling up


@dataclass(frozen=True)
class _Work:
    """So many rows or batches of rows, with so many bases in all."""

    things: float
    bases: float

    @staticmethod
    def of(rows: LabelledSplit, size: int) -> _Work:
        """All these rows, `size` to a thing."""
        return _Work(len(rows) / size, float(rows.lengths.sum()))

    @property
    def each(self) -> float:
        """Bases of a thing."""
        return self.bases / self.things


def _line(short: _Work, quick: float, long: _Work, slow: float) -> Callable[[_Work], float]:
    """Seconds of any work from those of two: of a thing they are so many and so many more a base.

    One long row among short ones costs what its bases cost, wherever in the file it stands.
    """
    a_thing, more = quick / short.things, slow / long.things - quick / short.things
    a_base = max(0.0, more) / (long.each - short.each) if long.each > short.each else 0.0

    def seconds(work: _Work) -> float:
        return work.things * max(0.0, a_thing + a_base * (work.each - short.each))

    return seconds


def _unnoted(*numbers: float, **more: object) -> None:
    """What is measured is no run."""


def _crossed(data: LabelledData, settings: FinetuneSettings) -> bool:
    """Whether rows judge in turn, since there is no test split."""
    return "test" not in data.splits and settings.folds > 0


def _taught(data: LabelledData, settings: FinetuneSettings) -> LabelledSplit:
    """The rows that teach, dev rows among them in cross-validation."""
    return rows_to_cross(data) if _crossed(data, settings) else data.splits["train"]


def _in_a_round(data: LabelledData, settings: FinetuneSettings) -> tuple[int, int]:
    """Rounds of learning, and the rows that teach in each."""
    rows = len(_taught(data, settings))
    if not _crossed(data, settings):
        return 1, rows
    return settings.folds * settings.repeated, rows - rows // settings.folds


def _trainings(data: LabelledData, settings: FinetuneSettings) -> int:
    """Training runs that `finetune` makes of these settings, at most: none for a probe."""
    rounds, rows = _in_a_round(data, settings)
    each = trainings(rows, _dev_chooses(data, settings), settings)
    # The last run of a cross-validation is on all rows, with what the folds chose.
    last = 1 if _crossed(data, settings) and settings.train != "probe" else 0
    return last + rounds * each


def _searches(data: LabelledData, settings: FinetuneSettings) -> int:
    """How often `finetune` looks for the best probe of these settings."""
    rounds, rows = _in_a_round(data, settings)
    return rounds if probes(settings, rows) else 0


def _dev_chooses(data: LabelledData, settings: FinetuneSettings) -> bool:
    """Whether dev rows choose; in cross-validation they join the others."""
    return "dev" in data.splits and not _crossed(data, settings)


def _validation_share(data: LabelledData, settings: FinetuneSettings) -> float:
    """Bases that choose the epoch, as a share of those that teach."""
    if _dev_chooses(data, settings):
        return float(data.splits["dev"].lengths.sum() / data.splits["train"].lengths.sum())
    return settings.validation_fraction


def _memory(device: torch.device) -> float:
    """Peak MiB: of the device, or of this process, which holds data and genome besides."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
