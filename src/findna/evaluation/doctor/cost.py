"""What a fine-tuning would take, measured on a few of its own batches."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from findna.data.labelled import LabelledData, LabelledSplit
from findna.inference.devices import pick_device
from findna.inference.precision import resolve_precision
from findna.model.model import Model
from findna.training.beginning import MOST_ROWS, begin
from findna.training.finetune_settings import FinetuneSettings
from findna.training.fit import fit
from findna.training.learning import batch_rows, trainings
from findna.training.tasks import task_for

_WARM, _TIMED = 2, 6
# A pass without gradient is about a third of a step, and both strands are read.
_CHECKING = 2 / 3


@dataclass(frozen=True)
class Cost:
    """Seconds of the whole run with its `runs` trainings, and the memory measured so far."""

    seconds: float
    mebibytes: float
    runs: int
    batches: int
    device: str


def cost_of_finetuning(
    model: Model, data: LabelledData, settings: FinetuneSettings, device: str = "auto"
) -> Cost:
    """Train on a few batches of rows of every length and scale up; the model is left as it is."""
    where = pick_device(device)
    train = data.splits["train"]
    few, more = (
        _seconds(model, data, _some(train, batches, settings), settings, where)
        for batches in (_WARM, _WARM + _TIMED)
    )
    begun, each = np.maximum(np.array(more) - few, 1e-3) / _TIMED
    epochs = settings.epochs * _trainings(data, settings)
    size = batch_rows(len(train), settings)
    once = min(len(train), MOST_ROWS) / size * _trainings(data, settings)
    batches = epochs * len(train) / size
    checked = epochs * _validation_rows(data, settings) / size
    seconds = float(begun * once + each * (batches + _CHECKING * checked))
    return Cost(seconds, _memory(where), _trainings(data, settings), _TIMED, where.type)


def _some(rows: LabelledSplit, batches: int, settings: FinetuneSettings) -> LabelledSplit:
    """Rows for so many batches, evenly spread; repeated if there are too few."""
    wanted = batches * batch_rows(len(rows), settings)
    at = np.linspace(0, len(rows) - 1, wanted).astype(np.int64)
    return LabelledSplit(
        [rows.ids[i] for i in at.tolist()],
        [rows.codes[i] for i in at.tolist()],
        rows.labels[at],
        rows.rows[at],
    )


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
    # What costs most of all that may be tried; a probe costs about as much as an epoch of a head.
    dearest = {"auto": "full", "probe": "head"}.get(settings.train, settings.train)
    size = batch_rows(len(data.splits["train"]), settings)
    once = settings.model_copy(update={"epochs": 1, "train": dearest, "batch_rows": size})
    took: list[float] = []

    def note(**numbers: float) -> None:
        took.append(float(numbers["seconds"]))

    began = time.monotonic()
    begun = begin(model.to(device), task, rows, None, once, precision=precision)
    beginning = time.monotonic() - began
    fit(begun, rows, None, once, precision=precision, note=note, stop_after=1)
    return beginning, sum(took)


def _trainings(data: LabelledData, settings: FinetuneSettings) -> int:
    """Training runs that `finetune` makes of these settings, at most; at least one for a probe."""
    rows = len(data.splits["train"])
    if "test" in data.splits or not settings.folds:
        return max(1, trainings(rows, _dev_chooses(data, settings), settings))
    inside = rows - rows // settings.folds
    return 1 + settings.folds * settings.repeated * trainings(inside, False, settings)


def _dev_chooses(data: LabelledData, settings: FinetuneSettings) -> bool:
    """Whether dev rows choose; in cross-validation they join the others."""
    return "dev" in data.splits and ("test" in data.splits or not settings.folds)


def _validation_rows(data: LabelledData, settings: FinetuneSettings) -> float:
    if _dev_chooses(data, settings):
        return len(data.splits["dev"])
    return settings.validation_fraction * len(data.splits["train"])


def _memory(device: torch.device) -> float:
    """Peak MiB: of the device, or of this process, which holds data and genome besides."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
