"""Effects of single bases of a sequence: substitutions, gradients, masked marginals.

Every function returns one matrix per strand, (S, L, 4) for L bases and A C G T of the given
sequence. Those of the other strand are reverse-complemented, so that the mean over strands is the
result of a model that averages strands. N has no effect: NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from findna.files import BadInput
from findna.inference.devices import usual_batch_bases
from findna.inference.masked import hidden_log_probs
from findna.inference.tiles import tile
from findna.model.heads import TaskConfig
from findna.model.model import Model
from findna.sequence.alphabet import (
    BASES,
    COMPLEMENT,
    VOCABULARY,
    Codes,
    Flags,
    Strand,
    reverse_complement,
)
from findna.sequence.records import Record

Matrix = NDArray[np.float64]
Tick = Callable[[int], None]


def no_tick(bases: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Effects of the bases of a record of L bases, for one model or several.

    `effects` (L, 4) of A C G T at each position, 0 for the base present there; `contributions`
    (L, 4), hypothetical, with mean 0 over the four bases. NaN at N. `strands` and `models` are the
    agreement of what was averaged, NaN if there was only one.
    """

    record: Record
    effects: Matrix
    contributions: Matrix
    strands: float
    models: float

    @property
    def codes(self) -> Codes:
        """Bases (L,), in reading direction."""
        return self.record.codes


@dataclass(frozen=True, slots=True)
class Target:
    """The output of a fine-tuned model that is explained: a logit, or a value in its own units."""

    name: str
    output: int
    factor: float
    unit: str

    def read(self, logits: Tensor) -> Tensor:
        """Logits (B, outputs) → the target (B,)."""
        return logits[:, self.output] * self.factor


def target_of(task: TaskConfig, name: str | None = None) -> Target:
    """The class or regression target called `name`; None is the second class of a binary task, or
    the only target of a regression.

    A binary task has one logit, that of its second class; the first class is its negative.

    Raises:
        BadInput: no such class, or several classes and no name.
    """
    if name is None and task.outputs > 1:
        raise BadInput(
            f"this model has {task.outputs} outputs, but only one can be explained at a time",
            remedy=f"choose one with --target: {', '.join(task.classes)}",
        )
    name = task.classes[-1] if name is None else name
    if name not in task.classes:
        raise BadInput(
            f"this model has no class or target {name!r}",
            remedy=f"it has: {', '.join(task.classes)}",
        )
    at = task.classes.index(name)
    if task.kind == "binary":
        return Target(name, 0, 2.0 * at - 1, f"change of the logit of {name}")
    if task.kind == "regression":
        spread = task.target_sd[at] if task.target_sd else 1.0
        return Target(name, at, spread, f"change of {name}, in its own units")
    return Target(name, at, 1.0, f"change of the logit of {name}")


def substituted(codes: Codes) -> Flags:
    """Which of (L, 4) are substitutions: a base other than that of codes (L,), which is not N."""
    return np.asarray((codes < BASES)[:, None] & (codes[:, None] != np.arange(BASES)))


def centred(matrix: Matrix) -> Matrix:
    """A matrix (..., 4) minus its mean over the four bases: the form of hypothetical contributions.

    A sequence has one base at each position, so what all four share has no effect (Majdandzic et
    al. 2023, Genome Biol 24:109, for gradients).
    """
    return np.asarray(matrix - matrix.mean(-1, keepdims=True))


# ---------------------------------------------------------------- fine-tuned models


def substitution_effects(
    model: Model,
    codes: Codes,
    target: Target,
    *,
    strand: Strand = "both",
    batch_bases: int | None = None,
    tick: Tick = no_tick,
) -> Matrix:
    """The effect of every single-base substitution of codes (L,) on the target, (S, L, 4).

    3 L forward passes of the whole sequence per strand; the base present has effect 0.
    """
    bases = batch_bases or usual_batch_bases(model.device)
    return _by_strand(codes, strand, lambda read: _substitute(model, read, target, bases, tick))


def _substitute(model: Model, codes: Codes, target: Target, batch_bases: int, tick: Tick) -> Matrix:
    effects = np.where((codes < BASES)[:, None], np.zeros(BASES), np.nan)
    places, letters = np.nonzero(substituted(codes))
    before = _ask(model, codes[None], target)
    for part in _parts(len(places), batch_bases // len(codes)):
        where = places[part]
        changed = np.repeat(codes[None], len(where), 0)
        changed[np.arange(len(where)), where] = letters[part]
        effects[where, letters[part]] = _ask(model, changed, target) - before
        tick(changed.size)
    return effects


def _ask(model: Model, codes: Codes, target: Target) -> Matrix:
    """The target (n,) of n equally long sequences (n, L), on the forward strand."""
    with torch.inference_mode():
        batch = torch.from_numpy(codes).to(model.device).long()
        # Doubled here: MPS has no float64.
        return np.asarray(target.read(model.task_logits(batch, strand="forward")).cpu().double())


def gradients(model: Model, codes: Codes, target: Target, *, strand: Strand = "both") -> Matrix:
    """Gradient of the target with respect to the one-hot sequence, (S, L, 4): hypothetical
    contributions.

    A base is a mixture of A C G T with weights (L, 4), wherever the model reads it; the gradient
    with respect to the weights is taken at the sequence itself and centred over the four bases. For
    the base present it is gradient × input (Shrikumar et al. 2017, arXiv 1605.01713).
    """
    return _by_strand(codes, strand, lambda read: centred(_slope(model, read, target)))


def _slope(model: Model, codes: Codes, target: Target) -> Matrix:
    if model.task_head is None:
        raise ValueError("this model has no task head: fine-tune it first")
    read = torch.from_numpy(codes).to(model.device).long()[None]
    with torch.enable_grad():
        letters = F.one_hot(read, VOCABULARY).to(model.encoder.embedding.weight.dtype)
        vectors = model.encoder.mixed(letters.requires_grad_())
        # Adds zero, but makes the output differentiable with respect to the letters.
        encoded = model.encode(read, noise=vectors - vectors.detach())
        encoded = replace(encoded, letters=letters)
        (slope,) = torch.autograd.grad(target.read(model.task_head(encoded)).sum(), letters)
    found = slope[0, :, :BASES].cpu().double().numpy()
    return np.where((codes < BASES)[:, None], found, np.nan)


# ---------------------------------------------------------------- pretrained models


def marginals(
    model: Model,
    codes: Codes,
    asked: Flags,
    *,
    window: int,
    sets: int | None = None,
    strand: Strand = "both",
    batch_bases: int | None = None,
    tick: Tick = no_tick,
) -> Matrix:
    """Log-probabilities (natural) of A C G T at the asked bases of codes (L,), (S, L, 4).

    Sequences longer than `window` are read in overlapping windows. Bases are hidden one at a time,
    or every `sets`-th at once, which costs `sets` passes per window.
    """
    bases = batch_bases or usual_batch_bases(model.device)

    def answer(read: Codes, wanted: Flags) -> Matrix:
        return _tiled(model, read, wanted & (read < BASES), window, sets or window, bases, tick)

    ahead = answer(codes, asked)
    if strand == "forward":
        return ahead[None]
    return np.stack([ahead, turned_back(answer(reverse_complement(codes), asked[::-1]))])


def _tiled(
    model: Model, codes: Codes, asked: Flags, window: int, sets: int, bases: int, tick: Tick
) -> Matrix:
    """(L, 4) of one strand; each base is taken from the window that keeps it."""
    answers = np.full((len(codes), BASES), np.nan)
    for start, end, keep_start, keep_end in zip(*tile(len(codes), window), strict=True):
        wanted = np.zeros(end - start, np.bool_)
        kept = slice(keep_start - start, keep_end - start)
        wanted[kept] = asked[keep_start:keep_end]
        found = _hide_in_turn(model, codes[start:end], wanted, sets, bases, tick)
        answers[keep_start:keep_end] = found[kept]
    return answers


def _hide_in_turn(
    model: Model, codes: Codes, asked: Flags, sets: int, bases: int, tick: Tick
) -> Matrix:
    """(L, 4) of one window: base i is hidden in pass i % sets."""
    answers = np.full((len(codes), BASES), np.nan)
    turns = np.arange(len(codes)) % sets
    passes = np.unique(turns[asked])
    for part in _parts(len(passes), bases // len(codes)):
        hidden = asked & (turns == passes[part, None])
        shown = np.repeat(codes[None], len(hidden), 0)
        found = hidden_log_probs(model, shown, hidden, strand="forward", batch_bases=bases)
        row, place = np.nonzero(hidden)
        answers[place] = found[row, place]
        tick(shown.size)
    return answers


def against_reference(log_probs: Matrix, codes: Codes) -> Matrix:
    """Log-probabilities (..., L, 4) minus that of the base present; N stays NaN."""
    letter = np.minimum(codes, BASES - 1).astype(np.int64)
    here = log_probs[..., np.arange(len(codes)), letter]
    return np.asarray(log_probs - here[..., None])


# ---------------------------------------------------------------- strands and agreement


def turned_back(matrix: Matrix) -> Matrix:
    """A matrix (..., L, 4) of the other strand, reverse-complemented to the given one."""
    return np.asarray(matrix[..., ::-1, :][..., COMPLEMENT[:BASES]])


def _by_strand(codes: Codes, strand: Strand, answer: Callable[[Codes], Matrix]) -> Matrix:
    ahead = answer(codes)
    if strand == "forward":
        return ahead[None]
    return np.stack([ahead, turned_back(answer(reverse_complement(codes)))])


def agreement(matrices: Sequence[Matrix], codes: Codes) -> float:
    """Mean Pearson correlation between matrices (L, 4) over the substitutions of codes (L,).

    NaN for fewer than two matrices, fewer than two substitutions, or a constant matrix.
    """
    asked = substituted(codes)
    values = np.array([matrix[asked] for matrix in matrices])
    if len(values) < 2 or values.shape[1] < 2 or (np.ptp(values, axis=1) == 0).any():
        return float("nan")
    pairs = np.triu_indices(len(values), 1)
    return float(np.corrcoef(values)[pairs].mean())


def _parts(count: int, size: int) -> Iterator[slice]:
    """Slices of `size`, at least one, over `count` items."""
    size = max(1, size)
    yield from (slice(first, first + size) for first in range(0, count, size))
