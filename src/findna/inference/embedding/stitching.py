"""Vectors of sequences of any length: long ones in overlapping windows, every base used once.

Each strand is cut from its own 5' end, so that a sequence and its reverse complement are read in
the same two ways and get the same vectors. Work is done in spans of bounded size: memory does not
grow with the length of a sequence.

Windows are combined by quantities that add up over bases: sums, and for a deviation sums of
squares, whatever the cuts; of maxima the highest is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from findna.data.batches import by_length
from findna.data.ragged import Ragged
from findna.inference.tiles import tile
from findna.model.heads import Pooling, channels
from findna.model.model import Model
from findna.sequence.alphabet import Codes, Strand

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

_DEVIATIONS = ("deviation", "deviations")
_OF_LAYERS = ("layers", "deviations")
BASE_SPAN = 65_536  # bases whose vectors are held at once: 32 MB for a model of width 128
SPAN_BATCHES = 32


@dataclass(frozen=True)
class Reading:
    """How sequences are shown to a model: windows of at most `window` bases, one strand or both,
    `batch_bases` bases at a time.
    """

    window: int
    strand: Strand
    batch_bases: int

    @property
    def turns(self) -> tuple[bool, ...]:
        """For each strand that is read, whether it is the reverse complement."""
        return (False, True) if self.strand == "both" else (False,)


Batch = tuple[Tensor, Tensor | None]  # codes (B, L), lengths (B,) or None: all are full


class Span(NamedTuple):
    """Bases [start, end) of sequence number `row`; `codes` are all of it, for context."""

    row: int
    codes: Codes
    start: int
    end: int


class _Piece(NamedTuple):
    """A window, and the bases [first, last) that are kept of it, which begin at `at` in span number
    `span`. `codes` are of the given strand, the offsets in reading direction.
    """

    span: int
    codes: Codes
    first: int
    last: int
    at: int


def batches(
    windows: Ragged, turned: bool, batch_bases: int
) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    """Row numbers (B,), and codes and lengths of these rows, for every batch of n windows; `turned`
    reads the other strand.
    """
    for rows in by_length(windows.lengths.cpu().numpy(), batch_bases):
        flags = np.ones(len(rows), np.bool_) if turned else None
        yield rows, windows.batch(rows, flags)


def pooled_vectors(
    model: Model,
    codes: Sequence[Codes],
    pooling: Sequence[Pooling],
    reading: Reading,
    tell: Callable[[int], object] = int,
) -> Vectors:
    """One vector (n, D) for each of n sequences, pooled over all their bases, each once; of several
    poolings side by side.

    Of a sequence of several windows, means, maxima and deviations are taken over the bases that the
    windows keep; "summary" is the windows' mean, weighted by the bases they keep. "bins" has no
    meaning for windows. `tell` is called with the number of bases done.
    """
    lengths = np.array([len(c) for c in codes], np.int64)
    highest = np.repeat([part == "max" for part in pooling], _widths(model, pooling))
    nothing = np.where(highest, -np.inf, 0.0)
    strands = np.tile(nothing, (len(reading.turns), len(codes), 1))
    for spans in _span_groups(codes, max(reading.window, SPAN_BATCHES * reading.batch_bases)):
        for vectors, turned in zip(strands, reading.turns, strict=True):
            pieces = list(_pieces(spans, reading.window, turned))
            found = _pooled(model, pieces, pooling, reading.batch_bases, turned)
            rows = np.array([spans[piece.span].row for piece in pieces])
            kept = np.array([piece.last - piece.first for piece in pieces])
            found[:, ~highest] *= (kept / lengths[rows])[:, None]
            firsts = np.flatnonzero(np.diff(rows, prepend=-1))
            present = rows[firsts]
            most = np.maximum(vectors[present], np.maximum.reduceat(found, firsts))
            total = vectors[present] + np.add.reduceat(found, firsts)
            vectors[present] = np.where(highest, most, total)
        tell(sum(span.end - span.start for span in spans))
    vectors = _with_deviations(model, pooling, strands, _deviations)
    return np.asarray(vectors.mean(0), np.float32)


def base_vectors(
    model: Model, codes: Sequence[Codes], reading: Reading
) -> Iterator[tuple[Span, Vectors]]:
    """Vectors (end - start, D) of every base, in spans that cover the sequences in order."""
    for spans in _span_groups(codes, max(reading.window, BASE_SPAN)):
        yield from zip(spans, _bases_of(model, spans, reading), strict=True)


# ---------------------------------------------------------------- from sequences to windows


def _span_groups(codes: Sequence[Codes], most: int) -> Iterator[list[Span]]:
    """Spans of at most `most` bases that cover the sequences, in groups below twice that."""
    group: list[Span] = []
    held = 0
    for row, whole in enumerate(codes):
        for start in range(0, len(whole), most):
            group.append(Span(row, whole, start, min(start + most, len(whole))))
            held += group[-1].end - start
            if held >= most:
                yield group
                group, held = [], 0
    if group:
        yield group


def _pieces(spans: Sequence[Span], window: int, turned: bool) -> Iterator[_Piece]:
    """The windows of the spans, span by span."""
    for number, (_, codes, start, end) in enumerate(spans):
        if turned:
            start, end = len(codes) - end, len(codes) - start
        if len(codes) <= window:
            yield _Piece(number, codes, start, end, 0)
            continue
        tiles = tile(len(codes), window)
        asked = (tiles.keep_starts < end) & (tiles.keep_ends > start)
        for left, right, keep_start, keep_end in np.stack(tiles, 1)[asked].tolist():
            first, last = max(keep_start, start), min(keep_end, end)
            seen = codes[len(codes) - right : len(codes) - left] if turned else codes[left:right]
            yield _Piece(number, seen, first - left, last - left, first - start)


# ---------------------------------------------------------------- from windows to vectors


def _pooled(
    model: Model,
    pieces: Sequence[_Piece],
    pooling: Sequence[Pooling],
    batch_bases: int,
    turned: bool,
) -> Floats:
    """(k, W): the kept bases of each of k windows, pooled; for a deviation their moments."""
    windows = Ragged([piece.codes for piece in pieces], model.device)
    kept = torch.tensor([(piece.first, piece.last) for piece in pieces], device=model.device)
    found = np.empty((len(pieces), sum(_widths(model, pooling))))
    with torch.inference_mode():
        for rows, batch in batches(windows, turned, batch_bases):
            part = kept[torch.from_numpy(rows).to(model.device)]
            found[rows] = _pool_kept(model, batch, part, pooling).float().cpu().numpy()
    return _with_deviations(model, pooling, found, _moments)


def _widths(model: Model, pooling: Sequence[Pooling]) -> list[int]:
    """Numbers that are combined over windows, by pooling: those of its vector, or two moments for a
    deviation.
    """
    backbone = model.config.backbone
    return [channels([part], backbone) * (2 if part in _DEVIATIONS else 1) for part in pooling]


def _pool_kept(model: Model, batch: Batch, kept: Tensor, pooling: Sequence[Pooling]) -> Tensor:
    """(B, W): as `heads.pool` over the bases [first, last) of each window, `kept` (B, 2), but means
    and variances side by side for a deviation.
    """
    every = not set(pooling).isdisjoint(_OF_LAYERS)
    means, variances = [], []
    for encoded in model.encoder.each_layer(*batch) if every else [model.encode(*batch)]:
        means.append(_mean(encoded.bases, kept))
        if not set(pooling).isdisjoint(_DEVIATIONS):
            variances.append(_mean((encoded.bases - means[-1][:, None]).square(), kept))
    read = {
        "mean": lambda: means[-1],
        "max": lambda: _masked(encoded.bases, kept, -torch.inf).amax(1),
        "summary": lambda: encoded.summary.mean(1),
        "deviation": lambda: torch.cat([means[-1], variances[-1]], 1),
        "layers": lambda: torch.cat(means, 1),
        "deviations": lambda: torch.cat(means + variances, 1),
    }
    return torch.cat([read[part]() for part in pooling], 1)


def _mean(values: Tensor, kept: Tensor) -> Tensor:
    """(B, D): means of values (B, L, D) over the kept bases."""
    summed = _masked(values, kept, 0).sum(1)
    return summed / (kept[:, 1:] - kept[:, :1]).to(summed.dtype)


def _masked(values: Tensor, kept: Tensor, other: float) -> Tensor:
    """Values (B, L, D) with `other` where a base does not count."""
    place = torch.arange(values.shape[1], device=kept.device)
    outside = (place < kept[:, :1]) | (place >= kept[:, 1:])
    return values.masked_fill(outside[..., None], other)


def _with_deviations(
    model: Model,
    pooling: Sequence[Pooling],
    columns: Floats,
    change: Callable[[Floats], Floats],
) -> Floats:
    """Columns (..., W) of poolings side by side, those of deviations changed."""
    parts = np.split(columns, np.cumsum(_widths(model, pooling))[:-1], axis=-1)
    changed = [
        change(part) if name in _DEVIATIONS else part
        for name, part in zip(pooling, parts, strict=True)
    ]
    return np.concatenate(changed, axis=-1)


def _moments(found: Floats) -> Floats:
    """Means and mean squares, which add up over windows, from means and variances (..., 2 D); in
    double precision, in which nothing is lost on the way back.
    """
    mean, variance = np.split(found, 2, axis=-1)
    return np.concatenate([mean, variance + mean**2], axis=-1)


def _deviations(moments: Floats) -> Floats:
    """Standard deviations (..., D) from means and mean squares (..., 2 D)."""
    mean, square = np.split(moments, 2, axis=-1)
    return np.sqrt(np.maximum(square - mean**2, 0))


def _bases_of(model: Model, spans: Sequence[Span], reading: Reading) -> list[Vectors]:
    """(end - start, D) of each span."""
    width = model.config.backbone.width
    found = [np.zeros((span.end - span.start, width), np.float32) for span in spans]
    with torch.inference_mode():
        for turned in reading.turns:
            pieces = list(_pieces(spans, reading.window, turned))
            windows = Ragged([piece.codes for piece in pieces], model.device)
            for rows, batch in batches(windows, turned, reading.batch_bases):
                bases = model.encode(*batch).bases.float().cpu().numpy()
                for row, vectors in zip(rows.tolist(), bases, strict=True):
                    _add(found, pieces[row], vectors, turned)
    return [vectors / np.float32(len(reading.turns)) for vectors in found]


def _add(found: list[Vectors], piece: _Piece, vectors: Vectors, turned: bool) -> None:
    """Add what a window keeps of its vectors (L, D) where it belongs."""
    into = found[piece.span][::-1] if turned else found[piece.span]
    kept = vectors[piece.first : piece.last]
    into[piece.at : piece.at + len(kept)] += kept
