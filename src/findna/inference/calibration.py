"""From the logits of a network to calibrated odds, and to odds for another prevalence.

Both are an affine step before the sigmoid or softmax, kept in the task as `Calibration`: one is
fitted to rows that the network was not trained on (`training/calibration.py`); the one for another
prevalence adds the log-ratio of new and old class frequency (Saerens, Latinne and Decaestecker
2002, equation 2.4). Neither changes decisions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp

from findna.files import BadInput
from findna.model.heads import Calibration, TaskConfig

Floats = NDArray[np.float64]
Prevalence = float | Mapping[str, float]


def calibrated(logits: Floats, task: TaskConfig) -> Floats:
    """Calibrated logits (..., outputs); unchanged if the task has no calibration."""
    if task.calibration is None:
        return logits
    return np.asarray(logits * task.calibration.scale + np.array(task.calibration.shift))


def recalibrated(task: TaskConfig, step: Calibration, prevalence: Floats) -> TaskConfig:
    """The task with `step` appended to its calibration, for `prevalence` (classes,).

    The threshold of a binary task is adjusted, so that decisions stay the same.
    """
    before = task.calibration or Calibration(
        scale=(1.0,) * task.outputs, shift=(0.0,) * task.outputs
    )
    scale, shift = np.array(step.scale), np.array(step.shift)
    threshold = task.threshold
    if task.kind == "binary":
        threshold = float(expit(scale[0] * logit(threshold) + shift[0]))
    changes = {
        "calibration": Calibration(
            scale=tuple((scale * before.scale).tolist()),
            shift=tuple((scale * before.shift + shift).tolist()),
        ),
        "threshold": threshold,
        "prevalence": tuple(prevalence.tolist()),
    }
    return TaskConfig(**{**dict(task), **changes})


def log_odds(logits: Floats, task: TaskConfig) -> Floats:
    """ln(p / (1 - p)) (n, classes) of each class against the rest, from logits (n, outputs).

    Computed from logits, so that no probability is rounded to 1.
    """
    found = calibrated(logits, task)
    if task.kind == "binary":
        return np.concatenate([-found, found], axis=1)
    if task.kind == "multilabel":
        return found
    # Class by class: all at once would be (n, classes, classes).
    rest = [logsumexp(np.delete(found, k, axis=1), axis=1) for k in range(found.shape[1])]
    return np.asarray(found - np.stack(rest, axis=1))


def relative_log_odds(logits: Floats, task: TaskConfig) -> Floats:
    """`log_odds` (n, classes) minus the log-odds of the prevalence that probabilities assume.

    0 means as likely as among the training rows.
    """
    return np.asarray(log_odds(logits, task) - logit(require_prevalence(task)))


def at_prevalence(task: TaskConfig, prevalence: Prevalence) -> TaskConfig:
    """The task with probabilities for another prevalence of its classes.

    Args:
        task: the task with its present calibration.
        prevalence: share of the second class of a binary task, or shares by class: all of a
            multiclass task, adding up to 1, and any of a multilabel one.

    Raises:
        BadInput: invalid shares, an unknown class, or a task without a known prevalence.
    """
    now, then = require_prevalence(task), _shares(task, prevalence)
    if task.kind == "multiclass":
        shift = np.log(then) - np.log(now)
    else:
        shift = (logit(then) - logit(now))[-task.outputs :]
    step = Calibration(scale=(1.0,) * task.outputs, shift=tuple(shift.tolist()))
    return recalibrated(task, step, then)


def require_prevalence(task: TaskConfig) -> Floats:
    """Class frequencies (classes,) that the probabilities of the task assume.

    Raises:
        BadInput: a regression, or a model that an older findna fine-tuned.
    """
    if task.kind == "regression":
        raise BadInput("a regression has no classes, and so no prevalence")
    if not task.prevalence:
        raise BadInput(
            "this model does not record how frequent its classes were in training",
            remedy="fine-tune it again with this version of findna; a table (.tsv) needs no"
            " prevalence",
        )
    return np.array(task.prevalence)


def _shares(task: TaskConfig, prevalence: Prevalence) -> Floats:
    """The requested shares (classes,) in the order of the classes."""
    given = prevalence if isinstance(prevalence, Mapping) else {task.classes[-1]: prevalence}
    for name, share in given.items():
        if name not in task.classes:
            raise BadInput(
                f"--prevalence names the class {name!r}, which this model lacks",
                remedy=f"its classes are {', '.join(task.classes)}",
            )
        if not 0 < share < 1:
            raise BadInput(
                f"a prevalence of {share:g} leaves nothing to predict",
                remedy="give a frequency between 0 and 1, such as 0.01",
            )
    by_class = _by_class(task, prevalence)
    shares = np.array(
        [by_class.get(c, now) for c, now in zip(task.classes, task.prevalence, strict=True)]
    )
    if task.kind != "multilabel" and abs(shares.sum() - 1) > 1e-6:
        raise BadInput(
            f"the frequencies of --prevalence add up to {shares.sum():g}, not to 1",
            remedy=f"give one for each of {', '.join(task.classes)}",
        )
    return shares


def _by_class(task: TaskConfig, prevalence: Prevalence) -> dict[str, float]:
    if task.kind == "binary" and isinstance(prevalence, Mapping) and len(prevalence) == 1:
        ((name, share),) = prevalence.items()
        others = [c for c in task.classes if c != name]
        return {name: share, **({others[0]: 1 - share} if len(others) == 1 else {})}
    if isinstance(prevalence, Mapping):
        return dict(prevalence)
    if task.kind != "binary":
        raise BadInput(
            f"one prevalence is not enough for the {len(task.classes)} classes of a {task.kind}"
            " task",
            remedy="name each, as in --prevalence "
            + ",".join(f"{c}=0.1" for c in task.classes[:3]),
        )
    return {task.classes[0]: 1 - prevalence, task.classes[1]: prevalence}
