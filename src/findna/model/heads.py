"""Heads: what is computed from the backbone's vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from findna.data.parts import TaskKind
from findna.model.chordmixer import ChordMixerConfig
from findna.model.encoded import Encoded
from findna.model.words import PAIRS, words
from findna.sequence.alphabet import Strand
from findna.settings import Settings

# Smallest standard deviation by which a task head divides a channel.
LEAST_DEVIATION = 1e-3
# The same for placed pairs: a pair that few rows have would identify them.
_LEAST_OF_PAIRS = 0.1
Pooling = Literal[
    "mean", "max", "summary", "bins", "early-bins", "deviation", "layers", "deviations", "4-mers",
    "6-mers", "placed-pairs",
]  # fmt: skip
# Poolings that change when a sequence is cut elsewhere.
PLACED_PARTS: frozenset[Pooling] = frozenset({"bins", "early-bins", "placed-pairs"})
# k of the poolings of k-mer frequencies.
_WORDS: dict[Pooling, int] = {"4-mers": 4, "6-mers": 6}


class ProjectionConfig(Settings):
    """Shape of the head that turns summary rows into scores over prototypes."""

    kind: Literal["prototypes", "shared"] = Field(
        "prototypes",
        description="Own MLP with prototypes, or the base head itself as in the reference code.",
    )
    hidden: int = Field(256, ge=1, description="Channels of the two hidden layers.")
    bottleneck: int = Field(64, ge=1, description="Channels of the L2-normalised bottleneck.")
    prototypes: int = Field(512, ge=2, description="Number of prototypes, K.")


class ProjectionHead(nn.Module):
    """MLP, L2-normalised bottleneck and weight-normalised prototypes (DINO, Caron et al. 2021,
    section 3.1).
    """

    def __init__(self, width: int, config: ProjectionConfig) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.bottleneck),
        )
        self.prototypes = weight_norm(nn.Linear(config.bottleneck, config.prototypes, bias=False))
        nn.init.normal_(self.prototypes.parametrizations.weight.original1)
        # Unit-length prototypes, as in DINO: scores are cosines, and no prototype wins by its norm.
        self.prototypes.parametrizations.weight.original0.data.fill_(1.0)
        # Trained prototypes coincide within 40 steps, which makes every output uniform: they stay
        # at their random values, and the network adapts (DINO freezes them for its first epoch for
        # the same reason).
        self.prototypes.requires_grad_(False)

    def forward(self, summary: Tensor) -> Tensor:
        """Summary rows (B, S, D) → cosine scores (B, S, K)."""
        scores: Tensor = self.prototypes(F.normalize(self.mlp(summary), dim=-1))
        return scores


class Calibration(Settings):
    """Calibration of logits: `scale * logits + shift`, one pair per logit.

    The factors are positive, and equal for a multiclass task, so that the ranking of rows (and,
    except for the shifts, of classes) is that of the network.
    """

    scale: tuple[float, ...] = Field(description="Factor of each logit.")
    shift: tuple[float, ...] = Field(description="Shift added to each logit after that.")

    @model_validator(mode="after")
    def _finite(self) -> Calibration:
        if not all(math.isfinite(s) and s > 0 for s in self.scale):
            raise ValueError("factors of a calibration must be positive and finite")
        if not all(math.isfinite(s) for s in self.shift):
            raise ValueError("shifts of a calibration must be finite")
        return self


class TaskConfig(Settings):
    """What a fine-tuned model answers, and how."""

    kind: TaskKind = Field(description="binary, multiclass, multilabel or regression.")
    classes: tuple[str, ...] = Field(
        description="Classes in the order of the outputs; names of targets."
    )
    pooling: tuple[Pooling, ...] = Field(
        ("mean", "max", "summary"), description="What is read of a sequence, concatenated."
    )
    bins: int = Field(
        16,
        ge=1,
        description="Number of equal parts of the sequence whose means pooling over bins reads.",
    )
    places: int = Field(
        0,
        ge=0,
        description="Positions from the start whose dinucleotides pooling placed-pairs reads.",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout before the last layer.")
    strand: Strand = Field(
        "both", description="Average the logits of both strands, or read only the given strand."
    )
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Threshold of a binary task: from this probability upwards the second class"
        " is predicted.",
    )
    prevalence: tuple[float, ...] = Field(
        (), description="Class frequencies that the probabilities assume."
    )
    calibration: Calibration | None = Field(
        None, description="From logits to calibrated logits; none: logits as they are."
    )
    target_mean: tuple[float, ...] = Field((), description="Mean of each regression target.")
    target_sd: tuple[float, ...] = Field((), description="Standard deviation of each target.")

    @model_validator(mode="after")
    def _classes_fit(self) -> TaskConfig:
        if self.kind == "binary" and len(self.classes) != 2:
            raise ValueError(f"a binary task has two classes, got {len(self.classes)}")
        if self.kind == "multiclass" and len(self.classes) < 2:
            raise ValueError("a multiclass task needs at least two classes")
        if not self.classes:
            raise ValueError("a task needs at least one class or target name")
        if not self.pooling:
            raise ValueError(f"pooling names at least one of {', '.join(get_args(Pooling))}")
        if "placed-pairs" in self.pooling and not self.places:
            raise ValueError("pooling placed-pairs needs a number of positions")
        return self

    @model_validator(mode="after")
    def _calibration_fits(self) -> TaskConfig:
        if self.prevalence and len(self.prevalence) != len(self.classes):
            raise ValueError("prevalence needs one frequency per class")
        if not all(0 < share < 1 for share in self.prevalence):
            raise ValueError("class frequencies must lie between 0 and 1")
        if self.calibration is None:
            return self
        widths = {len(self.calibration.scale), len(self.calibration.shift)}
        if self.kind == "regression" or widths != {self.outputs}:
            raise ValueError("a calibration needs one factor and one shift per logit")
        return self

    @property
    def outputs(self) -> int:
        """Logits per sequence: one for a binary task (its second class), else one per class or
        target.
        """
        return 1 if self.kind == "binary" else len(self.classes)


def channels(
    parts: Sequence[Pooling], backbone: ChordMixerConfig, bins: int = 1, places: int = 0
) -> int:
    """Width of what `pool` returns."""
    every = backbone.depth + 1
    blocks = {"bins": bins, "early-bins": bins, "layers": every, "deviations": every}
    letters = {"placed-pairs": places * PAIRS, **{part: words(k) for part, k in _WORDS.items()}}
    return sum(letters.get(part, backbone.width * blocks.get(part, 1)) for part in parts)


def widths_of(task: TaskConfig, backbone: ChordMixerConfig) -> list[int]:
    """Channels of each pooling that the head of a task reads."""
    return [channels((part,), backbone, task.bins, task.places) for part in task.pooling]


def pool(
    encoded: Encoded,
    parts: Sequence[Pooling],
    bins: int = 1,
    turned: bool = False,
    places: int = 0,
) -> Tensor:
    """Concatenated poolings of each sequence, (B, channels), without padding.

    "mean", "max", "summary" and "deviation" are as wide as the backbone, D. "bins" keeps positions:
    the means of `bins` parts of equal length, (B, bins * D); "early-bins" are those of the first
    layer, whose vectors depend on little more than the bases there. "layers" keeps what the last
    layer has lost: the means of every layer and of the final norm, (B, (depth + 1) * D);
    "deviations" are their standard deviations over bases, of the same shape. "4-mers" and "6-mers"
    are k-mer frequencies relative to their mean, strands joined, (B, 136) and (B, 2080), which do
    not depend on the network; "placed-pairs" are the pairs of bases at each of the first `places`
    positions, (B, places * 16). For reverse-complemented (`turned`) sequences, bins are in the
    order of the given strand.
    """
    read: dict[Pooling, Callable[[], Tensor]] = {
        "mean": encoded.mean,
        "max": encoded.maximum,
        "summary": lambda: encoded.summary.mean(1),
        "bins": lambda: _bins(encoded, bins, turned, early=False),
        "early-bins": lambda: _bins(encoded, bins, turned, early=True),
        "deviation": encoded.deviation,
        "layers": lambda: _layers(encoded)[:, :, 0].flatten(1),
        "deviations": lambda: _layers(encoded)[:, :, 1].flatten(1),
        "placed-pairs": partial(encoded.placed_pairs, places),
        **{part: partial(encoded.words, k) for part, k in _WORDS.items()},
    }
    return torch.cat([read[part]() for part in parts], dim=-1)


def _bins(encoded: Encoded, count: int, turned: bool, early: bool) -> Tensor:
    binned = encoded.binned(count, early)
    return (binned.flip(1) if turned else binned).flatten(1)


class Asked(NamedTuple):
    """What pooling needs besides the last layer: moments of all layers (1: means, 2: also
    deviations), and the output of the first layer.
    """

    moments: int
    early: bool

    @classmethod
    def by(cls, parts: Sequence[Pooling]) -> Asked:
        """What these poolings need."""
        return cls(2 if "deviations" in parts else int("layers" in parts), "early-bins" in parts)


def _layers(encoded: Encoded) -> Tensor:
    if encoded.layers is None:
        raise ValueError("pooling over layers needs a batch that was encoded with moments of them")
    return encoded.layers


class TaskHead(nn.Module):
    """Pooling, standardisation, dropout and one linear layer.

    Pooled vectors are similar: most of each is the mean over all sequences, which dominates a fresh
    linear layer (its first losses are then above those of the class frequencies, and the gradient
    that reaches the backbone is noise). So every channel is standardised to mean 0 and deviation 1
    over training rows, once, before training: see :meth:`standardise`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: ChordMixerConfig, config: TaskConfig) -> None:
        super().__init__()
        self.widths = widths_of(config, backbone)
        width = sum(self.widths)
        self.parts, self.bins, self.places = config.pooling, config.bins, config.places
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(width, config.outputs)
        # A fresh head predicts a constant: the first loss is not that of noise.
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @property
    def asked(self) -> Asked:
        """What batches must be encoded with."""
        return Asked.by(self.parts)

    def pooled(self, encoded: Encoded) -> Tensor:
        """The input of the head for each sequence, (B, channels)."""
        return pool(encoded, self.parts, self.bins, places=self.places)

    @torch.no_grad()
    def standardise(self, pooled: Tensor) -> None:
        """Set mean and deviation of each channel from pooled vectors (n, channels)."""
        least = [_LEAST_OF_PAIRS if p == "placed-pairs" else LEAST_DEVIATION for p in self.parts]
        floor = torch.tensor(least).repeat_interleave(torch.tensor(self.widths)).to(pooled.device)
        self.mean.copy_(pooled.mean(0))
        self.deviation.copy_(pooled.std(0, correction=0).maximum(floor))

    def forward(self, encoded: Encoded) -> Tensor:
        """Encoded batch → logits (B, outputs)."""
        features = (self.pooled(encoded) - self.mean) / self.deviation
        logits: Tensor = self.linear(self.dropout(features))
        return logits
