"""Predictions of a fine-tuned model: logits, probabilities or values, decisions, columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax

from findna.data.batches import by_length
from findna.data.labelled import decide
from findna.data.ragged import Ragged
from findna.files import BadInput
from findna.inference.calibration import calibrated
from findna.inference.devices import usual_batch_bases
from findna.model.heads import TaskConfig
from findna.model.model import Model
from findna.sequence.alphabet import Codes, Strand

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

# Columns of a regression: labels and predictions, one of each per target.
_VALUES = re.compile(r"(label|prediction)(_.*)?")


def require_task(model: Model, where: str | Path | None = None) -> TaskConfig:
    """The task of a model; `BadInput` about `where` if it has none."""
    if model.config.task is None:
        raise BadInput(
            "this model has no task: it was pretrained, not fine-tuned",
            file=where,
            remedy="run findna finetune on labelled sequences first",
        )
    return model.config.task


def task_outputs(
    model: Model,
    codes: Sequence[Codes] | Ragged,
    *,
    strand: Strand | None = None,
    batch_bases: int | None = None,
) -> Floats:
    """Logits (n, outputs) of n sequences in their order.

    The model is used in its current mode, dropout off or on.
    """
    sequences = codes if isinstance(codes, Ragged) else Ragged(codes, model.device)
    lengths = sequences.lengths.cpu().numpy()
    outputs = np.zeros((len(sequences), require_task(model).outputs))
    with torch.inference_mode():
        for rows in by_length(lengths, batch_bases or usual_batch_bases(model.device)):
            logits = model.task_logits(*sequences.batch(rows), strand=strand)
            outputs[rows] = logits.float().cpu().numpy()
    return outputs


def scores_of(logits: Floats, task: TaskConfig) -> Floats:
    """Probabilities (n, classes), or values (n, targets) in the units of the labels, from logits
    (n, outputs); calibrated if the task is.
    """
    logits = calibrated(logits, task)
    if task.kind == "regression":
        spread, middle = np.array(task.target_sd or 1.0), np.array(task.target_mean or 0.0)
        return np.asarray(logits * spread + middle)
    if task.kind == "multiclass":
        return np.asarray(softmax(logits, axis=1))
    if task.kind == "multilabel":
        return np.asarray(expit(logits))
    return np.concatenate([expit(-logits), expit(logits)], axis=1)


def decisions(logits: Floats, task: TaskConfig) -> Labels | None:
    """Class index (n,), 0/1 (n, K) for multilabel, from logits; None for a regression.

    Calibration and prevalence change probabilities, never decisions: the threshold of a binary task
    has been adjusted with them, and other tasks decide by the network's own logits.
    """
    if task.kind == "regression":
        return None
    if task.kind != "binary":
        task = task.model_copy(update={"calibration": None})
    return decide(task.kind, scores_of(logits, task), task.threshold)


def answer_columns(
    scores: Floats, said: Labels | None, task: TaskConfig
) -> dict[str, list[str] | Floats]:
    """The columns `prediction` and `p_<class>` of a table, from scores and `decisions`.

    A regression has no decisions: its `prediction` is the value.
    """
    if said is None:
        several = len(task.classes) > 1
        return {
            f"prediction_{c}" if several else "prediction": scores[:, t]
            for t, c in enumerate(task.classes)
        }
    words = label_words(said, task)
    return {"prediction": words, **{f"p_{c}": scores[:, k] for k, c in enumerate(task.classes)}}


def with_whole_values(table: pd.DataFrame) -> pd.DataFrame:
    """The table for a text file: values of a regression as text with every digit of float64, so
    that labels are written as they were read; other columns unchanged.
    """
    named = filter(_VALUES.fullmatch, map(str, table.columns))
    values = [c for c in named if pd.api.types.is_float_dtype(table[c])]
    return table.assign(**{c: table[c].map(_every_digit, na_action="ignore") for c in values})


def _every_digit(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def label_words(labels: NDArray[np.int64], task: TaskConfig) -> list[str]:
    """Class names of class indices (n,); for multilabel, names joined by `;` of 0/1 rows (n, K)."""
    if task.kind != "multilabel":
        return [task.classes[k] for k in labels]
    return [";".join(compress(task.classes, row)) for row in labels]
