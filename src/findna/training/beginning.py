"""What a head reads of a task's rows, and what it answers before the network is trained.

A head that says nothing sends noise into the network it is put on. So a linear probe comes first
and the head begins as that probe (Kumar et al. 2022, arXiv 2202.10054). The probe also tells what
is worth reading: means of all layers always, the places of things, or the given strand alone, only
where validation rows are clearly better answered for it (docs/results/tuning).

What a network that is trained can use is another question. Words it learns by itself where there
are many rows, and places it does not. So with more rows than the probe sees, and a probe that does
not prefer places, what it prefers and the places of the given strand are both trained for an epoch,
and places are read where validation is clearly better for them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from findna.data.labelled import LabelledSplit
from findna.data.parts import TaskKind
from findna.data.splits import strata_of, stratified_holdout
from findna.files import log
from findna.inference.answers import scores_of
from findna.inference.precision import ResolvedPrecision, autocast
from findna.model.heads import PLACED_PARTS, TaskConfig
from findna.model.model import Model
from findna.sequence.alphabet import Strand
from findna.training.finetune_settings import PLACED, FinetuneSettings
from findna.training.fit import fit, logits_of
from findna.training.linear import Floats, clearly_lower, losses_of_rows
from findna.training.probe import STRENGTHS, FrozenRows, Probing, pooled, task_head_of
from findna.training.stopping import NonFiniteLoss
from findna.training.tasks import task_of

Bools = NDArray[np.bool_]

# A probe of these rows is as good a beginning as one of all, and they fit into memory.
MOST_ROWS = 5_000
# Rows of which an epoch tells what is worth reading.
_RACED_ROWS = 12_000
_ROWS_TO_STANDARDISE = 1024
# Loss of a row, where the network that was to answer it has broken down.
_BROKEN = 1e9
# Where no validation rows are given, one part of so many chooses.
_PARTS = 5


def begin(
    start: Model,
    task: TaskConfig,
    train: LabelledSplit,
    valid: LabelledSplit | None,
    settings: FinetuneSettings,
    *,
    precision: ResolvedPrecision,
    strands: Sequence[Strand] = (),
) -> Model:
    """The network with a head for `task`, as training finds it.

    The head reads what `settings.pooling` names. For "auto" it reads what answers `valid` best, or,
    without `valid`, a fifth of the training rows in whole groups. A probe decides that; with more
    than `MOST_ROWS` rows and a `valid`, so does an epoch of training. `strands` are the readings of
    the strands to choose from, the preferred one first; if empty, the task says how they are read.
    """
    if valid is not None and not len(valid):
        valid = None
    if settings.begin == "zeros":
        model = start.with_task(task, settings.seed).to(start.device)
        some = train.where(drawn(len(train), _ROWS_TO_STANDARDISE, settings.seed))
        task_head_of(model).standardise(torch.from_numpy(pooled(model, some, turned=False)))
        return model.eval()
    rows, held = _rows(train, valid, task.kind, settings.seed)
    frozen = FrozenRows(
        start,
        task,
        rows,
        weights=settings.class_weights,
        readings=settings.readings_of(task.places),
    )
    strands = strands or (task.strand,)
    # Frozen rows are read when they are asked for.
    with autocast(start.device, precision):
        # Of wide readings the weakest regularisations take longest, and overfit.
        probing = frozen.prefer(held, strands, task, STRENGTHS[:3])
        learn = np.ones(len(rows), np.bool_) if valid is None else ~held
        begun = frozen.beginning(probing, learn, task)
        # A probe that prefers places is not in doubt about them.
        sure = PLACED_PARTS & set(probing.parts)
        if valid is None or sure or not raced_rows(len(train), settings):
            return begun
        places = Probing(strands[-1], PLACED, probing.strength)
        rival = frozen.beginning(places, learn, task)
    some = train.where(drawn(len(train), _RACED_ROWS, settings.seed))
    return _after_an_epoch((begun, rival), some, valid, settings, precision)


def _after_an_epoch(
    begun: tuple[Model, Model],
    train: LabelledSplit,
    valid: LabelledSplit,
    settings: FinetuneSettings,
    precision: ResolvedPrecision,
) -> Model:
    """Of two untrained models the first, unless after an epoch of training the second answers
    `valid` with a clearly lower loss.
    """
    named = settings.train if settings.train in ("head", "last") else "full"
    settings = settings.model_copy(update={"epochs": 1, "train": named})
    losses = []
    for model in begun:
        try:
            fitted = fit(model, train, valid, settings, precision=precision, note=_unnoted)
            losses.append(_losses(fitted.model, valid, settings, precision))
        except NonFiniteLoss:
            losses.append(np.full(len(valid), _BROKEN))
    best = int(clearly_lower(losses[1], losses[0]))
    reads = [f"{'+'.join(task.pooling)} ({task.strand})" for task in map(task_of, begun)]
    log.info(
        "after one epoch, a head that reads %s has validation loss %.4f, one that reads %s %.4f",
        reads[best], losses[best].mean(), reads[1 - best], losses[1 - best].mean(),
    )  # fmt: skip
    return begun[best]


def _losses(
    model: Model,
    rows: LabelledSplit,
    settings: FinetuneSettings,
    precision: ResolvedPrecision,
) -> Floats:
    """The loss of each row (n,), by the same rule as for probes."""
    task = task_of(model)
    scores = scores_of(logits_of(model, rows, precision), task)
    return losses_of_rows(task.kind, rows.labels, scores, settings.class_weights)


def _unnoted(**numbers: object) -> None:
    """Nothing: an epoch that only compares two models is not logged as part of the run."""


def raced_rows(rows: int, settings: FinetuneSettings) -> int:
    """How many of `rows` training rows are, at most, trained on just to decide what is read."""
    open_to_choose = settings.begin == "probe" and len(settings.readings) > 1
    return 2 * min(rows, _RACED_ROWS) if open_to_choose and rows > MOST_ROWS else 0


def _rows(
    train: LabelledSplit, valid: LabelledSplit | None, kind: TaskKind, seed: int
) -> tuple[LabelledSplit, Bools]:
    """Rows for a probe, and which of them (n,) are held back to choose by."""
    few = train.where(drawn(len(train), MOST_ROWS, seed))
    if valid is None and len(few) == 1:
        valid = few  # the one row has to teach and to choose
    if valid is None:
        each = np.arange(len(few))
        groups = each if few.groups is None else few.groups
        held = stratified_holdout(strata_of(few.labels, kind), groups, 1 / _PARTS, seed)
        # Where every class has one row only, none can be spared.
        return few, held if held.any() else each == 0
    judges = valid.where(drawn(len(valid), MOST_ROWS, seed))
    return few.and_then(judges), np.arange(len(few) + len(judges)) >= len(few)


def drawn(rows: int, most: int, seed: int) -> Bools:
    """A random choice (n,) of at most `most` rows. Evenly spaced ones would not do: where classes
    alternate, every second row is of one class.
    """
    order = np.random.Generator(np.random.Philox(key=[seed, rows])).permutation(rows)
    return np.isin(np.arange(rows), order[:most])
