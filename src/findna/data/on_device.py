"""Data on the device of a training step, without waiting for it.

Small host arrays are sent from pinned memory, so the host continues at once. The genome, one byte
per base, is copied to a GPU with enough memory; windows are then read there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from findna.files import log
from findna.sequence.alphabet import Codes, N

# Share of the memory free before training that a genome may take; the rest is for the run.
_SHARE = 0.25
_PIECE = 1 << 26
_STORED_ON = "cuda"


def sent(array: NDArray[Any], device: torch.device | str) -> Tensor:
    """An array as a tensor on a device; to a CUDA device it is copied asynchronously."""
    tensor = torch.from_numpy(array)
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class DeviceStore:
    """The bytes of a genome's store in the memory of a device."""

    def __init__(self, store: Codes, device: torch.device | str) -> None:
        """Copied piece by piece: the host holds one of them at a time."""
        self.bases = torch.empty(len(store), dtype=torch.uint8, device=device)
        for start in range(0, len(store), _PIECE):
            piece = np.array(store[start : start + _PIECE])
            self.bases[start : start + _PIECE] = torch.from_numpy(piece)

    def read(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64], length: int, margin: int
    ) -> tuple[Tensor, Tensor]:
        """Stored bytes uint8 and inside bool, each (B, length + margin), as `WindowSampler` reads
        them on the host: in the `margin`, bases from `ends` (B,) on are not inside, and N.
        """
        device = self.bases.device
        plan = sent(np.stack([starts, ends]), device)
        column = torch.arange(length + margin, device=device)
        place = plan[0][:, None] + column
        inside = (column < length) | (place < plan[1][:, None])
        stored = self.bases[torch.where(inside, place, 0)]
        return torch.where(inside, stored, N), inside


def device_store(store: Codes, device: torch.device | str) -> DeviceStore | None:
    """A copy on a CUDA device, if it takes no more than a quarter of the free memory there."""
    if torch.device(device).type != _STORED_ON:
        return None
    free = _free(device)
    if len(store) > _SHARE * free:
        log.info(
            f"the genome ({len(store) / 1e9:.1f} GB) stays in main memory: it would take more"
            f" than a quarter of the {free / 1e9:.1f} GB free on {device}"
        )
        return None
    return DeviceStore(store, device)


def _free(device: torch.device | str) -> int:
    """Bytes that are free on a CUDA device."""
    return torch.cuda.mem_get_info(device)[0]
