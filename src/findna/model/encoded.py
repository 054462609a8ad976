"""The output of the backbone for a batch, and poolings of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from findna.model.words import (
    mixed_placed_pairs,
    mixed_word_shares,
    placed_pairs,
    word_shares,
    words,
)


@dataclass(frozen=True)
class Encoded:
    """An encoded batch.

    ``bases`` (B, L, D) is zero at padding; ``summary`` (B, S, D); ``lengths`` (B,) valid bases of
    each sequence; ``codes`` (B, L) as read. On request, ``layers`` (B, depth + 1, moments, D) are
    the mean and the standard deviation over valid bases of every layer's output, in order, and last
    of ``bases``, and ``early`` (B, L, D) is the output of the first layer, zero at padding.
    ``letters`` (B, L, V) are mixtures of bases that replace the codes, for gradients with respect
    to the sequence.
    """

    bases: Tensor
    summary: Tensor
    lengths: Tensor
    codes: Tensor
    layers: Tensor | None = None
    early: Tensor | None = None
    letters: Tensor | None = None

    @property
    def valid(self) -> Tensor:
        """(B, L) True at bases, False at padding."""
        return torch.arange(self.bases.shape[1], device=self.lengths.device) < self.lengths[:, None]

    def mean(self) -> Tensor:
        """Mean over valid bases, (B, D)."""
        return self.bases.sum(1) / self.lengths[:, None].to(self.bases.dtype)

    def maximum(self) -> Tensor:
        """Maximum over valid bases, (B, D)."""
        hidden = self.bases.masked_fill(~self.valid[..., None], -torch.inf)
        return hidden.amax(1)

    def deviation(self) -> Tensor:
        """Standard deviation over valid bases, (B, D); 0 with gradient 0 where all are equal."""
        squares = (self.bases - self.mean()[:, None]).square() * self.valid[..., None]
        return root(squares.sum(1) / self.lengths[:, None].to(squares.dtype))

    def binned(self, count: int, early: bool = False) -> Tensor:
        """Means over ``count`` parts of equal length, (B, count, D), of the last layer or of the
        ``early`` one; a part without a base is 0.
        """
        bases = self.early if early else self.bases
        if bases is None:
            raise ValueError("early bins need a batch that was encoded with its first layer")
        place = torch.arange(self.bases.shape[1], device=self.lengths.device)
        part = place * count // self.lengths[:, None]
        inside = (part[:, None] == torch.arange(count, device=place.device)[:, None]) & (
            self.valid[:, None]
        )
        share = inside / inside.sum(-1, keepdim=True).clamp(min=1)
        return share.to(bases.dtype) @ bases

    def words(self, k: int) -> Tensor:
        """Frequency of each k-mer, strands joined, relative to the mean k-mer frequency, (B,
        words(k)): values around 1.
        """
        shares = (
            word_shares(self.codes, k)
            if self.letters is None
            else mixed_word_shares(self.letters, k)
        )
        return shares * words(k)

    def placed_pairs(self, places: int) -> Tensor:
        """One-hot pair of bases at each of the first ``places`` positions, (B, places * 16)."""
        if self.letters is None:
            return placed_pairs(self.codes, places)
        return mixed_placed_pairs(self.letters, places)


def root(squares: Tensor) -> Tensor:
    """Square roots, with a gradient of 0 instead of infinity at 0."""
    some = squares > 0
    return squares.where(some, squares.new_ones(())).sqrt() * some
