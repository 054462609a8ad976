"""The rotation of ChordMixer (Khalitov et al., ICLR 2023): each track of channels is shifted along
its ring and added to the residual stream, in one pass.

Letters in shapes are those of `chordmixer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, library

# Rows that fit in the cache of a CPU (measured: docs/performance.md).
CACHED_ROWS = 2048


@dataclass(frozen=True)
class Rings:
    """The rings of a batch in its rows, and the row that each track reads from.

    ``length`` is set when all rings are equally long: rows are then (B, length) and rotation is a
    strided copy. Otherwise ``ahead`` and ``behind`` (R * K,) hold flat indices (row * K + track)
    for either direction.
    """

    count: int
    length: int | None
    ahead: Tensor | None = None
    behind: Tensor | None = None

    @staticmethod
    def of(ring_lengths: Tensor, offsets: tuple[int, ...]) -> Rings:
        """Rings of different ``ring_lengths`` (B,), int64."""
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
    base: Tensor | None,
    moved: Tensor,
    offsets: Sequence[int],
    sign: int,
    dtype: torch.dtype,
) -> Tensor:
    """base[b, t] + moved[b, t + sign * offset] for equal rings, track by track, without
    temporaries; ``base`` None stands for zeros.
    """
    out = torch.empty(moved.shape, dtype=dtype, device=moved.device)
    length = out.shape[1]
    size = out.shape[2] // len(offsets)
    block = CACHED_ROWS if out.device.type == "cpu" else length
    for start in range(0, length, block):
        end = min(start + block, length)
        for track, offset in enumerate(offsets):
            channels = slice(track * size, (track + 1) * size)
            for into, source in _sources(start, end, sign * offset, length):
                target = out[:, into, channels]
                if base is None:
                    target.copy_(moved[:, source, channels])
                else:
                    torch.add(base[:, into, channels], moved[:, source, channels], out=target)
    return out


# Traced into, it would compile to a condition for every stretch and element.
_as_one_operation = library.custom_op(
    "findna::add_rotated",
    _add_rotated,
    mutates_args=(),
    schema="(Tensor? base, Tensor moved, int[] offsets, int sign, ScalarType dtype) -> Tensor",
)
_as_one_operation.register_fake(
    lambda base, moved, offsets, sign, dtype: moved.new_empty(moved.shape, dtype=dtype)
)


def _slices() -> Callable[..., Tensor]:
    """How slices are added: directly, or as one opaque operation while compiling."""
    return _as_one_operation if torch.compiler.is_compiling() else _add_rotated


def _gathered(
    base: Tensor | None, moved: Tensor, shifts: Tensor, sign: int, dtype: torch.dtype
) -> Tensor:
    """The same by one gather, with the rotation of each channel in ``shifts`` (D,).

    A compiler fuses indices, gather and sum into one kernel; with slices it would have two
    conditions per track for every element.
    """
    length = moved.shape[1]
    # On a GPU, a 64-bit remainder takes longer than the memory access.
    place = torch.arange(length, dtype=torch.int32, device=moved.device)[:, None]
    source = ((place + sign * shifts.to(torch.int32)) % length).to(torch.int64)
    turned = moved.gather(1, source.expand(moved.shape))
    return (turned if base is None else base + turned).to(dtype)


def _sources(start: int, end: int, shift: int, length: int) -> Iterator[tuple[slice, slice]]:
    """Positions [start, end) of a ring, and those ``shift`` ahead of them: one stretch, or two if
    the ring wraps around.
    """
    source = (start + shift) % length
    border = start + min(end - start, length - source)
    yield slice(start, border), slice(source, source + border - start)
    if border < end:
        yield slice(border, end), slice(0, end - border)


class _RotateAddEqual(torch.autograd.Function):
    """residual + rotated update over equal rings; the gradient is the inverse rotation."""

    @staticmethod
    def forward(
        ctx: Any,
        residual: Tensor,
        update: Tensor,
        offsets: tuple[int, ...],
        sign: int,
        shifts: Tensor | None,
    ) -> Tensor:
        ctx.offsets, ctx.sign, ctx.dtype = offsets, sign, update.dtype
        ctx.save_for_backward(shifts)
        if shifts is None:
            return _slices()(residual, update, offsets, sign, residual.dtype)
        return _gathered(residual, update, shifts, sign, residual.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        (grad,), (shifts,) = grads, ctx.saved_tensors
        if shifts is None:
            back = _slices()(None, grad, ctx.offsets, -ctx.sign, ctx.dtype)
        else:
            back = _gathered(None, grad, shifts, -ctx.sign, ctx.dtype)
        return grad, back, None, None, None


class _Permute(torch.autograd.Function):
    """rows[index] for a permutation with a known inverse, so that the backward pass gathers too."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grads[0].index_select(0, inverse), None, None


def rotate_add(
    residual: Tensor,
    update: Tensor,
    rings: Rings,
    offsets: tuple[int, ...],
    sign: int,
    shifts: Tensor | None = None,
) -> Tensor:
    """Residual + update with track i of ``update`` rotated by ``sign * offsets[i]`` within each
    ring.

    Rows are (R, D). ``sign`` +1 brings channels from rows ahead, -1 from rows behind. ``shifts``
    (D,), the same offsets by channel, selects the form of equal rings that compiles well for a GPU.
    """
    if rings.length is not None:
        shape = (rings.count, rings.length, residual.shape[-1])
        by_ring = residual.view(shape), update.view(shape)
        out: Tensor = _RotateAddEqual.apply(*by_ring, offsets, sign, shifts)
        return out.view(residual.shape)
    pieces = update.reshape(len(update) * len(offsets), -1)
    index, inverse = (rings.ahead, rings.behind) if sign > 0 else (rings.behind, rings.ahead)
    moved: Tensor = _Permute.apply(pieces, index, inverse)
    return residual + moved.view(update.shape)
