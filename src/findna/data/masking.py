"""Hiding bases: the last step on codes, so the target is the view before it.

Each window draws its own rate. One hash serves two positions: 16 bits decide whether a known base
is hidden and, multiplied by an odd number, how. The arithmetic uses small integers and masks of all
ones: comparisons of these types are several times slower in PyTorch on a CPU.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from findna.data.on_device import sent
from findna.data.randomness import Purpose, Samples, half_words, integers, normal, row_hash, uniform
from findna.sequence.alphabet import MASK
from findna.settings import Settings

# A known base draws an even number below 2^15; an unknown one gets a larger number.
_NEVER = 0x7FFF
_EVEN = 0x7FFE
_SCALE = 1 << 15
# Odd, and close to 2^15 times the golden ratio: its multiples fill [0, 2^15) evenly, so that the
# shares of the three kinds hold among the hidden bases of every rate.
_KIND = 20251


class HidingSettings(Settings):
    """How many bases are hidden, and what stands in their place."""

    max_rate: float = Field(
        0.5,
        gt=0,
        le=0.95,
        description="Largest fraction of known bases hidden; the mean is 3/5 of it.",
    )
    fixed_rate: float | None = Field(
        None,
        gt=0,
        le=0.95,
        description="One fixed fraction for every window instead of a random one.",
    )
    mask: float = Field(0.8, ge=0, le=1, description="Fraction of the hidden bases shown as MASK.")
    span: int = Field(
        1,
        ge=1,
        description="Length of the runs of bases that are hidden together; 1: single bases.",
    )
    random: float = Field(
        0.1, ge=0, le=1, description="Fraction of the hidden bases shown as a random base."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> "HidingSettings":
        if self.mask + self.random > 1:
            raise ValueError(f"mask {self.mask} and random {self.random} add up to more than 1")
        # The settings file of a run lists all settings, so max_rate at its default is no conflict.
        usual = type(self).model_fields["max_rate"].default
        if self.fixed_rate is not None and self.max_rate != usual:
            raise ValueError(
                f"give one of max_rate, {self.max_rate}, and fixed_rate, {self.fixed_rate}:"
                " fixed_rate replaces random rates (fixed_rate null: none)"
            )
        return self


@dataclass(frozen=True)
class Hidden:
    """A view with hidden bases: codes and targets int64 (B, L), hidden bool (B, L)."""

    codes: Tensor
    hidden: Tensor
    targets: Tensor


def hide(view: Tensor, seed: int, epoch: int, ids: Samples, settings: HidingSettings) -> Hidden:
    """Hide known bases of `view` (B, L), any integer type; targets are `view` itself.

    Every window with a known base has at least one hidden; N and PAD never are.
    """
    rate_bits, keys, phases = row_hash(
        seed, epoch, ids, (Purpose.HIDING_RATE, Purpose.HIDING, Purpose.HIDING_PHASE)
    )
    bits = half_words(keys, view.shape[1], view.device)
    before = view.to(torch.int16)
    unknown = (before >> 2).mul_(_NEVER)
    draw = (_shared(bits, phases, settings.span) & _EVEN).bitwise_or_(unknown)
    # The smallest draw of a window is always hidden, whatever its rate.
    least = draw.amin(1, keepdim=True).clamp_(max=_EVEN).add_(1)
    limits = torch.maximum(least, _limits(hiding_rates(rate_bits, settings), view.device))
    hidden = draw.sub_(limits).bitwise_right_shift_(15)

    kind = (bits * _KIND).bitwise_or_(-_SCALE)
    masked = _below(kind, settings.mask).bitwise_and_(hidden)
    drawn = _below(kind, settings.mask + settings.random).bitwise_and_(hidden).bitwise_xor_(masked)
    to_base = kind.bitwise_and_(3).bitwise_xor_(before).bitwise_and_(drawn)
    to_mask = (before ^ MASK).bitwise_and_(masked)
    return Hidden(
        before.bitwise_xor_(to_mask).bitwise_xor_(to_base).to(torch.int64),
        hidden.to(torch.bool),
        view.to(torch.int64),
    )


def _shared(bits: Tensor, phases: NDArray[np.uint64], span: int) -> Tensor:
    """The bits (B, L) that decide: one draw per stretch of `span` bases, shifted row by row."""
    if span == 1:
        return bits
    first = sent(integers(phases, span), bits.device)
    stretch = (first[:, None] + torch.arange(bits.shape[1], device=bits.device)) // span
    return bits.gather(1, stretch)


def hiding_rates(bits: NDArray[np.uint64], settings: HidingSettings) -> NDArray[np.float64]:
    """Probability (B,) that a known base is hidden: max_rate * u^(2/3), of mean 3/5 max_rate."""
    if settings.fixed_rate is not None:
        return np.full(len(bits), settings.fixed_rate)
    return settings.max_rate * np.cbrt(uniform(bits)) ** 2


def embedding_noise(
    seed: int,
    epoch: int,
    ids: Samples,
    length: int,
    width: int,
    sd: float,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Gaussian noise for the embeddings of a batch: float32 (B, length, width)."""
    bits = half_words(row_hash(seed, epoch, ids, Purpose.NOISE), length * width, device)
    return normal(bits).mul_(sd).view(len(ids), length, width)


def _limits(rates: NDArray[np.float64], device: torch.device) -> Tensor:
    """The draw (an even number) below which a base is hidden, int16 (B, 1)."""
    limits = 2 * np.rint(rates * (_SCALE // 2))
    return sent(limits.astype(np.int16), device)[:, None]


def _below(kind: Tensor, share: float) -> Tensor:
    """All ones where `kind` (-2^15 to -1) lies in the lowest `share`, else 0; int16."""
    return (kind - (round(share * _SCALE) - _SCALE)).bitwise_right_shift_(15)
