"""Sequences of any length, concatenated on one device: a padded batch is one gather."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from findna.data.on_device import sent
from findna.sequence.alphabet import COMPLEMENT, PAD


class Ragged:
    """n sequences of codes: `flat` uint8 (bases,), `starts` and `lengths` int64 (n,)."""

    def __init__(
        self, codes: Sequence[NDArray[np.uint8]], device: torch.device | str = "cpu"
    ) -> None:
        """Concatenate the sequences once."""
        # Kept on the host too: the length of a batch must not wait for the device.
        self._counts = counts = np.array([len(c) for c in codes], np.int64)
        joined = np.concatenate([np.empty(0, np.uint8), *codes])
        self.flat = torch.from_numpy(joined).to(device)
        self.lengths = torch.from_numpy(counts).to(device)
        self.starts = torch.from_numpy(np.cumsum(counts) - counts).to(device)
        self._other_strand = torch.from_numpy(COMPLEMENT.copy()).to(device)

    def __len__(self) -> int:
        """Sequences."""
        return len(self.lengths)

    def batch(
        self, rows: NDArray[np.int64], turned: NDArray[np.bool_] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Codes (B, longest) int64, padded with PAD, and lengths (B,), or None if all are equal.

        Rows where `turned` (B,) is true are reverse-complemented.
        """
        device, counts = self.flat.device, self._counts[rows]
        at = sent(rows, device)
        lengths, starts = self.lengths[at][:, None], self.starts[at][:, None]
        place = torch.arange(int(counts.max()), device=device)
        valid = place < lengths
        if turned is None:
            codes = self.flat[torch.where(valid, starts + place, 0)]
        else:
            back = sent(turned, device)[:, None]
            seen = torch.where(back, lengths - 1 - place, place)
            codes = self.flat[torch.where(valid, starts + seen, 0)]
            codes = torch.where(back, self._other_strand[codes.long()], codes)
        if counts.min() == counts.max():
            return codes.long(), None
        return torch.where(valid, codes, PAD).long(), lengths[:, 0]
