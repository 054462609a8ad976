"""Finished folds of a cross-validation, kept so that a run which was stopped goes on behind them.

checkpoints/folds/1-3.json   repeat and fold, counted from 1: what was chosen and tried, threshold
checkpoints/folds/1-3.npz    the answers of its rows: logits (m, outputs) and scores (m, K)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from findna.data.splits import Fold
from findna.files import BadInput, atomic_file, read_json, write_json
from findna.training.choices import Choice, Tried
from findna.training.run_state import FOLDS

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FoldAnswer:
    """What one fold chose, and how it answered its test rows."""

    choice: Choice
    threshold: float
    tried: tuple[Tried, ...]
    logits: Floats
    scores: Floats


def usual_threshold(folds: Sequence[FoldAnswer], choice: Choice) -> float:
    """The median threshold of the folds that train what `choice` does: probabilities of a probe and
    of a network do not spread alike.
    """
    return float(np.median([one.threshold for one in folds if one.choice.train == choice.train]))


class KeptFolds:
    """The finished folds of a run folder."""

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDS

    def keep(self, fold: Fold, answer: FoldAnswer) -> None:
        """Write a fold; it counts as finished when its JSON, the second file, is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._file(fold, "npz"), overwrite=True) as made, made.open("wb") as out:
            np.savez(out, logits=answer.logits, scores=answer.scores)
        told = {
            "choice": asdict(answer.choice),
            "threshold": answer.threshold,
            "tried": [_told(one) for one in answer.tried],
        }
        write_json(self._file(fold, "json"), told)

    def found(self, fold: Fold) -> FoldAnswer | None:
        """The answer of a fold that is finished.

        Raises:
            BadInput: its files are damaged.
        """
        file, answers = self._file(fold, "json"), self._file(fold, "npz")
        if not file.is_file():
            return None
        try:
            told = read_json(file)
            tried = tuple(_tried(one) for one in told["tried"])
            with answers.open("rb") as stream, np.load(stream) as arrays:
                logits, scores = arrays["logits"], arrays["scores"]
            return FoldAnswer(_choice(told["choice"]), told["threshold"], tried, logits, scores)
        except (BadInput, OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise BadInput(
                f"this fold is damaged ({error})",
                file=file,
                remedy=f"delete it and {answers.name}: the fold is trained again",
            ) from None

    def finished(self, row: Mapping[str, Any]) -> bool:
        """Whether a line of metrics.jsonl is of a finished fold."""
        if row.get("stage") != "fold":
            return False
        return (self.folder / f"{row['repeat']}-{row['fold']}.json").is_file()

    def _file(self, fold: Fold, ending: str) -> Path:
        return self.folder / f"{fold.repeat + 1}-{fold.number + 1}.{ending}"


def _told(tried: Tried) -> dict[str, Any]:
    """A ranking that was not defined, −inf, is null: JSON has no other word for it."""
    told = asdict(tried)
    return {**told, "ranking": told["ranking"] if np.isfinite(told["ranking"]) else None}


def _tried(told: Mapping[str, Any]) -> Tried:
    ranking = -np.inf if told["ranking"] is None else told["ranking"]
    return Tried(**{**told, "choice": _choice(told["choice"]), "ranking": ranking})


def _choice(told: Mapping[str, Any]) -> Choice:
    return Choice(**{**told, "parts": tuple(told["parts"])})
