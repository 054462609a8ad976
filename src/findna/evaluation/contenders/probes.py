"""Probes: how much of a task stands in the embeddings of a network that is not trained further.

Embeddings are computed once for a network and a sequence and serve every probe and every seed.
A linear probe is the linear model of the other baselines on standardised embeddings; the kNN probe
weighs the labels of the nearest training rows by cosine similarity (Caron et al. 2021, section 4.1:
weights exp(similarity / 0.07)). Pooling, regularisation and neighbours are chosen on validation.

What a pretrained network knows of a task does not stand in its last layer alone: all layers of a
frozen network serve better (Peters et al. 2018, arXiv 1802.05365, section 5.1). So they are among
the choices, of random weights as of pretrained ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.contenders.kept import KeptVectors
from findna.evaluation.contenders.linear import LearnedLinear, learned_linear
from findna.evaluation.contenders.networks import Start
from findna.inference.embed import Embeddings, embeddings
from findna.inference.precision import Precision, autocast, resolve_precision
from findna.model.heads import Pooling
from findna.sequence.alphabet import Codes, Strand
from findna.training.linear import mean_loss
from findna.training.thresholds import threshold_for

Floats = NDArray[np.float64]

TEMPERATURE = 0.07
# Similarities that are held at once: 128 MiB.
_PAIRS_AT_ONCE = 1 << 25

# What is computed in one pass, in blocks of D channels. The mean of the last vectors is the last
# block of the layers.
_READ: tuple[Pooling, ...] = ("early-bins", "bins", "deviations", "layers", "max", "summary")
_CHOICES = (
    "mean", "max", "summary", "all", "bins",
    "layers", "layers+deviations", "layers+deviations+bins",
)  # fmt: skip
_BINS = 16
# Blocks of them: early ones and those of the last vectors.
_PLACES = 2 * _BINS
# Of a deeper network every second, third, ... layer: all of `base` would be 25,344 channels a row.
_MOST_LAYERS = 10
_ROWS_AT_ONCE = 4096


class Features(Protocol):
    """Vectors of rows: from a network, or from a table made elsewhere."""

    @property
    def name(self) -> str:
        """What the vectors come from."""
        ...

    @property
    def draws(self) -> bool:
        """Whether two seeds give two sets of vectors."""
        ...

    @property
    def parts(self) -> tuple[str, ...]:
        """The poolings, or other choices, that validation decides between."""
        ...

    def vectors(self, rows: LabelledSplit, seed: int, part: str) -> Embeddings:
        """Vectors (n, D) of rows in their order."""
        ...

    def forget(self) -> None:
        """Free what is held for a task, when that is done."""
        ...


@dataclass(eq=False)
class NetworkFeatures:
    """Embeddings of a network, every pooling in one pass; kept for the sequences it has seen.

    The choices: "mean", "max" and "summary" of the last vectors, "all" three side by side;
    "layers", the means of every layer (of at most 10) and of the closing norm side by side; and
    "layers+deviations", these and their standard deviations over bases; "bins", the means of 16
    parts of equal length of the first layer and of the last vectors, which know where in a sequence
    something stands, alone or beside these.
    """

    start: Start
    device: torch.device
    strand: Strand = "both"
    precision: Precision = "auto"
    _kept: dict[int, KeptVectors] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the start."""
        return self.start.name

    @property
    def draws(self) -> bool:
        """Random weights do, one pretrained model does not."""
        return self.start.draws

    @property
    def parts(self) -> tuple[str, ...]:
        """What validation decides between, the same for every network."""
        return _CHOICES

    def vectors(self, rows: LabelledSplit, seed: int, part: str) -> Embeddings:
        """Vectors (n, D) of a pooling, or (n, several D) of some side by side."""
        kept = self._kept.setdefault(seed if self.draws else 0, KeptVectors())
        blocks = _blocks_of(part, len(_kept_blocks(self.start.config.backbone.depth)))
        found = kept.of(rows.codes, partial(self._computed, seed=seed), blocks)
        return found.reshape(len(rows), -1)

    def forget(self) -> None:
        """Free what was kept, when a task is done."""
        self._kept.clear()

    def _computed(self, rows: list[Codes], seed: int) -> Embeddings:
        """Blocks (n, blocks, D); some rows at a time, so that what is not kept stays small."""
        model = self.start.network(seed).to(self.device).eval()
        backbone = model.config.backbone
        blocks = _kept_blocks(backbone.depth)
        found = np.empty((len(rows), len(blocks), backbone.width), np.float32)
        with autocast(self.device, resolve_precision(self.precision, self.device)):
            for at in range(0, len(rows), _ROWS_AT_ONCE):
                codes = rows[at : at + _ROWS_AT_ONCE]
                every = embeddings(model, codes, pooling=_READ, bins=_BINS, strand=self.strand)
                every = every.reshape(len(codes), -1, backbone.width)
                found[at : at + len(codes)] = every[:, blocks]
        return found


def _kept_blocks(depth: int) -> list[int]:
    """Which blocks of D channels of `_READ` are kept: all but those of layers that are skipped, of
    which the last is none.
    """
    step = -(-depth // _MOST_LAYERS)
    layers = [*reversed(range(depth - 1, -1, -step)), depth]
    deviations, means = ([_PLACES + first + at for at in layers] for first in (0, depth + 1))
    ends = _PLACES + 2 * (depth + 1)
    return [*range(_PLACES), *deviations, *means, ends, ends + 1]


def _blocks_of(choice: str, kept: int) -> slice:
    """The blocks that a choice reads, of so many that were kept."""
    return {
        "mean": slice(-3, -2),
        "max": slice(-2, -1),
        "summary": slice(-1, None),
        "all": slice(-3, None),
        "bins": slice(0, _PLACES),
        "layers": slice(_PLACES + (kept - _PLACES - 2) // 2, -2),
        "layers+deviations": slice(_PLACES, -2),
        "layers+deviations+bins": slice(0, -2),
    }[choice]


@dataclass(frozen=True, eq=False)
class _Probe:
    """What probes share: where their vectors come from, and a name made of that."""

    kind: ClassVar[str]
    source: Features

    @property
    def name(self) -> str:
        """The kind of probe, and where the vectors come from."""
        return f"{self.kind}-{self.source.name}"

    @property
    def draws(self) -> bool:
        """Only if the vectors do."""
        return self.source.draws


# ---------------------------------------------------------------- a linear model on top


@dataclass(frozen=True, eq=False)
class LinearProbe(_Probe):
    """Logistic or ridge regression on frozen vectors; vectors and strength chosen on validation."""

    kind = "linear"
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)

    @property
    def grid(self) -> tuple[Mapping[str, Any], ...]:
        """Every kind of vectors with every strength."""
        return tuple(
            {"vectors": part, "C": c} for part in self.source.parts for c in self.strengths
        )

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> LearnedLinear:
        """The entry of the grid with the lowest loss on validation rows."""
        parts = (settled["vectors"],) if settled else self.source.parts
        strengths = (settled["C"],) if settled else self.strengths

        def features(rows: LabelledSplit, vectors: str) -> Embeddings:
            return self.source.vectors(rows, seed, vectors)

        return learned_linear(data, features, [{"vectors": part} for part in parts], strengths)


# ---------------------------------------------------------------- neighbours


@dataclass(frozen=True, eq=False)
class NeighbourProbe(_Probe):
    """Labels of the nearest training rows, weighed by similarity."""

    kind = "knn"
    neighbours: tuple[int, ...] = (5, 20, 100)

    @property
    def grid(self) -> tuple[Mapping[str, Any], ...]:
        """Every kind of vectors with every number of neighbours."""
        return tuple(
            {"vectors": part, "neighbours": k}
            for part in self.source.parts
            for k in self.neighbours
        )

    def learn(
        self, data: LabelledData, seed: int, settled: Mapping[str, Any] | None = None
    ) -> LearnedNeighbours:
        """The entry of the grid with the lowest loss on validation rows."""
        dev = data.splits["dev"]
        best: LearnedNeighbours | None = None
        lowest = np.inf
        for part in (settled["vectors"],) if settled else self.source.parts:
            memory = _Memory(self.source, data, seed, part)
            for k, scores in memory.scores(
                dev, (settled["neighbours"],) if settled else self.neighbours
            ):
                loss = mean_loss(data.kind, dev.labels, scores)
                if best is None or loss < lowest:
                    lowest = loss
                    threshold = threshold_for(data.kind, dev.labels, scores)
                    best = LearnedNeighbours(memory, k, threshold)
        if best is None:
            raise ValueError("there is nothing to choose from")
        return best


@dataclass(frozen=True, eq=False)
class LearnedNeighbours:
    """Training rows as a memory, and how many of them answer."""

    memory: _Memory
    neighbours: int
    threshold: float

    @property
    def chosen(self) -> Mapping[str, Any]:
        """Vectors and number of neighbours."""
        return {"vectors": self.memory.part, "neighbours": self.neighbours}

    def scores(self, rows: LabelledSplit) -> Floats:
        """Probabilities (n, K), or values (n, T)."""
        return next(self.memory.scores(rows, (self.neighbours,)))[1]


class _Memory:
    """Unit vectors of the training rows, centred and scaled by them, with what each row says."""

    def __init__(self, source: Features, data: LabelledData, seed: int, part: str) -> None:
        self.source, self.seed, self.part = source, seed, part
        train = data.splits["train"]
        found = source.vectors(train, seed, part)
        self.scaler = StandardScaler().fit(found)
        self.keys = self._unit(found)
        self.says = torch.from_numpy(_answers(data, train))

    def _unit(self, vectors: Embeddings) -> torch.Tensor:
        scaled = torch.from_numpy(self.scaler.transform(vectors))
        return torch.nn.functional.normalize(scaled, dim=1)

    def scores(self, rows: LabelledSplit, ks: tuple[int, ...]) -> Iterator[tuple[int, Floats]]:
        """For each number of neighbours its answers (n, K), of all rows where there are fewer; the
        search is done once.
        """
        queries = self._unit(self.source.vectors(rows, self.seed, self.part))
        size = max(1, _PAIRS_AT_ONCE // len(self.keys))
        found = [_nearest(some, self.keys, max(ks)) for some in torch.split(queries, size)]
        similar, at = (torch.cat(each) for each in zip(*found, strict=True))
        for k in ks:
            weights = torch.softmax(similar[:, :k] / TEMPERATURE, dim=1).double()
            yield k, (weights[..., None] * self.says[at[:, :k]]).sum(1).numpy()


def _nearest(queries: torch.Tensor, keys: torch.Tensor, k: int) -> tuple[torch.Tensor, ...]:
    """Similarities and places (n, k) of the most similar keys, of all where there are fewer."""
    found = (queries @ keys.T).topk(min(k, len(keys)), dim=1)
    return found.values, found.indices


def _answers(data: LabelledData, rows: LabelledSplit) -> Floats:
    """What each row says, (n, K): one-hot classes, 0/1 labels, or values."""
    if data.kind in ("binary", "multiclass"):
        return np.eye(len(data.classes))[rows.labels.astype(np.int64)]
    return rows.labels.astype(np.float64)
