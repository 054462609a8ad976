"""What a head reads of a task's rows, and what it answers before the network is trained.

A head that says nothing sends noise into the network it is put on. So a linear probe comes first
and the head begins as that probe (Kumar et al. 2022, arXiv 2202.10054). The probe also tells what
is worth reading: means of all layers always, the places of things, or the given strand alone, only
where validation rows are clearly better answered for it (docs/results/tuning).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from findna.data.labelled import LabelledSplit
from findna.data.parts import TaskKind
from findna.data.splits import strata_of, stratified_holdout
from findna.inference.precision import autocast
from findna.model.heads import TaskConfig
from findna.model.model import Model
from findna.sequence.alphabet import Strand
from findna.training.finetune_settings import FinetuneSettings
from findna.training.probe import STRENGTHS, FrozenRows, pooled, task_head_of

Bools = NDArray[np.bool_]

# A probe of these rows is as good a beginning as one of all, and they fit into memory.
MOST_ROWS = 5_000
_ROWS_TO_STANDARDISE = 1024
# Where no validation rows are given, one part of so many chooses.
_PARTS = 5


def begin(
    start: Model,
    task: TaskConfig,
    train: LabelledSplit,
    valid: LabelledSplit | None,
    settings: FinetuneSettings,
    *,
    precision: Literal["fp32", "bf16"],
    strands: Sequence[Strand] = (),
) -> Model:
    """The network with a head for `task`, as training finds it.

    The head reads what `settings.pooling` says; of "auto" what `valid`, or else a fifth of the
    training rows in whole groups, are answered best by. `strands`, if any, are readings of the
    strands to choose from, the preferred one first; the task says which otherwise.
    """
    if settings.begin == "zeros":
        model = start.with_task(task, settings.seed).to(start.device)
        some = train.where(drawn(len(train), _ROWS_TO_STANDARDISE, settings.seed))
        task_head_of(model).standardise(torch.from_numpy(pooled(model, some, turned=False)))
        return model.eval()
    rows, held = _rows(train, valid, task.kind, settings.seed)
    frozen = FrozenRows(
        start, task, rows, weights=settings.class_weights, readings=settings.readings
    )
    # Frozen rows are read when they are asked for.
    with autocast(start.device, precision):
        # Of wide readings the weakest regularisations take longest, and overfit.
        probing = frozen.prefer(held, strands or (task.strand,), task, STRENGTHS[:3])
        learn = ~held if valid is not None and len(valid) else np.ones(len(rows), np.bool_)
        return frozen.beginning(probing, learn, task)


def _rows(
    train: LabelledSplit, valid: LabelledSplit | None, kind: TaskKind, seed: int
) -> tuple[LabelledSplit, Bools]:
    """Rows for a probe, and which of them (n,) choose."""
    few = train.where(drawn(len(train), MOST_ROWS, seed))
    if len(few) == 1 and (valid is None or not len(valid)):
        valid = few  # it has to do both
    if valid is None or not len(valid):
        each = np.arange(len(few))
        groups = each if few.groups is None else few.groups
        held = stratified_holdout(strata_of(few.labels, kind), groups, 1 / _PARTS, seed)
        # Of a row a class none can be spared.
        return few, held if held.any() else each == 0
    judges = valid.where(drawn(len(valid), MOST_ROWS, seed))
    return few.and_then(judges), np.arange(len(few) + len(judges)) >= len(few)


def drawn(rows: int, most: int, seed: int) -> Bools:
    """At most so many of the rows (n,), by chance: of rows whose classes take turns, every second
    one would be of one class.
    """
    order = np.random.Generator(np.random.Philox(key=[seed, rows])).permutation(rows)
    return np.isin(np.arange(rows), order[:most])
