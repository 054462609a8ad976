"""The windows of a genome that a run trains on: which ones, and their bases.

`data.sampling` decides what may be read, `data.holdout` what is held out, and `data.starts` where
windows may start. All of that is arithmetic on runs: the genome itself is only read here.
"""

import mmap
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from findna.data.on_device import DeviceStore, device_store, sent
from findna.data.randomness import Purpose, row_hash, uniform
from findna.data.sampling import MAX_ROWS, Offsets, Runs, SamplingSettings
from findna.data.starts import Starts
from findna.sequence.alphabet import CODE_BITS, SOFT_BIT, N
from findna.sequence.genome import Genome

# A window with more lower case than this is excluded by `soft_mask="exclude"`. Excluding the
# lower-case runs themselves would leave hardly a run of 512 bp in a mammalian genome.
_SOFT_LIMIT = 0.5
# Number of window lengths, evenly spaced on a log scale. Libraries keep a prepared product and its
# memory for every shape: 300 shapes took 4 GB, and each first use is slow.
_LENGTHS = 32
# Bytes read from the memory map before its pages are released, so that the resident memory of a run
# does not grow with the part of the genome it has read.
_RELEASE_EVERY = 1 << 25


@dataclass(frozen=True)
class RawWindows:
    """B windows of `length` bases and a margin after them: each (B, length + margin).

    codes uint8; inside bool, False where the margin leaves the window's run (the code is N there);
    soft bool, lower case.
    """

    codes: Tensor
    inside: Tensor
    soft: Tensor
    length: int

    def to(self, device: torch.device | str) -> "RawWindows":
        """The same windows on `device`."""
        return RawWindows(
            self.codes.to(device), self.inside.to(device), self.soft.to(device), self.length
        )


class WindowSampler:
    """Windows of the training runs: number i of an epoch is a function of (seed, epoch, i).

    All windows of a batch have one length. `soft_weight` is the loss weight of a lower-case base.
    """

    def __init__(self, genome: Genome, runs: Runs, settings: SamplingSettings, seed: int) -> None:
        """Raises `BadInput` if no window can be drawn."""
        self.settings, self.seed = settings, seed
        self.soft_weight = settings.soft_mask_weight if settings.soft_mask == "downweight" else 1.0
        soft_limit = _SOFT_LIMIT if settings.soft_mask == "exclude" else None
        self._runs, self._store = runs, genome.store
        self._starts = Starts(genome, runs, settings.max_n, soft_limit)
        spaced = np.geomspace(settings.shortest, settings.window, _LENGTHS)
        self._lengths = np.unique(np.rint(spaced).astype(np.int64))
        self._read_bytes = 0
        self._placed: dict[torch.device, DeviceStore | None] = {}
        for length in (settings.window, settings.shortest):
            self.draw(0, np.zeros(1, dtype=np.int64), length)

    def batch_length(self, epoch: int, batch: int) -> int:
        """Length of the windows of a batch: log-uniform from the shortest to the longest."""
        drawn = uniform(row_hash(self.seed, epoch, np.array([batch]), Purpose.BATCH_LENGTH))
        return int(self._lengths[int(float(drawn[0]) * len(self._lengths))])

    def batch_windows(self, epoch: int, batch: int) -> int:
        """Windows in a batch, over all ranks and parts."""
        return self._windows_of(self.batch_length(epoch, batch))

    def batch_bases(self, epoch: int, batch: int) -> int:
        """Bases of a batch's windows: at most, and usually a little below, the setting."""
        length = self.batch_length(epoch, batch)
        return length * self._windows_of(length)

    @property
    def usual_batch_bases(self) -> float:
        """Mean of `batch_bases` over batches."""
        return float(np.mean([n * self._windows_of(n) for n in self._lengths.tolist()]))

    def _windows_of(self, length: int) -> int:
        return max(1, self.settings.batch_bases // length)

    def sample_ids(self, epoch: int, batch: int) -> NDArray[np.int64]:
        """Numbers (B,) of a batch's windows, unique within the epoch."""
        return batch * MAX_ROWS + np.arange(self.batch_windows(epoch, batch), dtype=np.int64)

    def draw(self, epoch: int, ids: NDArray[np.int64], length: int) -> Offsets:
        """Store offsets (B,) of the windows, uniform over all allowed starts.

        A window lies within one run and the limit of N (and of lower case, if excluded).
        """
        return self._starts.draw(length, self.seed, epoch, ids, Purpose.WINDOW_START)

    def read(
        self,
        starts: Offsets,
        length: int,
        margin: int = 20,
        device: torch.device | str = "cpu",
    ) -> RawWindows:
        """The bases of windows on `device`, with up to `margin` more after each, within its run.

        On a CUDA device with room for the genome they are read there, with identical results.
        """
        ends = self._runs[np.searchsorted(self._runs[:, 0], starts, side="right") - 1, 1]
        store = self._store_on(torch.device(device))
        if store is None:
            here = self._read_here(starts, ends, length, margin)
            stored, inside = (sent(array, device) for array in here)
        else:
            stored, inside = store.read(starts, ends, length, margin)
        return RawWindows(stored & CODE_BITS, inside, (stored & SOFT_BIT).bool(), length)

    def _store_on(self, device: torch.device) -> DeviceStore | None:
        if device not in self._placed:
            self._placed[device] = device_store(self._store, device)
        return self._placed[device]

    def _read_here(
        self, starts: Offsets, ends: Offsets, length: int, margin: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Stored bytes and inside (B, length + margin) from the memory map."""
        rows = np.lib.stride_tricks.sliding_window_view(self._store, length)[starts]
        behind = starts[:, None] + np.arange(length, length + margin)
        known = behind < ends[:, None]
        margins = np.where(known, self._store[np.where(known, behind, 0)], N)
        stored = np.concatenate([rows, margins.astype(np.uint8)], axis=1)
        inside = np.concatenate([np.ones(rows.shape, dtype=np.bool_), known], axis=1)
        self._release(stored.size)
        return stored, inside

    def _release(self, read: int) -> None:
        """Release the pages of the memory map now and then; the next read finds them cached."""
        self._read_bytes += read
        mapped = getattr(self._store, "_mmap", None)
        if self._read_bytes < _RELEASE_EVERY or mapped is None:
            return
        self._read_bytes = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
