"""Labelled sequences: codes with classes or numbers, by split.

The order of the classes is that of a model's outputs and is stored with it. `data.labels` reads
labelled sequences from files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from findna.data.parts import TaskKind
from findna.data.places import RowPlaces
from findna.sequence.alphabet import Codes

Labels = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelledSplit:
    """n rows. `labels`: class index (n,), 0/1 (n, K) for multilabel, values (n, T) for regression.

    `rows` (n,) counts from 1 in the source; `groups` (n,) numbers the values of the group column
    over all splits; `places` are the genome coordinates of the rows, if their file has them.
    """

    ids: list[str]
    codes: list[Codes]
    labels: Labels
    rows: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None
    places: RowPlaces | None = None

    def __len__(self) -> int:
        """Rows."""
        return len(self.codes)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bases of each sequence (n,)."""
        return np.array([len(c) for c in self.codes], np.int64)

    @property
    def digest(self) -> str:
        """Digest of all that affects training or splitting, in order; not of ids and rows."""
        digest = hashlib.sha256(self.lengths.tobytes() + np.asarray(self.labels).tobytes())
        for codes in self.codes:
            digest.update(codes.tobytes())
        if self.groups is not None:
            digest.update(self.groups.tobytes())
        if self.places is not None:
            digest.update(self.places.frame().to_csv(index=False).encode())
        return f"sha256:{digest.hexdigest()}"

    def where(self, chosen: NDArray[np.bool_]) -> LabelledSplit:
        """The rows where `chosen` (n,) is true, in order."""
        at = np.flatnonzero(chosen)
        return LabelledSplit(
            [self.ids[i] for i in at],
            [self.codes[i] for i in at],
            self.labels[at],
            self.rows[at],
            None if self.groups is None else self.groups[at],
            None if self.places is None else self.places.where(at),
        )

    def and_then(self, other: LabelledSplit) -> LabelledSplit:
        """These rows, then those of `other`."""
        groups = (
            None
            if self.groups is None or other.groups is None
            else np.concatenate([self.groups, other.groups])
        )
        return LabelledSplit(
            self.ids + other.ids,
            self.codes + other.codes,
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.rows, other.rows]),
            groups,
            None
            if self.places is None or other.places is None
            else self.places.and_then(other.places),
        )


@dataclass(frozen=True, eq=False)
class LabelledData:
    """Splits "train" and perhaps "dev" and "test" of one task.

    `classes` are target names for regression.
    """

    splits: Mapping[str, LabelledSplit]
    kind: TaskKind
    classes: tuple[str, ...]
    source: str = field(default="memory")

    def named(self, task: str | None = None) -> LabelledData:
        """The same data with ids that are unique over all splits: `split:id` where they are not, or
        `split:row` where they repeat within a split. A `task` is put before them, `task:id`.
        """
        ids = {name: rows.ids for name, rows in self.splits.items()}
        if not _unique([id for each in ids.values() for id in each]):
            if not all(map(_unique, ids.values())):
                ids = {name: list(map(str, rows.rows)) for name, rows in self.splits.items()}
            ids = {name: [f"{name}:{id}" for id in each] for name, each in ids.items()}
        elif task is None:
            return self
        if task is not None:
            ids = {name: [f"{task}:{id}" for id in each] for name, each in ids.items()}
        splits = {name: replace(rows, ids=ids[name]) for name, rows in self.splits.items()}
        return replace(self, splits=splits)


def _unique(ids: Sequence[str]) -> bool:
    return len(set(ids)) == len(ids)


def decide(
    kind: TaskKind, scores: NDArray[np.float64], threshold: float | NDArray[np.float64] = 0.5
) -> NDArray[np.int64]:
    """Predicted class index (n,), or 0/1 (n, K) for multilabel, from probabilities (n, K)."""
    if kind == "binary":
        return np.asarray(scores[:, 1] >= threshold, np.int64)
    if kind == "multiclass":
        return np.asarray(scores.argmax(axis=1), np.int64)
    if kind == "multilabel":
        return np.asarray(scores >= 0.5, np.int64)
    raise ValueError("a regression has no classes; its prediction is the value")
