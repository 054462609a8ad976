"""What labelled rows give away by how they were cut: a score on such a task says little of a model.

Two linear models learn from some training rows and answer others: one knows nothing but lengths,
the other which pair of letters stands at which place. The first should know nothing. The second may
well know something, as around a splice site; it is told of where it knows more than words counted
do, so that somebody looks whether that was meant (docs/results/places).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from findna.data.labelled import LabelledData
from findna.data.splits import groups_of, parted
from findna.evaluation.contenders.composition import length_steps
from findna.evaluation.contenders.places import PlacesContender
from findna.evaluation.contenders.words import KmerContender, WordSettings
from findna.evaluation.doctor.finding import Finding
from findna.evaluation.preparation import drawn_rows
from findna.evaluation.protocol import Contender
from findna.metrics import Answers, value
from findna.training.choices import RANKING
from findna.training.linear import LinearModel
from findna.training.tasks import common_places

Floats = NDArray[np.float64]

# Rows that are asked and answered: of fewer, an AUROC of chance strays too far.
_FEWEST, _MOST = 200, 2_000
_JUDGING = 0.3
# AUROC of lengths, of places, and by how much places beat words, from which it is told.
_LENGTH, _PLACES, _MORE = 0.7, 0.75, 0.1
# Nothing is chosen, so that the rows that are answered are fresh.
_C = 1e-2


def check_shortcuts(data: LabelledData) -> Iterator[Finding]:
    """What lengths, or places, tell of the class; nothing of few rows and of other tasks."""
    train = data.splits["train"]
    if data.kind not in ("binary", "multiclass") or len(train) < _FEWEST:
        return
    some = train.where(drawn_rows(train, data.kind, _MOST))
    learn, judge = parted(some, groups_of(some), data.kind, fraction=_JUDGING, seed=0)
    if not len(learn) or not len(judge):  # rows that are all alike
        return
    seen = replace(data, splits={"train": learn, "dev": judge})
    by_length = _by_length(seen)
    if by_length is not None and by_length >= _LENGTH:
        said = f"row length alone predicts the class: AUROC {by_length:.2f}"
        remedy = (
            "cut the rows of all classes to the same lengths; a model that sees the length"
            " scores by it"
        )
        yield Finding("warn", "lengths", said, remedy)
    if common_places(train.lengths):
        places = _answered(PlacesContender(ks=(2,), strengths=(_C,)), seen)
        words = WordSettings(ks=(4,), canonical=(False,), strengths=(_C,))
        counted = _answered(KmerContender(words), seen)
        if places is not None and counted is not None and _tell_more(places, counted):
            said = (
                "the bases at each position from the start predict more than word frequencies:"
                f" AUROC {places:.2f} against {counted:.2f}"
            )
            remedy = (
                "intended, as around a splice site? otherwise the classes are aligned differently"
            )
            yield Finding("warn", "places", said, remedy)


def _tell_more(places: float, words: float) -> bool:
    return places >= _PLACES and places >= words + _MORE


def _by_length(seen: LabelledData) -> float | None:
    learn, judge = seen.splits["train"], seen.splits["dev"]
    if len(np.unique(learn.lengths)) == 1:
        return None
    taught = length_steps(learn.lengths, learn.lengths)
    model = LinearModel.fit(taught, learn.labels, seen.kind, len(seen.classes), _C)
    return _auroc(seen, model.scores(length_steps(judge.lengths, learn.lengths)))


def _answered(contender: Contender, seen: LabelledData) -> float | None:
    return _auroc(seen, contender.learn(seen, 0).scores(seen.splits["dev"]))


def _auroc(seen: LabelledData, scores: Floats) -> float | None:
    """Of two classes, or the mean over more; None where it is not defined."""
    answers = Answers(seen.kind, seen.classes, seen.splits["dev"].labels, scores)
    return value(RANKING[seen.kind], answers)
