"""Hiding against a plain re-implementation, its shares, and what is never hidden."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from findna.data.masking import HidingSettings, embedding_noise, hide, hiding_rates
from findna.data.randomness import Purpose, counter_hash_numpy, row_hash, uniform
from findna.sequence.alphabet import MASK, PAD, N

SETTINGS = HidingSettings()


def codes(rng: np.random.Generator, rows: int, length: int, share_n: float = 0.05) -> torch.Tensor:
    drawn = rng.integers(0, 4, (rows, length)).astype(np.uint8)
    drawn[rng.random(drawn.shape) < share_n] = N
    return torch.from_numpy(drawn)


def plain_hide(
    view: list[int], seed: int, epoch: int, sample: int, settings: HidingSettings
) -> tuple[list[int], list[bool]]:
    """One window, base by base, in whole numbers."""
    address = np.array([sample])
    rate = settings.fixed_rate
    if rate is None:
        drawn = float(uniform(row_hash(seed, epoch, address, Purpose.HIDING_RATE))[0])
        rate = settings.max_rate * np.cbrt(drawn) ** 2
    words = counter_hash_numpy(row_hash(seed, epoch, address, Purpose.HIDING), len(view))[0]
    halves = [int(words[i // 2]) >> (16 * (i % 2)) & 0xFFFF for i in range(len(view))]
    draws = [half // 2 % 2**14 for half in halves]
    if settings.span > 1:
        # A stretch shares the draw of one place; a row's first border is drawn.
        phase = int(row_hash(seed, epoch, address, Purpose.HIDING_PHASE)[0]) >> 32
        first, last = phase * settings.span >> 32, len(view) - 1
        draws = [draws[min((first + i) // settings.span, last)] for i in range(len(view))]
    known = [place for place, code in enumerate(view) if code < N]
    limit = max(round(rate * 2**14), min((draws[place] + 1 for place in known), default=0))
    shown, hidden = list(view), [False] * len(view)
    for place in known:
        if draws[place] < limit:
            hidden[place] = True
            kind = halves[place] * 20251 % 2**15
            if kind < round(settings.mask * 2**15):
                shown[place] = MASK
            elif kind < round((settings.mask + settings.random) * 2**15):
                shown[place] = kind % 4
    return shown, hidden


@given(
    length=st.integers(1, 80),
    seed=st.integers(0, 99),
    share_n=st.sampled_from([0.0, 0.3, 0.97]),
    fixed_rate=st.sampled_from([None, 0.001, 0.3, 0.95]),
    mask=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    span=st.sampled_from([1, 1, 3, 10]),
)
def test_hiding_equals_the_plain_reimplementation(
    length: int, seed: int, share_n: float, fixed_rate: float | None, mask: float, span: int
) -> None:
    settings = HidingSettings(
        fixed_rate=fixed_rate, mask=mask, random=min(0.1, 1 - mask), span=span
    )
    view = codes(np.random.default_rng(seed), 5, length, share_n)
    ids = np.array([0, 1, 9, 2**21, 2**40])
    done = hide(view, seed, 2, ids, settings)
    for row, sample in enumerate(ids.tolist()):
        expected = plain_hide(view[row].tolist(), seed, 2, sample, settings)
        assert (done.codes[row].tolist(), done.hidden[row].tolist()) == expected


@pytest.fixture
def view(rng: np.random.Generator) -> torch.Tensor:
    return codes(rng, 2000, 300)


IDS = np.arange(2000)


def test_types_and_targets(view: torch.Tensor) -> None:
    done = hide(view, 0, 0, IDS, SETTINGS)
    assert (done.codes.dtype, done.hidden.dtype, done.targets.dtype) == (
        torch.int64, torch.bool, torch.int64,
    )  # fmt: skip
    assert torch.equal(done.targets, view.long())
    assert torch.equal(done.codes[~done.hidden], view.long()[~done.hidden])


def test_unknown_and_padding_are_never_hidden(view: torch.Tensor) -> None:
    view[:, -20:] = PAD
    done = hide(view, 0, 0, IDS, HidingSettings(fixed_rate=0.95))
    assert not done.hidden[view >= N].any()
    assert (done.codes[:, -20:] == PAD).all()


def test_every_window_with_a_known_base_has_one_hidden() -> None:
    view = torch.full((500, 64), N, dtype=torch.uint8)
    view[torch.arange(400), torch.arange(400) % 64] = 2
    done = hide(view, 0, 0, np.arange(500), HidingSettings(fixed_rate=0.001))
    assert torch.equal(done.hidden, view == 2)


def test_a_forced_base_is_shown_as_any_other() -> None:
    view = torch.zeros((20_000, 64), dtype=torch.uint8)
    done = hide(view, 0, 0, np.arange(20_000), HidingSettings(fixed_rate=1e-9))
    assert (done.hidden.sum(1) >= 1).all() and done.hidden.float().mean() < 1.02 / 64
    assert abs(float((done.codes[done.hidden] == MASK).float().mean()) - 0.8) < 0.01


@pytest.mark.parametrize("rate", [0.02, 0.15, 0.3, 0.5])
def test_shares_of_the_three_kinds(rng: np.random.Generator, rate: float) -> None:
    view = codes(rng, 4000, 500, share_n=0)
    done = hide(view, 5, 0, np.arange(4000), HidingSettings(fixed_rate=rate))
    hidden = done.hidden
    count = int(hidden.sum())
    assert abs(count / hidden.numel() - rate) < 5 * np.sqrt(rate / hidden.numel()) + 1e-4
    masked = done.codes[hidden] == MASK
    assert stats.binomtest(int(masked.sum()), count, 0.8).pvalue > 1e-4
    # A random base is the true one in a quarter of the cases: 10 % stay and 2.5 % look as if.
    kept = done.codes[hidden] == done.targets[hidden]
    assert stats.binomtest(int(kept.sum()), count, 0.125).pvalue > 1e-4
    replaced = hidden & (done.codes != MASK) & (done.codes != done.targets)
    pairs = done.targets[replaced] * 4 + done.codes[replaced]
    counts = np.bincount(pairs.numpy(), minlength=16).reshape(4, 4)
    assert (counts.diagonal() == 0).all()
    assert stats.chisquare(counts[~np.eye(4, dtype=bool)]).pvalue > 1e-4


def test_all_masked_when_asked(view: torch.Tensor) -> None:
    done = hide(view, 0, 0, IDS, HidingSettings(fixed_rate=0.5, mask=1, random=0))
    assert (done.codes[done.hidden] == MASK).all()
    done = hide(view, 0, 0, IDS, HidingSettings(fixed_rate=0.5, mask=0, random=0))
    assert torch.equal(done.codes, done.targets) and done.hidden.any()


def test_rates_are_drawn_per_window_with_mean_thirty_percent(rng: np.random.Generator) -> None:
    ids = np.arange(20_000)
    rates = hiding_rates(row_hash(0, 0, ids, Purpose.HIDING_RATE), SETTINGS)
    assert abs(rates.mean() - 0.3) < 0.005 and rates.max() <= 0.5 and rates.min() < 0.01
    # P(rate < r) = (2 r)^1.5
    assert stats.kstest(rates, lambda r: (2 * np.clip(r, 0, 0.5)) ** 1.5).pvalue > 1e-3
    done = hide(codes(rng, 20_000, 200, 0), 0, 0, ids, SETTINGS)
    found = done.hidden.float().mean(1).numpy()
    assert np.abs(found - rates).max() < 0.2 and np.corrcoef(found, rates)[0, 1] > 0.95


def test_positions_are_hidden_independently(view: torch.Tensor) -> None:
    done = hide(torch.zeros_like(view), 0, 0, IDS, HidingSettings(fixed_rate=0.3))
    hidden = done.hidden.double()
    assert stats.chisquare(hidden.sum(0).numpy()).pvalue > 1e-3
    for step in (1, 2, 3, 150):
        both = (hidden[:, step:] * hidden[:, :-step]).mean()
        assert abs(float(both) - 0.09) < 0.003
    assert abs(float((hidden[1:] * hidden[:-1]).mean()) - 0.09) < 0.003


def test_hiding_repeats_and_differs(view: torch.Tensor) -> None:
    first = hide(view, 0, 0, IDS, SETTINGS)
    assert torch.equal(first.codes, hide(view.long(), 0, 0, torch.from_numpy(IDS), SETTINGS).codes)
    for other in (hide(view, 1, 0, IDS, SETTINGS), hide(view, 0, 1, IDS, SETTINGS)):
        assert (first.hidden != other.hidden).any(1).float().mean() > 0.99


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        HidingSettings(mask=0.95, random=0.1)


def test_noise_is_normal_and_repeats(rng: np.random.Generator) -> None:
    ids = np.arange(8)
    noise = embedding_noise(0, 0, ids, 50, 32, 0.2)
    assert noise.shape == (8, 50, 32) and noise.dtype == torch.float32
    assert stats.kstest(noise.numpy().ravel() / 0.2, "norm").pvalue > 1e-3
    assert torch.equal(noise[3:5], embedding_noise(0, 0, ids[3:5], 50, 32, 0.2))
    other = embedding_noise(0, 1, ids, 50, 32, 0.2)
    for first, second in ((noise, other), (noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1])):
        assert abs(np.corrcoef(first.numpy().ravel(), second.numpy().ravel())[0, 1]) < 0.04


@pytest.mark.gpu
def test_cuda_hides_the_same(view: torch.Tensor) -> None:
    here, there = hide(view, 0, 0, IDS, SETTINGS), hide(view.cuda(), 0, 0, IDS, SETTINGS)
    assert torch.equal(here.codes, there.codes.cpu())
    assert torch.equal(here.hidden, there.hidden.cpu())
    noise = embedding_noise(0, 0, IDS[:4], 30, 16, 0.2, "cuda")
    assert torch.equal(noise.cpu(), embedding_noise(0, 0, IDS[:4], 30, 16, 0.2))


def test_spans_keep_the_rate_and_hide_neighbours_together() -> None:
    view = torch.zeros(400, 300, dtype=torch.uint8)
    shown = hide(view, 0, 0, np.arange(400), HidingSettings(fixed_rate=0.3, span=6)).hidden
    assert abs(float(shown.float().mean()) - 0.3) < 0.01
    both = shown[:, 1:] & shown[:, :-1]
    # Five of six neighbours lie in the same stretch, the others are hidden by chance.
    assert abs(float(both.float().mean()) - 0.3 * (5 / 6 + 0.3 / 6)) < 0.01
