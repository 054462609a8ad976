"""ChordMixer: position-wise MLPs and parameter-free rotations (Khalitov et al., ICLR 2023,
openreview E8mzu3JbdR).

Letters in shape comments: B sequences, L bases (padded), S summary tokens, R rows (valid bases
plus summary rows, packed one sequence behind the other), D width, K tracks.

A *ring* is one sequence's valid bases followed by its S summary rows. Every rotation stays within
its ring, so neither padding nor batch mates can reach a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from findna.files import Settings
from findna.sequence.alphabet import VOCABULARY

Direction = Literal["alternating", "forward"]

_CACHED_ROWS = 2048


class ChordMixerConfig(Settings):
    """Shape of the backbone. Nothing here depends on the length of the input."""

    width: int = Field(128, ge=1, description="Channels of a position.")
    hidden: int = Field(256, ge=1, description="Channels inside the MLP of a layer.")
    track_size: int = Field(
        16, ge=1, description="Channels of a track; track i is rotated by 2^(i-1)."
    )
    depth: int = Field(6, ge=1, description="Layers.")
    direction: Direction = Field(
        "alternating", description="Rotate left and right in turn, or one way only as published."
    )
    norm: Literal["layer", "none"] = Field(
        "layer", description="Normalise the input of every MLP, or nothing as in the reference."
    )
    summary_tokens: int = Field(10, ge=1, description="Learned rows appended to every sequence.")
    checkpointing: bool = Field(
        False, description="Recompute layers in the backward pass: less memory, a third more time."
    )

    @model_validator(mode="after")
    def _tracks_fill_width(self) -> ChordMixerConfig:
        if self.width % self.track_size:
            raise ValueError(
                f"width {self.width} is not a multiple of track_size {self.track_size}"
            )
        return self

    @property
    def offsets(self) -> tuple[int, ...]:
        """Rotation of each track in rows: 0, 1, 2, 4, 8, ... (length width / track_size)."""
        return (0, *(2**i for i in range(self.width // self.track_size - 1)))


@dataclass(frozen=True)
class Rings:
    """Where the rings of a batch lie in its rows, and the row each track reads from.

    ``length`` is set when all rings are equally long: rows are then (B, length) and rotation is a
    strided copy.
    Otherwise ``ahead`` and ``behind`` (R, K) hold flat indices (row * K + track) for either
    direction.
    """

    count: int
    length: int | None
    ahead: Tensor | None = None
    behind: Tensor | None = None

    @staticmethod
    def of(ring_lengths: Tensor, offsets: tuple[int, ...], *, equal: int | None) -> Rings:
        """``ring_lengths`` (B,) int64; ``equal`` is their common value, or None if they differ."""
        if equal is not None:
            return Rings(len(ring_lengths), equal)
        starts = torch.cumsum(ring_lengths, 0) - ring_lengths
        start = torch.repeat_interleave(starts, ring_lengths)[:, None]
        length = torch.repeat_interleave(ring_lengths, ring_lengths)[:, None]
        place = torch.arange(len(start), device=start.device)[:, None] - start
        shift = torch.tensor(offsets, device=start.device)
        track = torch.arange(len(offsets), device=start.device)

        def flat(signed: Tensor) -> Tensor:
            return (start + (place + signed) % length) * len(offsets) + track

        return Rings(len(ring_lengths), None, flat(shift).flatten(), flat(-shift).flatten())


def _add_rotated(
    out: Tensor, base: Tensor | None, moved: Tensor, offsets: tuple[int, ...], sign: int
) -> Tensor:
    """out[b, t] = base[b, t] + moved[b, t + sign * offset] for equal rings, track by track,
    without temporaries.
    """
    length = out.shape[1]
    size = out.shape[2] // len(offsets)
    for start in range(0, length, _CACHED_ROWS):
        end = min(start + _CACHED_ROWS, length)
        for track, offset in enumerate(offsets):
            channels = slice(track * size, (track + 1) * size)
            for into, source in _sources(start, end, sign * offset, length):
                target = out[:, into, channels]
                if base is None:
                    target.copy_(moved[:, source, channels])
                else:
                    torch.add(base[:, into, channels], moved[:, source, channels], out=target)
    return out


def _sources(start: int, end: int, shift: int, length: int) -> Iterator[tuple[slice, slice]]:
    """Places [start, end) of a ring, and those that lie ``shift`` ahead of them: one stretch, or
    two where the ring closes.
    """
    source = (start + shift) % length
    border = start + min(end - start, length - source)
    yield slice(start, border), slice(source, source + border - start)
    if border < end:
        yield slice(border, end), slice(0, end - border)


class _RotateAddEqual(torch.autograd.Function):
    """residual + rotated update over equal rings; the gradient of a rotation is the rotation
    back.
    """

    @staticmethod
    def forward(
        ctx: Any, residual: Tensor, update: Tensor, offsets: tuple[int, ...], sign: int
    ) -> Tensor:
        ctx.offsets, ctx.sign, ctx.dtype = offsets, sign, update.dtype
        return _add_rotated(torch.empty_like(residual), residual, update, offsets, sign)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (grad,) = grads
        back = torch.empty_like(grad, dtype=ctx.dtype)
        return grad, _add_rotated(back, None, grad, ctx.offsets, -ctx.sign), None, None


class _Permute(torch.autograd.Function):
    """rows[index] for a permutation whose inverse is known: the backward pass gathers too, and
    never scatters.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grads[0].index_select(0, inverse), None, None


def rotate_add(
    residual: Tensor, update: Tensor, rings: Rings, offsets: tuple[int, ...], sign: int
) -> Tensor:
    """Residual + update with track i of ``update`` rotated by ``sign * offsets[i]`` within each
    ring.

    Rows are (R, D). ``sign`` +1 brings channels from rows ahead, -1 from rows behind.
    """
    if rings.length is not None:
        shape = (rings.count, rings.length, residual.shape[-1])
        out: Tensor = _RotateAddEqual.apply(residual.view(shape), update.view(shape), offsets, sign)
        return out.view(residual.shape)
    pieces = update.reshape(len(update) * len(offsets), -1)
    index, inverse = (rings.ahead, rings.behind) if sign > 0 else (rings.behind, rings.ahead)
    moved: Tensor = _Permute.apply(pieces, index, inverse)
    return residual + moved.view(update.shape)


class Layer(nn.Module):
    """x + rotate(MLP(norm(x))) on packed rows (R, D)."""

    def __init__(self, config: ChordMixerConfig, sign: int) -> None:
        super().__init__()
        self.offsets, self.sign = config.offsets, sign
        self.norm = nn.LayerNorm(config.width) if config.norm == "layer" else nn.Identity()
        self.up = nn.Linear(config.width, config.hidden)
        self.down = nn.Linear(config.hidden, config.width)
        nn.init.normal_(self.up.weight, std=config.width**-0.5)
        nn.init.normal_(self.down.weight, std=(config.hidden * config.depth) ** -0.5)
        nn.init.zeros_(self.up.bias)
        nn.init.zeros_(self.down.bias)

    def forward(self, rows: Tensor, rings: Rings) -> Tensor:
        """Rows (R, D) → (R, D)."""
        return rotate_add(rows, self._update(rows), rings, self.offsets, self.sign)

    def _mlp(self, rows: Tensor) -> Tensor:
        update: Tensor = self.down(F.gelu(self.up(self.norm(rows))))
        return update

    def _update(self, rows: Tensor) -> Tensor:
        """The MLP of all rows; of many rows on a CPU, block by block, so that what lies between the
        two products stays in the cache.
        """
        if torch.is_grad_enabled() or rows.device.type != "cpu" or len(rows) <= _CACHED_ROWS:
            return self._mlp(rows)
        blocks = rows.split(_CACHED_ROWS)
        first = self._mlp(blocks[0])
        update = first.new_empty(rows.shape)
        update[: len(first)] = first
        for number, block in enumerate(blocks[1:], 1):
            update[number * _CACHED_ROWS :][: len(block)] = self._mlp(block)
        return update


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of a batch.

    ``bases`` (B, L, D) is zero at padding; ``summary`` (B, S, D); ``lengths`` (B,) valid bases of
    each sequence.
    """

    bases: Tensor
    summary: Tensor
    lengths: Tensor

    @property
    def valid(self) -> Tensor:
        """(B, L) True where a base stands."""
        return torch.arange(self.bases.shape[1], device=self.lengths.device) < self.lengths[:, None]

    def mean(self) -> Tensor:
        """Mean over valid bases, (B, D); summary rows and padding stay out."""
        return self.bases.sum(1) / self.lengths[:, None].to(self.bases.dtype)

    def maximum(self) -> Tensor:
        """Maximum over valid bases, (B, D)."""
        hidden = self.bases.masked_fill(~self.valid[..., None], -torch.inf)
        return hidden.amax(1)

    def binned(self, count: int) -> Tensor:
        """Means of ``count`` parts of equal length, (B, count, D); a part without a base is 0."""
        place = torch.arange(self.bases.shape[1], device=self.lengths.device)
        part = place * count // self.lengths[:, None]
        inside = (part[:, None] == torch.arange(count, device=place.device)[:, None]) & (
            self.valid[:, None]
        )
        share = inside / inside.sum(-1, keepdim=True).clamp(min=1)
        return share.to(self.bases.dtype) @ self.bases


class ChordMixer(nn.Module):
    """Embedding, layers and a closing norm: codes to one vector a base and one a summary token."""

    def __init__(self, config: ChordMixerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(VOCABULARY, config.width)
        self.summary = nn.Parameter(torch.randn(config.summary_tokens, config.width))
        turn = -1 if config.direction == "alternating" else 1
        self.layers = nn.ModuleList(Layer(config, turn**i) for i in range(config.depth))
        self.norm = nn.LayerNorm(config.width) if config.norm == "layer" else nn.Identity()

    def forward(
        self, codes: Tensor, lengths: Tensor | None = None, noise: Tensor | None = None
    ) -> Encoded:
        """Encode padded codes.

        Args:
            codes: (B, L) int64, PAD behind the valid bases of each row.
            lengths: (B,) int64 valid bases; None means that every row is full.
            noise: (B, L, D) added to the embeddings of the bases.
        """
        batch, longest = codes.shape
        letters = self.embedding(codes)
        if noise is not None:
            letters = letters + noise.to(letters.dtype)
        if lengths is None:
            return self._encode_full(letters)
        valid = torch.arange(longest, device=codes.device) < lengths[:, None]
        bases, summary = self._encode_packed(letters[valid], lengths)
        padded = bases.new_zeros(batch, longest, bases.shape[-1])
        padded = padded.masked_scatter(valid[..., None].expand_as(padded), bases)
        return Encoded(padded, summary, lengths)

    def forward_packed(self, codes: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode sequences that lie one behind the other.

        Args:
            codes: (sum of lengths,) int64 without any padding.
            lengths: (B,) int64 valid bases of each sequence.

        Returns:
            bases (sum of lengths, D) and summary (B, S, D).
        """
        if int(lengths.sum()) != len(codes):
            raise ValueError(f"lengths add up to {int(lengths.sum())}, codes hold {len(codes)}")
        return self._encode_packed(self.embedding(codes), lengths)

    def _encode_full(self, letters: Tensor) -> Encoded:
        batch, length, width = letters.shape
        summary = self.summary.to(letters.dtype).expand(batch, -1, -1)
        ring = length + self.config.summary_tokens
        rows = torch.cat([letters, summary], 1).view(batch * ring, width)
        rows = self._mix(rows, Rings(batch, ring)).view(batch, ring, width)
        lengths = torch.full((batch,), length, device=letters.device)
        return Encoded(rows[:, :length], rows[:, length:], lengths)

    def _encode_packed(self, letters: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.config.summary_tokens
        ring_lengths = lengths + tokens
        ends = torch.cumsum(ring_lengths, 0)
        is_summary = torch.zeros(len(letters) + tokens * len(lengths), dtype=torch.bool)
        is_summary = is_summary.to(letters.device)
        places = (ends - tokens)[:, None] + torch.arange(tokens, device=letters.device)
        is_summary[places.flatten()] = True
        rows = letters.new_empty(len(is_summary), letters.shape[1])
        rows = rows.index_copy(
            0, places.flatten(), self.summary.to(letters.dtype).repeat(len(lengths), 1)
        )
        rows = rows.index_copy(0, (~is_summary).nonzero()[:, 0], letters)
        rows = self._mix(rows, Rings.of(ring_lengths, self.config.offsets, equal=None))
        return rows[~is_summary], rows[places]

    def _mix(self, rows: Tensor, rings: Rings) -> Tensor:
        for layer in self.layers:
            if self.config.checkpointing and torch.is_grad_enabled():
                rows = checkpoint(layer, rows, rings, use_reentrant=False)
            else:
                rows = layer(rows, rings)
        normed: Tensor = self.norm(rows)
        return normed
