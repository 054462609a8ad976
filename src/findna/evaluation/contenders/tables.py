"""Contenders that are tables: embeddings or predictions of rows, made in any environment.

A row is named as findna names it: by the id column of the data (or FASTA header, or place), and
where ids are not unique over all splits, by `split:id`; where they repeat within a split, by
`split:row`, rows counted from 1 in the source; of a suite with its task, `task:split:row`.
`tasks.rows_to_answer` is the table of these names with the sequences: what another environment
needs, and all it needs.

    embeddings   id, then numbers, one column each or one column of lists: .parquet, .tsv, .csv
                 (or .gz); .npz with the arrays `id` (n,) and one other (n, D)
    predictions  id, seed if they differ between seeds, and p_<class> for every class, or for values
                 prediction (prediction_<target> for several): the columns of findna predict

A table of embeddings passes through the same probes as a network's. One of predictions is read as
it is; a binary threshold is chosen on the validation rows if it answers those too, else 0.5.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.contenders.table_files import (
    Embeddings,
    Floats,
    as_vectors,
    numbers_of,
    read_numbers,
    refuse_rows,
)
from findna.evaluation.protocol import Learned
from findna.files import BadInput, first_of, log
from findna.training.thresholds import choose_threshold

Ints = NDArray[np.int64]

# Probabilities are often written with three or four decimals.
_SUM_TOLERANCE = 0.01


# ---------------------------------------------------------------- the contenders


def open_answers(path: str | Path) -> EmbeddingTable | PredictionTable:
    """A file of predictions, which are a contender, or of embeddings, which the probes read.

    The contender is called after the file.

    Raises:
        BadInput: no column id; embeddings with an id twice or a cell that is no finite number.
    """
    path = Path(path)
    bare = path.name.lstrip(".").split(".")[0]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", bare) or "table"
    frame = read_numbers(path)
    if any(column.startswith(("p_", "prediction")) for column in frame.columns):
        return PredictionTable(name, path, frame)
    return EmbeddingTable(name, path, frame)


class EmbeddingTable:
    """Vectors of rows by id: the `Features` of the probes."""

    draws = False
    parts = ("table",)

    def __init__(self, name: str, path: Path, frame: pd.DataFrame) -> None:
        """Refuse what is wrong with the table before time is spent."""
        self.name, self.path = name, path
        self._places = _places(frame["id"].tolist(), path)
        self._vectors = as_vectors(frame, path)
        self.digest = _digest(frame["id"], self._vectors)

    def vectors(self, rows: LabelledSplit, seed: int, part: str) -> Embeddings:
        """Vectors (n, D) of rows in their order.

        Raises:
            BadInput: the table lacks some of them.
        """
        return self._vectors[_found(self._places, rows.ids, self.path)]

    def forget(self) -> None:
        """Nothing: the table may serve the next task too."""


def _digest(words: Iterable[str], numbers: NDArray[Any]) -> str:
    """Digest of words and numbers of a table."""
    digest = hashlib.sha256("\n".join(words).encode())
    digest.update(numbers.tobytes())
    return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Answers of rows by id, and by seed where the file has a column of that name."""

    name: str
    path: Path
    frame: pd.DataFrame
    grid: tuple[Mapping[str, Any], ...] = ({},)

    @property
    def digest(self) -> str:
        """Digest of all answers and of what they are called."""
        cells = pd.util.hash_pandas_object(self.frame.astype(str))
        return _digest(self.frame.columns, cells.to_numpy())

    @property
    def draws(self) -> bool:
        """Whether there are answers for several seeds."""
        return "seed" in self.frame.columns

    @cached_property
    def _by_seed(self) -> dict[int, pd.DataFrame]:
        """Answers of each seed; seed 0 stands for all where there is no such column."""
        if not self.draws:
            return {0: self.frame}
        seeds = numbers_of(self.frame, ["seed"], self.path).ravel()
        if (seeds % 1).any():
            raise BadInput(
                f"seed {seeds[seeds % 1 != 0][0]:g} is not a whole number", file=self.path
            )
        return {int(seed): self.frame[seeds == seed] for seed in np.unique(seeds)}

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> Learned:
        """Find the answers of a seed; nothing is learned but a binary threshold.

        Raises:
            BadInput: no answers for this seed, a class without column, a column without class, an
                id twice, a probability outside 0 to 1, a cell that is no finite number, some
                validation rows but not all.
        """
        answers = self._of_seed(seed)
        scores = numbers_of(answers, _columns(data, list(answers.columns), self.path), self.path)
        if data.kind != "regression":
            _refuse_no_probabilities(answers, scores, data, self.path)
        places = _places(answers["id"].tolist(), self.path)
        said = _Said(self.path, places, scores, 0.5)
        return replace(said, threshold=_threshold(said, data))

    def _of_seed(self, seed: int) -> pd.DataFrame:
        if not self.draws:
            return self._by_seed[0]
        if seed not in self._by_seed:
            raise BadInput(
                f"holds predictions for {first_of(self._by_seed)}, not for seed {seed}",
                file=self.path,
                remedy="add them, or evaluate only the seeds in the table",
            )
        return self._by_seed[seed]


@dataclass(frozen=True, eq=False)
class _Said:
    """Answers (n, K) in the order of the file, and where each id stands."""

    path: Path
    places: Mapping[str, int]
    answers: Floats
    threshold: float
    chosen: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, rows: LabelledSplit) -> Floats:
        return self.answers[_found(self.places, rows.ids, self.path)]


def _threshold(said: _Said, data: LabelledData) -> float:
    dev = data.splits["dev"]
    if data.kind != "binary":
        return 0.5
    if not any(id in said.places for id in dev.ids):
        log.info("%s: has no validation rows: the threshold is 0.5", said.path)
        return 0.5
    found = choose_threshold(dev.labels, said.scores(dev)[:, 1])
    log.info("%s: the threshold is %.3g, chosen on validation rows", said.path, found)
    return found


# ---------------------------------------------------------------- what a table must hold


def _columns(data: LabelledData, columns: list[str], path: Path) -> list[str]:
    """The columns of the answers, in the order of the classes."""
    if data.kind == "regression":
        several = len(data.classes) > 1
        wanted = [f"prediction_{name}" if several else "prediction" for name in data.classes]
        given = [column for column in columns if column.startswith("prediction")]
    else:
        wanted = [f"p_{name}" for name in data.classes]
        given = [column for column in columns if column.startswith("p_")]
    lacking, foreign = set(wanted) - set(given), set(given) - set(wanted)
    if lacking or foreign:
        problems = [f"lacks {first_of(sorted(lacking))}"] if lacking else []
        problems += (
            [f"has {first_of(sorted(foreign))}, which is not in the task"] if foreign else []
        )
        raise BadInput(
            "; ".join(problems),
            file=path,
            remedy=f"the columns of this {data.kind} task are {', '.join(wanted)}",
        )
    return wanted


def _refuse_no_probabilities(
    answers: pd.DataFrame, scores: Floats, data: LabelledData, path: Path
) -> None:
    outside = np.asarray(((scores < 0) | (scores > 1)).any(axis=1))
    refuse_rows(answers, outside, "a probability is outside 0 to 1", path)
    if data.kind != "multilabel":
        off = np.asarray(np.abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE)
        refuse_rows(answers, off, "the probabilities do not add up to 1", path)


def _places(ids: list[str], path: Path) -> dict[str, int]:
    """Where each id stands."""
    twice = [id for id, times in Counter(ids).items() if times > 1]
    if twice:
        raise BadInput(
            f"{len(twice):,} ids occur more than once: {first_of(twice)}",
            file=path,
            remedy="give one line per row; for predictions of several seeds add a column seed",
        )
    return {id: at for at, id in enumerate(ids)}


def _found(places: Mapping[str, int], ids: Sequence[str], path: Path) -> Ints:
    """Where the rows called `ids` stand."""
    lacking = [id for id in ids if id not in places]
    if lacking:
        raise BadInput(
            f"lacks {len(lacking):,} of {len(ids):,} rows: {first_of(lacking)}",
            file=path,
            remedy=f"in this table a row is called {first_of(places)}; --rows FILE writes the"
            " rows with their ids",
        )
    return np.array([places[id] for id in ids], np.int64)
