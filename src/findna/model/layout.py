"""From a batch of sequences to the rows that the layers read, and back.

Letters in shapes are those of `chordmixer`. The valid bases of a sequence and its summary rows
after them are a ring; rings are concatenated, without padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from findna.model.encoded import Encoded, root
from findna.model.rotation import Rings

# Bases in one partial sum of a mean.
_STRETCH = 256


class Layout(Protocol):
    """What the backbone needs of a batch, whether its sequences are equally long or not."""

    def rows(self, letters: Tensor, summary: Tensor) -> Tensor:
        """Vectors of bases (B, L, D) and the learned summary rows (S, D) → rows (R, D)."""
        ...

    def rings(self, offsets: tuple[int, ...]) -> Rings:
        """The rings, for tracks rotated by `offsets`."""
        ...

    def encoded(self, rows: Tensor) -> Encoded:
        """The output of the encoder, from rows (R, D)."""
        ...

    def moments(self, rows: Tensor, count: int) -> Tensor:
        """Means, and with a `count` of 2 also standard deviations, over the bases of each sequence,
        (B, count, D).
        """
        ...


@dataclass(frozen=True)
class Equal:
    """Codes (B, L) of sequences of L bases each: everything is a view."""

    codes: Tensor
    tokens: int

    def rows(self, letters: Tensor, summary: Tensor) -> Tensor:
        """As :meth:`Layout.rows`."""
        every = summary.to(letters.dtype).expand(len(letters), -1, -1)
        return torch.cat([letters, every], 1).flatten(0, 1)

    def rings(self, offsets: tuple[int, ...]) -> Rings:
        """As :meth:`Layout.rings`."""
        batch, length = self.codes.shape
        return Rings(batch, length + self.tokens)

    def encoded(self, rows: Tensor) -> Encoded:
        """As :meth:`Layout.encoded`."""
        batch, length = self.codes.shape
        by_ring = rows.view(batch, length + self.tokens, -1)
        lengths = torch.full((batch,), length, device=rows.device)
        return Encoded(by_ring[:, :length], by_ring[:, length:], lengths, self.codes)

    def moments(self, rows: Tensor, count: int) -> Tensor:
        """As :meth:`Layout.moments`."""
        encoded = self.encoded(rows)
        found = [encoded.mean()]
        if count > 1:
            # Not `Encoded.deviation`: masking padding, of which there is none, doubles the time.
            found.append(root((encoded.bases - found[0][:, None]).square().mean(1)))
        return torch.stack(found, 1)


@dataclass(frozen=True)
class Packed:
    """Concatenated sequences of `lengths` (B,) bases, and their positions in the rows."""

    lengths: Tensor
    tokens: int

    @cached_property
    def owner(self) -> Tensor:
        """(n,) the sequence of each base."""
        return torch.repeat_interleave(self.lengths)

    @cached_property
    def bases(self) -> Tensor:
        """(n,) the row of each base."""
        return torch.arange(len(self.owner), device=self.owner.device) + self.tokens * self.owner

    @cached_property
    def summary(self) -> Tensor:
        """(B, S) the rows of the summary tokens of each sequence."""
        ends = torch.cumsum(self.lengths + self.tokens, 0)
        return (ends - self.tokens)[:, None] + torch.arange(self.tokens, device=ends.device)

    def rows(self, letters: Tensor, summary: Tensor) -> Tensor:
        """Vectors of bases (n, D) and the learned summary rows (S, D) → rows (R, D)."""
        places = self.summary.flatten()
        rows = letters.new_empty(len(letters) + len(places), letters.shape[1])
        every = summary.to(letters.dtype).repeat(len(self.lengths), 1)
        return rows.index_copy(0, places, every).index_copy(0, self.bases, letters)

    def rings(self, offsets: tuple[int, ...]) -> Rings:
        """As :meth:`Layout.rings`."""
        return Rings.of(self.lengths + self.tokens, offsets)

    def moments(self, rows: Tensor, count: int) -> Tensor:
        """As :meth:`Layout.moments`."""
        bases = rows.index_select(0, self.bases)
        found = [self._mean(bases)]
        if count > 1:
            squares = (bases - found[0].index_select(0, self.owner)).square()
            found.append(root(self._mean(squares)))
        return torch.stack(found, 1)

    @cached_property
    def _stretches(self) -> tuple[Tensor, Tensor]:
        """(n,) the stretch of each base, and (P,) the sequence of each stretch."""
        counts = -(-self.lengths // _STRETCH)
        first = torch.cumsum(counts, 0) - counts
        starts = torch.cumsum(self.lengths, 0) - self.lengths
        place = torch.arange(len(self.owner), device=self.owner.device) - starts[self.owner]
        return first[self.owner] + place // _STRETCH, torch.repeat_interleave(counts)

    def _mean(self, values: Tensor) -> Tensor:
        """Values of bases (n, D) → means over each sequence (B, D)."""
        stretch, whose = self._stretches
        # One long chain of additions would lose precision.
        parts = values.new_zeros(len(whose), values.shape[1]).index_add(0, stretch, values)
        summed = values.new_zeros(len(self.lengths), values.shape[1]).index_add(0, whose, parts)
        return summed / self.lengths[:, None].to(values.dtype)


@dataclass(frozen=True)
class Padded:
    """Codes (B, L) with PAD after the valid bases of each sequence, and these `packed`."""

    codes: Tensor
    packed: Packed

    @cached_property
    def _valid(self) -> Tensor:
        """(n,) positions of the valid bases in the flattened codes."""
        place = torch.arange(self.codes.shape[1], device=self.codes.device)
        return (place < self.packed.lengths[:, None]).flatten().nonzero()[:, 0]

    def rows(self, letters: Tensor, summary: Tensor) -> Tensor:
        """As :meth:`Layout.rows`."""
        return self.packed.rows(letters.flatten(0, 1).index_select(0, self._valid), summary)

    def rings(self, offsets: tuple[int, ...]) -> Rings:
        """As :meth:`Layout.rings`."""
        return self.packed.rings(offsets)

    def encoded(self, rows: Tensor) -> Encoded:
        """As :meth:`Layout.encoded`."""
        bases = rows.index_select(0, self.packed.bases)
        padded = bases.new_zeros(self.codes.numel(), bases.shape[1])
        padded = padded.index_copy(0, self._valid, bases).view(*self.codes.shape, -1)
        return Encoded(padded, rows[self.packed.summary], self.packed.lengths, self.codes)

    def moments(self, rows: Tensor, count: int) -> Tensor:
        """As :meth:`Layout.moments`."""
        return self.packed.moments(rows, count)
