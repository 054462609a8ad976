"""Counter-based random numbers: every draw is a hash of (seed, epoch, sample, purpose, position).

A draw does not depend on the batch, the worker, the rank or where a run was interrupted. There are
two levels:

* `row_hash`, 64 bits, numpy on the host: the few numbers per window (strand, lengths, positions).
* `counter_hash`, 32 bits, torch on any device: one number per position, keyed by a row's 64 bits.
  It is wrapping int32 arithmetic only, hence the same integers on every device, and the same as
  those of `counter_hash_numpy`.

The mixers are the 64-bit finaliser of MurmurHash3 (A. Appleby) and the 32-bit `lowbias32` of
C. Wellons' hash prospector, here with half of the key added between its rounds.
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from findna.data.on_device import sent

_WORD = (1 << 64) - 1
_STEP = np.uint64(0x9E3779B97F4A7C15)
_START = 0x66696E64_6E610001
_POSITION = 0x9E3779B9
_FIRST = 0x7FEB352D
_SECOND = 0x846CA68B


# Numbers of samples within an epoch, (B,) int64 on the host.
Samples = NDArray[np.int64] | Tensor


class Purpose(IntEnum):
    """What a draw is for. Every purpose has its own number; numbers are never reused."""

    BATCH_LENGTH = 1
    WINDOW_START = 2
    VALIDATION_START = 3
    STRAND = 10
    N_RUN = 11
    N_RUN_LENGTH = 12
    N_RUN_PLACE = 13
    DELETION_LENGTH = 20
    DELETION_PLACE = 21
    INSERTION_LENGTH = 22
    INSERTION_PLACE = 23
    ROTATION = 24
    DRAWN_BASES = 25
    CROP = 26
    HIDING_RATE = 30
    HIDING = 31
    HIDING_PHASE = 32
    NOISE = 40
    LABELLED_STRAND = 50
    LABELLED_ORDER = 51


def row_hash(
    seed: int,
    epoch: int,
    sample: Samples,
    purposes: Purpose | Sequence[Purpose],
    attempt: int = 0,
) -> NDArray[np.uint64]:
    """64 random bits per sample: (B,) for one purpose, (P, B) for P purposes.

    `attempt` numbers the redraws of one purpose.
    """
    rows = _absorb(_stream(seed, epoch), np.asarray(sample).astype(np.uint64))
    if isinstance(purposes, Purpose):
        return _absorb(rows, _word(int(purposes) << 32 | attempt))
    words = np.array([int(purpose) << 32 | attempt for purpose in purposes], dtype=np.uint64)
    return _absorb(rows[None, :], words[:, None])


def uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Numbers in [0, 1) from 64 random bits each, same shape."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(bits: NDArray[np.uint64], high: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers in [0, high) from 64 random bits each; `high` is below 2^32 and broadcast."""
    scaled = (bits >> np.uint64(32)) * np.asarray(high).astype(np.uint64)
    return (scaled >> np.uint64(32)).astype(np.int64)


def counter_hash(
    keys: NDArray[np.uint64], positions: int, device: torch.device | str = "cpu"
) -> Tensor:
    """32 random bits per position as wrapping int32 (B, positions), made on `device`.

    `keys` (B,) come from `row_hash`.
    """
    halves = sent(keys.view(np.int32).reshape(-1, 2), device)
    counter = torch.arange(positions, dtype=torch.int32, device=device).mul_(_signed(_POSITION))
    mixed = counter ^ halves[:, :1]
    shifted = torch.empty_like(mixed)
    _fold(mixed, 16, shifted).mul_(_signed(_FIRST)).add_(halves[:, 1:])
    _fold(mixed, 15, shifted).mul_(_signed(_SECOND))
    return _fold(mixed, 16, shifted)


def counter_hash_numpy(keys: NDArray[np.uint64], positions: int) -> NDArray[np.uint32]:
    """The same bits as `counter_hash`, as uint32 (B, positions)."""
    halves = keys.view(np.uint32).reshape(-1, 2)
    mixed = (np.arange(positions, dtype=np.uint32) * np.uint32(_POSITION)) ^ halves[:, :1]
    mixed ^= mixed >> np.uint32(16)
    mixed = mixed * np.uint32(_FIRST) + halves[:, 1:]
    mixed ^= mixed >> np.uint32(15)
    mixed = mixed * np.uint32(_SECOND)
    return np.asarray(mixed ^ (mixed >> np.uint32(16)))


def half_words(
    keys: NDArray[np.uint64], positions: int, device: torch.device | str = "cpu"
) -> Tensor:
    """16 random bits per position as int16 (B, positions); each hash serves two neighbours."""
    words = counter_hash(keys, (positions + 1) // 2, device)
    return words.view(torch.int16)[:, :positions]


def random_bases(keys: NDArray[np.uint64], count: int) -> NDArray[np.uint8]:
    """Random bases A C G T as codes (B, count), on the host: sixteen from each hash."""
    words = counter_hash_numpy(keys, -(-count // 16))[:, :, None]
    bases = words >> np.arange(0, 32, 2, dtype=np.uint32) & np.uint32(3)
    return bases.astype(np.uint8).reshape(len(keys), -1)[:, :count]


def normal(bits: Tensor) -> Tensor:
    """Standard normal float32 numbers from int16 random bits, by a table of quantiles."""
    table = _normal_table(bits.device)
    places = bits.to(torch.int32).bitwise_and_(0xFFFF)
    return table.index_select(0, places.flatten()).view(bits.shape)


@lru_cache(maxsize=8)
def _normal_table(device: torch.device) -> Tensor:
    """The 65,536 normal quantiles at (i + 1/2) / 65,536, shape (65536,) float32."""
    quantiles = ndtri((np.arange(65536) + 0.5) / 65536)
    return sent(quantiles.astype(np.float32), device)


@lru_cache(maxsize=64)
def _stream(seed: int, epoch: int) -> NDArray[np.uint64]:
    return _absorb(_absorb(_word(_START), _word(seed)), _word(epoch))


def _word(number: int) -> NDArray[np.uint64]:
    # An array rather than a scalar: numpy warns when a scalar overflows, but not for arrays.
    return np.array([number & _WORD], dtype=np.uint64)


def _absorb(state: NDArray[np.uint64], word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """State after one more 64-bit word, fully mixed (MurmurHash3 fmix64), broadcast."""
    mixed = (state ^ word) + _STEP
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed


def _fold(mixed: Tensor, bits: int, shifted: Tensor) -> Tensor:
    """In place `mixed ^= mixed >>> bits`; the mask removes the sign bits of an int32 shift."""
    torch.bitwise_right_shift(mixed, bits, out=shifted)
    return mixed.bitwise_xor_(shifted.bitwise_and_((1 << (32 - bits)) - 1))


def _signed(number: int) -> int:
    """The int32 with the bits of a uint32."""
    return number - (1 << 32) if number >= 1 << 31 else number
