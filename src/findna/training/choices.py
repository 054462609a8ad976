"""What inner validation may choose for a task, and the figures by which it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from findna.data.labelled import Labels
from findna.data.parts import TaskKind
from findna.model.heads import Pooling
from findna.model.model import Model
from findna.sequence.alphabet import Strand
from findna.training.probe import Probing

Floats = NDArray[np.float64]
Trained = Literal["probe", "head", "last", "full"]

RANKING: dict[TaskKind, str] = {
    "binary": "auroc",
    "multiclass": "auroc_macro_one_vs_rest",
    "multilabel": "auroc_macro",
    "regression": "r2",
}


@dataclass(frozen=True)
class Choice:
    """What was chosen, enough to learn it again from other rows; `parts` are what the head reads. A
    probe has no epoch, a network no strength.
    """

    train: Trained
    strand: Strand
    epoch: int = 0
    parts: tuple[Pooling, ...] = ()
    strength: float | None = None

    @staticmethod
    def of(probing: Probing) -> Choice:
        """The choice of a probe."""
        return Choice("probe", probing.strand, 0, probing.parts, probing.strength)

    def probing(self) -> Probing:
        """The probe that was chosen."""
        if self.strength is None:
            raise ValueError(f"{self.train} is no probe")
        return Probing(self.strand, self.parts, self.strength)

    def as_dict(self) -> dict[str, Any]:
        """What metrics.json holds."""
        probe = {"strength": self.strength} if self.train == "probe" else {}
        reads = {"strand": self.strand, "pooling": list(self.parts)}
        return {"train": self.train, "epoch": self.epoch, **reads, **probe}


@dataclass(frozen=True, eq=False)
class HeldAnswers:
    """Logits (m, outputs) of the held rows of one round, their scores (m, K) and labels."""

    logits: Floats
    scores: Floats
    labels: Labels


@dataclass(frozen=True, eq=False)
class Candidate:
    """A choice and what it answered to held rows, round by round.

    ranking: how well it ranks them, by `RANKING`; −inf where that is not defined. loss: of them.
    Both are means over rounds. model: of the last round; a probe has none.
    """

    choice: Choice
    answers: tuple[HeldAnswers, ...]
    ranking: float
    loss: float
    model: Model | None = None

    @property
    def figures(self) -> tuple[float, float]:
        """What orders candidates: higher is better."""
        return self.ranking, -self.loss

    @property
    def parts(self) -> int:
        """Rounds whose held rows it answered."""
        return len(self.answers)


@dataclass(frozen=True)
class Tried:
    """What is kept of a candidate when its answers are no longer needed."""

    choice: Choice
    ranking: float
    loss: float
    parts: int

    @staticmethod
    def of(candidate: Candidate | Tried) -> Tried:
        """The figures of a candidate."""
        return Tried(candidate.choice, candidate.ranking, candidate.loss, candidate.parts)


# ---------------------------------------------------------------- over several choices


def most_chosen(choices: Sequence[Choice]) -> Choice:
    """What most choices train. Strand, parts and strength are the most frequent ones, and the epoch
    the median, among the choices that train it.
    """
    train = _most([one.train for one in choices])
    same = [one for one in choices if one.train == train]
    strand = _most([one.strand for one in same])
    epoch = round(float(np.median([one.epoch for one in same])))
    parts, strength = _most([(one.parts, one.strength) for one in same])
    return Choice(train, strand, epoch, parts, strength)


def _most(found: Sequence[Any]) -> Any:
    """The most frequent one, the first of equals."""
    return Counter(found).most_common(1)[0][0]


def figures(tried: Sequence[Candidate | Tried], kind: TaskKind) -> list[dict[str, Any]]:
    """Mean validation figures for each combination of what was trained and how strands were read,
    with the number of parts they are means over.
    """
    by_way: dict[tuple[Trained, Strand], list[Candidate | Tried]] = {}
    for one in tried:
        by_way.setdefault((one.choice.train, one.choice.strand), []).append(one)
    return [
        {
            "train": train,
            "strand": strand,
            RANKING[kind]: _mean([one.ranking for one in same]),
            "loss": _mean([one.loss for one in same]),
            "parts": sum(one.parts for one in same),
        }
        for (train, strand), same in by_way.items()
    ]


def _mean(values: Sequence[float]) -> float | None:
    """None where it is not defined."""
    found = float(np.mean(values))
    return found if np.isfinite(found) else None


def in_words(choice: Choice, tried: Sequence[Candidate | Tried], kind: TaskKind) -> str:
    """What was chosen and by which figures, for the log."""
    metric, loss = RANKING[kind], "squared error" if kind == "regression" else "loss"
    said = [
        f"{one['train']} ({one['strand']}) {metric} "
        + ("undefined" if one[metric] is None else f"{one[metric]:.3f}")
        + f", {loss} {one['loss']:.3g}"
        for one in figures(tried, kind)
    ]
    return f"chosen: {choice.train}, strand {choice.strand}; validation: {'; '.join(said)}"
