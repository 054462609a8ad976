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
    where, train = pick_device(device), _taught(data, settings)
    size = batch_rows(len(train), settings)
    short = _short(train, _SHORT * size)
    long = _with_long(train, _short(train, _LONG * size), settings.batch_bases)
    runs, searches = _trainings(data, settings), _searches(data, settings)
    seconds = 0.0
    if runs:
        seconds += runs * _training(model, data, settings, where, (train, short, long))
    if searches:
        reading, search = _probing(model, data, settings, where, (train, short, long))
        seconds += reading + searches * search
    longest = int(train.lengths.max())
    cut = settings.batch_bases if longest > settings.batch_bases else None
    return Cost(seconds, _memory(where), runs, searches, _SHORT + _LONG, where.type, cut)


def _training(
    model: Model,
    data: LabelledData,
    settings: FinetuneSettings,
    where: torch.device,
    rows: tuple[LabelledSplit, LabelledSplit, LabelledSplit],
) -> float:
    """Seconds of one training run of all rows, by what short and long ones take."""
    train, short, long = rows
    size = batch_rows(len(train), settings)
    # What is loaded or compiled at the first use is no cost of a batch.
    _seconds(model, data, _short(train, _LONG * size), settings, where)
    quick, slow = (_seconds(model, data, some, settings, where) for some in (short, long))
    begun = _line(_Work.of(short, 1), quick[0], _Work.of(long, 1), slow[0])
    epoch = _line(_Work.of(short, size), quick[1], _Work.of(long, size), slow[1])
    known = min(1.0, MOST_ROWS / len(train))
    beginning = begun(_Work(known * len(train), known * int(train.lengths.sum())))
    once = epoch(_Work.of(train, size)) * (1 + _CHECKING * _validation_share(data, settings))
    epochs = settings.epochs + raced_rows(len(train), settings) / len(train)
    return beginning + epochs * once


def _probing(
    model: Model,
    data: LabelledData,
    settings: FinetuneSettings,
    where: torch.device,
    rows: tuple[LabelledSplit, LabelledSplit, LabelledSplit],
) -> tuple[float, float]:
    """Seconds of reading all rows with the network as it is, once, and of one search for a probe of
    what was read, by what short and long ones take.
    """
    train, short, long = rows
    in_turn = len(train) < FEW_ROWS and not _dev_chooses(data, settings)
    _probe_seconds(model, data, _short(train, len(long)), settings, where, in_turn)
    quick, slow = (_probe_seconds(model, data, s, settings, where, in_turn) for s in (short, long))
    reading = _line(_Work.of(short, 1), quick[0], _Work.of(long, 1), slow[0])
    return reading(_Work.of(train, 1)), quick[1] * max(1.0, len(train) / len(short))


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


def _seconds(
    model: Model,
    data: LabelledData,
    rows: LabelledSplit,
    settings: FinetuneSettings,
    device: torch.device,
) -> tuple[float, float]:
    """Seconds of the beginning and of one epoch over the rows."""
    task = task_for(data, data.splits["train"], settings.strands[0], settings)
    precision = resolve_precision(settings.precision, device)
    # What costs most of all that may be tried.
    dearest = "full" if settings.train == "auto" else settings.train
    size = batch_rows(len(_taught(data, settings)), settings)
    once = settings.model_copy(update={"epochs": 1, "train": dearest, "batch_rows": size})
    took: list[float] = []

    def note(**numbers: float) -> None:
        took.append(float(numbers["seconds"]))

    began = time.monotonic()
    begun = begin(model.to(device), task, rows, None, once, precision=precision)
    beginning = time.monotonic() - began
    fit(begun, rows, None, once, precision=precision, note=note, stop_after=1)
    return beginning, sum(took)


def _probe_seconds(
    model: Model,
    data: LabelledData,
    rows: LabelledSplit,
    settings: FinetuneSettings,
    device: torch.device,
    in_turn: bool,
) -> tuple[float, float]:
    """Seconds of reading the rows, and of a search for a probe, by parts `in_turn` or once."""
    precision = resolve_precision(settings.precision, device)
    alone = settings.model_copy(update={"train": "probe"})
    learner = Learner(model, data, alone, device=device, precision=precision, note=_unnoted)
    began = time.monotonic()
    learner.read(rows)
    read = time.monotonic()
    learner.learn(rows, np.arange(len(rows)), None if in_turn else rows)
    return read - began, time.monotonic() - read


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
