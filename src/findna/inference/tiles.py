"""Long sequences as windows of one length: every base is used once, with context on both sides.

Models should not read windows longer than those of their training, so long records are cut into
overlapping windows and the results stitched: of two windows with a base, the one with the nearer
centre is used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from findna.model.model import Model

_USUAL_WINDOW = 512
_FLANKS = 8  # in a window of w bases, w // 8 on either side are context only


class Tiles(NamedTuple):
    """n windows [start, end) and the bases [keep_start, keep_end) used of each; int64 (n,).

    Offsets in the sequence, 0-based half-open; the kept parts are adjacent and cover it.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    keep_starts: NDArray[np.int64]
    keep_ends: NDArray[np.int64]


def usual_window(model: Model) -> int:
    """Bases of a window for this model: the longest it was trained on, 512 if unknown."""
    return model.trained_lengths[1] if model.trained_lengths else _USUAL_WINDOW


def usual_flank(window: int) -> int:
    """Bases on either side of a window that are context only."""
    return window // _FLANKS


def tile(length: int, window: int, flank: int | None = None) -> Tiles:
    """Windows of `window` bases over `length` bases; a single shorter one if `length` is shorter.

    Neighbours overlap by at least `2 * flank`; the last window ends at the end of the sequence, so
    that all are equally long.

    Raises:
        ValueError: the flanks leave nothing of a window.
    """
    flank = usual_flank(window) if flank is None else flank
    step = window - 2 * flank
    if length < 1 or step < 1 or flank < 0:
        raise ValueError(f"cannot tile {length} bases by {window} with flanks of {flank}")
    count = 1 if length <= window else 1 + -(-(length - window) // step)
    starts = np.minimum(np.arange(count) * step, max(0, length - window)).astype(np.int64)
    ends = np.minimum(starts + window, length)
    # Overlapping windows are divided in the middle of their overlap.
    borders = (starts[1:] + ends[:-1]) // 2
    return Tiles(starts, ends, np.append(0, borders), np.append(borders, length))
