"""Draws are a function of their address alone, and look like chance."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from findna.data import randomness
from findna.data.randomness import (
    Purpose,
    counter_hash,
    counter_hash_numpy,
    half_words,
    integers,
    normal,
    random_bases,
    row_hash,
    uniform,
)

IDS = np.arange(400, dtype=np.int64)
KEYS = row_hash(3, 1, IDS, Purpose.HIDING)
GOLDEN_ROWS = ["0x87b8f1a3f36d8062", "0xe0db6267a6e6856f"]
GOLDEN_POSITIONS = ["0xf999136d", "0x2c74853b", "0x3af9f854", "0x691fdb57"]
GOLDEN_ATTEMPT = "0x536413e17f3d2981"


def bits_of(words: np.ndarray) -> np.ndarray:
    """Unsigned words (...) -> their bits (..., width) as 0 and 1."""
    width = words.dtype.itemsize * 8
    return (words[..., None] >> np.arange(width, dtype=words.dtype)) & words.dtype.type(1)


def chi_square(values: np.ndarray, cells: int) -> float:
    counts = np.bincount(values.ravel().astype(np.int64), minlength=cells)
    return float(stats.chisquare(counts).pvalue)


@given(
    seed=st.integers(0, 2**63),
    epoch=st.integers(0, 10**6),
    first=st.integers(0, 2**62),
    purpose=st.sampled_from(Purpose),
    positions=st.integers(1, 50),
)
def test_torch_and_numpy_agree_on_every_integer(
    seed: int, epoch: int, first: int, purpose: Purpose, positions: int
) -> None:
    keys = row_hash(seed, epoch, first + np.arange(5), purpose)
    torch_bits = counter_hash(keys, positions).numpy().view(np.uint32)
    np.testing.assert_array_equal(torch_bits, counter_hash_numpy(keys, positions))


def test_numbers_never_change() -> None:
    # Stored runs are repeated from their seed: whoever changes these numbers breaks every one.
    keys = row_hash(1, 2, np.array([3, 2**40]), Purpose.HIDING)
    assert [hex(key) for key in keys.tolist()] == GOLDEN_ROWS
    assert [hex(w) for w in counter_hash_numpy(keys, 2).ravel().tolist()] == GOLDEN_POSITIONS
    assert hex(int(row_hash(1, 2, np.array([3]), Purpose.WINDOW_START, 1)[0])) == GOLDEN_ATTEMPT


def test_purposes_together_equal_purposes_alone() -> None:
    together = row_hash(5, 6, IDS, (Purpose.STRAND, Purpose.ROTATION))
    np.testing.assert_array_equal(together[0], row_hash(5, 6, IDS, Purpose.STRAND))
    np.testing.assert_array_equal(together[1], row_hash(5, 6, IDS, Purpose.ROTATION))
    again = row_hash(5, 6, IDS, (Purpose.STRAND, Purpose.ROTATION), 2)
    np.testing.assert_array_equal(again[1], row_hash(5, 6, IDS, Purpose.ROTATION, 2))


def test_a_draw_does_not_depend_on_its_company() -> None:
    alone = counter_hash(row_hash(3, 1, IDS[17:18], Purpose.HIDING), 20)
    torch.testing.assert_close(alone[0], counter_hash(KEYS, 300)[17, :20], rtol=0, atol=0)


@pytest.mark.parametrize(
    "changed", ["seed", "epoch", "sample", "high_sample", "purpose", "attempt"]
)
def test_avalanche_of_row_hash(changed: str) -> None:
    """One bit more in any part of the address turns half of the 64 bits over."""
    before = row_hash(8, 4, IDS, Purpose.STRAND)
    after = {
        "seed": lambda: row_hash(9, 4, IDS, Purpose.STRAND),
        "epoch": lambda: row_hash(8, 5, IDS, Purpose.STRAND),
        "sample": lambda: row_hash(8, 4, IDS ^ 1, Purpose.STRAND),
        "high_sample": lambda: row_hash(8, 4, IDS + (1 << 45), Purpose.STRAND),
        "purpose": lambda: row_hash(8, 4, IDS, Purpose.N_RUN),
        "attempt": lambda: row_hash(8, 4, IDS, Purpose.STRAND, 1),
    }[changed]()
    share = bits_of(before ^ after).mean(0)
    assert abs(share.mean() - 0.5) < 0.02
    assert np.abs(share - 0.5).max() < 0.13


def test_avalanche_of_positions_and_keys() -> None:
    words = counter_hash_numpy(KEYS, 64)
    for step in (1, 2, 8, 32):
        share = bits_of(words[:, step:] ^ words[:, :-step]).mean((0, 1))
        assert np.abs(share - 0.5).max() < 0.02
    for bit in (0, 31):
        other = counter_hash_numpy(KEYS ^ np.uint64(1 << bit), 64)
        assert np.abs(bits_of(words ^ other).mean((0, 1)) - 0.5).max() < 0.02
    # The other half of the key never differs in one bit only: it is the end of a 64-bit hash.
    high = np.uint64(0xFFFFFFFF00000000)
    other = counter_hash_numpy((KEYS & ~high) | (np.roll(KEYS, 1) & high), 64)
    assert np.abs(bits_of(words ^ other).mean((0, 1)) - 0.5).max() < 0.05


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
def test_every_byte_is_uniform(shift: int) -> None:
    words = counter_hash_numpy(KEYS, 500)
    assert chi_square((words >> np.uint32(shift)) & np.uint32(255), 256) > 1e-3
    rows = row_hash(3, 1, np.arange(100_000), Purpose.STRAND)
    assert chi_square((rows >> np.uint64(2 * shift)) & np.uint64(255), 256) > 1e-3


def test_pairs_of_neighbours_rows_and_purposes_are_independent() -> None:
    """All 256 pairs of two 4-bit draws are equally frequent."""
    words = counter_hash_numpy(KEYS, 501)
    other = counter_hash_numpy(row_hash(3, 1, IDS, Purpose.NOISE), 501)
    later = counter_hash_numpy(row_hash(3, 2, IDS, Purpose.HIDING), 501)
    for first, second in (
        (words[:, :-1], words[:, 1:]),
        (words[:-1], words[1:]),
        (words, other),
        (words, later),
    ):
        for low in (0, 13, 28):
            pair = (first >> np.uint32(low) & np.uint32(15)) * np.uint32(16)
            pair = pair + (second >> np.uint32(low) & np.uint32(15))
            assert chi_square(pair, 256) > 1e-3


def test_rows_of_one_batch_share_no_stretch() -> None:
    words = counter_hash_numpy(KEYS, 1000)
    assert len(np.unique(words)) > 0.9999 * words.size


def test_half_words_are_the_halves_of_the_hash() -> None:
    words = counter_hash_numpy(KEYS, 4)
    halves = half_words(KEYS, 7).numpy().view(np.uint16)
    assert halves.shape == (len(KEYS), 7)
    np.testing.assert_array_equal(halves[:, 0::2], (words & np.uint32(0xFFFF)).astype(np.uint16))
    np.testing.assert_array_equal(
        halves[:, 1::2], (words[:, :3] >> np.uint32(16)).astype(np.uint16)
    )


def test_random_bases() -> None:
    bases = random_bases(row_hash(0, 0, np.arange(5000), Purpose.DRAWN_BASES), 40)
    assert bases.shape == (5000, 40) and bases.dtype == np.uint8
    assert chi_square(bases, 4) > 1e-3
    assert chi_square(bases[:, 1:] * 4 + bases[:, :-1], 16) > 1e-3
    assert min(chi_square(column, 4) for column in bases.T) > 1e-5
    assert random_bases(KEYS, 0).shape == (len(KEYS), 0)


def test_uniform_and_integers() -> None:
    bits = row_hash(0, 0, np.arange(50_000), Purpose.ROTATION)
    numbers = uniform(bits)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    assert chi_square(integers(bits, 41), 41) > 1e-3
    high = np.arange(1, 50_001)
    drawn = integers(bits, high)
    assert drawn.min() >= 0 and (drawn < high).all()
    assert integers(np.array([0, 2**64 - 1], dtype=np.uint64), 7).tolist() == [0, 6]


def test_normal_numbers() -> None:
    numbers = normal(half_words(KEYS, 500))
    assert numbers.dtype == torch.float32
    assert stats.kstest(numbers.numpy().ravel()[:50_000], "norm").pvalue > 1e-3
    every = normal(torch.arange(-32768, 32768, dtype=torch.int16)).double()
    assert abs(float(every.mean())) < 1e-6
    assert abs(float(every.std()) - 1) < 1e-4


@pytest.mark.gpu
def test_cuda_agrees_on_every_integer() -> None:
    torch.testing.assert_close(
        counter_hash(KEYS, 777, "cuda").cpu(), counter_hash(KEYS, 777), rtol=0, atol=0
    )
    torch.testing.assert_close(
        normal(half_words(KEYS, 777, "cuda")).cpu(), normal(half_words(KEYS, 777)), rtol=0, atol=0
    )


def test_normal_noise_is_as_often_below_nought_as_above() -> None:
    table = randomness._normal_table(torch.device("cpu"))
    assert torch.equal(table, -table.flip(0)) and table.std() == pytest.approx(1, abs=1e-3)
