"""What a network knows of held-out DNA, and whether its training is healthy.

Windows and hidden positions are fixed once from the seed. Every chosen base becomes MASK, there is
no noise and no augmentation, and only MASK positions count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from findna.data.masking import HidingSettings, hide
from findna.data.starts import fixed_windows
from findna.inference.precision import ResolvedPrecision, autocast
from findna.model.model import Distilled, Model, reverse_complement
from findna.resampling import percentile_interval, resample_counts
from findna.sequence.alphabet import Codes, codes_of
from findna.sequence.genome import Genome
from findna.settings import Settings
from findna.training.markov import yardsticks

YOUNG = 300  # steps before which summary tokens that say little are no sign of a collapse
# Fixed on two recipes that collapse, checked on two others: benchmarks/collapse.py.
SILENT, ON_A_LINE = 0.02, 2.0
EMBEDDED = 512  # windows over which ranks, entropies and agreement are measured
# Fewer windows are cut into parts: centred vectors of n windows have a rank below n whatever the
# network is. With fewer than so many parts nothing is said of a collapse.
ENOUGH, LEAST = 32, 8
SHORTEST_PART = 64  # bp
_BASES_AT_ONCE = 32_768  # through a network
_RESAMPLES = 1000


class ValidationSettings(Settings):
    """How much held-out DNA is looked at, and how."""

    bases: int = Field(65_536, ge=64, description="Held-out bases per check during training.")
    final_bases: int = Field(1_048_576, ge=64, description="Held-out bases of the final check.")
    hidden: float = Field(
        0.15, gt=0, le=0.5, description="Fraction of the bases shown as MASK, all of which count."
    )
    checks: int = Field(20, ge=1, description="Number of checks during a run.")


@dataclass(frozen=True)
class HeldOut:
    """Fixed windows with fixed hidden bases: codes, targets (n, L) int64, hidden (n, L) bool."""

    codes: Tensor
    targets: Tensor
    hidden: Tensor
    starts: NDArray[np.int64]

    @property
    def places(self) -> NDArray[np.int64]:
        """Store offsets of the hidden bases, row by row."""
        inside = np.arange(self.codes.shape[1])
        places: NDArray[np.int64] = (self.starts[:, None] + inside)[self.hidden.numpy()]
        return places


def held_out(
    genome: Genome,
    runs: NDArray[np.int64],
    *,
    length: int,
    bases: int,
    hidden: float,
    max_n: float,
    seed: int,
) -> HeldOut:
    """Draw windows of ``length`` from the held-out ``runs`` and hide bases in them, once."""
    count = max(1, bases // length)
    starts = fixed_windows(genome, runs, length, count, seed, max_n)
    codes = codes_of(genome.store[starts[:, None] + np.arange(length)])
    return masked(codes, starts, hidden, seed)


def masked(codes: Codes, starts: NDArray[np.int64], share: float, seed: int) -> HeldOut:
    """Windows (n, L) with a share of their known bases shown as MASK, the same ones every time."""
    settings = HidingSettings(fixed_rate=share, mask=1.0, random=0.0)
    rows = np.arange(len(codes))
    done = hide(torch.from_numpy(codes.astype(np.int64)), seed, 0, rows, settings)
    return HeldOut(done.codes, done.targets, done.hidden, starts)


@dataclass(frozen=True)
class Reference:
    """Losses of the yardsticks at the hidden bases of the validation windows, nats a base."""

    letter_entropy: float
    markov_loss: float
    markov_k: int
    markov_smoothing: float
    markov_fitted_bases: int


def reference(genome: Genome, train: NDArray[np.int64], validation: HeldOut) -> Reference:
    """Letters and the two-sided Markov model, fitted on the training runs."""
    found = yardsticks(genome, train, validation.places)
    return Reference(
        float(found.letters.mean()),
        float(found.markov.mean()),
        found.k,
        found.smoothing,
        found.fitted_bases,
    )


@dataclass(frozen=True)
class MaskedScore:
    """MASK-only figures of one network; the interval is 95 %, by resampling windows, or parts of
    few long ones.
    """

    loss: float
    accuracy: float
    low: float
    high: float
    count: int


def masked_score(network: Model, data: HeldOut, *, precision: ResolvedPrecision) -> MaskedScore:
    """Cross-entropy in nats and accuracy over the MASK positions of ``data``."""
    table = masked_sums(network, data, precision=precision)
    low, high = ratio_interval(table[:, 0], table[:, 2], _RESAMPLES)
    whole, correct, count = (float(x) for x in table.sum(0))
    return MaskedScore(whole / count, correct / count, low, high, int(count))


@torch.no_grad()
def masked_sums(
    network: Model, data: HeldOut, *, precision: ResolvedPrecision
) -> NDArray[np.float64]:
    """Of each window, or where there are few of each part of one (n, 3): sum of cross-entropies in
    nats, right answers, MASK positions.
    """
    sums = []
    each = _parts_a_window(*data.codes.shape)
    rows = max(1, _BASES_AT_ONCE // data.codes.shape[1])
    for codes, targets, hidden in zip(
        data.codes.split(rows), data.targets.split(rows), data.hidden.split(rows), strict=True
    ):
        with autocast(network.device, precision):
            logits = network.base_logits(network.encode(codes.to(network.device)).bases)
        logits = logits.float().cpu()
        known = targets.clamp(max=3)
        loss = F.cross_entropy(logits.flatten(0, 1), known.flatten(), reduction="none")
        right = logits.argmax(-1) == known
        found = torch.stack([loss.view_as(hidden) * hidden, right & hidden, hidden], -1).double()
        parts = [part.sum(1) for part in found.tensor_split(each, dim=1)]
        sums.append(torch.stack(parts, 1).flatten(0, 1))
    return np.asarray(torch.cat(sums).numpy())


def ratio_interval(
    top: NDArray[np.float64], bottom: NDArray[np.float64], resamples: int
) -> tuple[float, float]:
    """95 % interval of sum(top) / sum(bottom) when whole windows are drawn again."""
    chunks = resample_counts(len(top), resamples, seed=0)
    drawn = np.concatenate([(counts @ top) / (counts @ bottom) for counts in chunks])
    found = percentile_interval(float(top.sum() / bottom.sum()), drawn, "no base was hidden")
    low, high = (math.nan if edge is None else edge for edge in (found.low, found.high))
    return low, high


@torch.no_grad()
def health(
    student: Model,
    teacher: Model,
    data: HeldOut,
    *,
    student_temperature: float,
    precision: ResolvedPrecision,
    target: Distilled = "summary",
) -> dict[str, float]:
    """Figures that show a collapse before the loss does, on visible windows.

    * ``effective_rank``: exp of the entropy of the normalised singular values of the student's
      centred window embeddings (Roy and Vetterli 2007); 1 means that all windows lie on a line.
    * ``teacher_entropy``: mean entropy in nats of the teacher's answers, at most ln K. Both
      networks answer with softmax(scores / student temperature): no centre or balance, which would
      hide a collapse.
    * ``token_information``: entropy of the teacher's mean answer minus mean entropy of its
      answers, median over tokens, in nats: what a token's answer tells of which window it saw. 0 is
      collapse, whatever the entropy. ``least_token_information`` is that of the token that tells
      least, and ``silent_tokens`` counts those that tell nothing (below ``SILENT``).
    * ``windows``: over how many windows, or parts of few long ones, these are measured.
    * ``strand_agreement``: mean cosine between centred embeddings of both strands.
    * ``distillation_loss``: cross-entropy of the student's answers against the teacher's.
    """
    parts: list[tuple[Tensor, ...]] = []
    codes = in_parts(data.targets[:EMBEDDED]).to(student.device)
    asked = in_parts(data.hidden[:EMBEDDED]).to(student.device)
    rows = max(1, _BASES_AT_ONCE // codes.shape[1])
    for piece, hidden in zip(codes.split(rows), asked.split(rows), strict=True):
        with autocast(student.device, precision):
            seen = student.encode(piece)
            turned = student.encode(reverse_complement(piece)).mean()
            said = student.project(student.distilled(seen, target, hidden))
            answer = teacher.project(teacher.distilled(teacher.encode(piece), target, hidden))
        parts.append((seen.mean().float(), turned.float(), said.float(), answer.float()))
    forward, backward, said, answer = (torch.cat(part) for part in zip(*parts, strict=True))
    chances = F.softmax(answer / student_temperature, -1)
    loss = -(chances * F.log_softmax(said / student_temperature, -1)).sum(-1).mean()
    entropy = _entropy(chances).mean(0)
    information = _entropy(chances.mean(0)) - entropy
    middle = forward.mean(0)
    agreement = F.cosine_similarity(forward - middle, backward - middle, dim=-1).mean()
    return {
        "windows": len(forward),
        "distillation_loss": float(loss),
        "effective_rank": effective_rank(forward),
        "teacher_entropy": float(entropy.mean()),
        "token_information": float(information.quantile(0.5)),
        "least_token_information": float(information.min()),
        "silent_tokens": int((information < SILENT).sum()),
        "tokens": len(information),
        "strand_agreement": float(agreement),
    }


def in_parts(windows: Tensor) -> Tensor:
    """Windows (n, L) as they are, or where there are few, in equal parts: at least `ENOUGH`, if
    these are not shorter than `SHORTEST_PART`.
    """
    count, length = windows.shape
    each = _parts_a_window(count, length)
    part = length // each
    return windows[:, : each * part].reshape(count * each, part)


def _parts_a_window(count: int, length: int) -> int:
    return min(-(-ENOUGH // count), max(1, length // SHORTEST_PART))


def _entropy(chances: Tensor) -> Tensor:
    return -(chances * chances.clamp(min=1e-12).log()).sum(-1)


def effective_rank(embeddings: Tensor) -> float:
    """exp(entropy of the singular values) of centred embeddings (n, D); 0 when they are all
    equal.
    """
    # On the host: not every device has float64.
    values = torch.linalg.svdvals((embeddings - embeddings.mean(0)).cpu().double())
    if float(values.sum()) < 1e-9:
        return 0.0
    return math.exp(float(_entropy(values / values.sum())))


def verdict(numbers: dict[str, Any], *, distilling: bool) -> str:
    """One sentence on the state of the training, from the figures of a check."""
    many = numbers["windows"] >= LEAST
    if many and numbers["effective_rank"] < ON_A_LINE:
        return (
            "COLLAPSING: the embeddings of all windows are nearly the same (effective rank below 2)"
        )
    if many and distilling and numbers["step"] >= YOUNG and numbers["silent_tokens"]:
        silent = f"{numbers['silent_tokens']} of {numbers['tokens']} outputs per window"
        return f"COLLAPSING: the teacher's outputs no longer depend on the window ({silent})"
    if numbers["mask_loss"] >= numbers["letter_entropy"]:
        return "not learning yet: hidden bases are predicted no better than from base frequencies"
    if numbers["mask_loss"] >= numbers["markov_loss"]:
        gap = numbers["mask_loss"] - numbers["markov_loss"]
        return f"learning: {gap:.4f} nats per base above the two-sided Markov model (short words)"
    gap = numbers["markov_loss"] - numbers["mask_loss"]
    return f"learning: {gap:.4f} nats per base below the two-sided Markov model"
