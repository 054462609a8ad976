"""Words of letters, against counts by hand and against the k-mer counts of the data package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from findna.data.labelled import LabelledSplit
from findna.data.similarity import kmer_counts
from findna.evaluation.contenders.places import placed_words
from findna.model.model import reverse_complement
from findna.model.words import (
    mixed_placed_pairs,
    mixed_word_shares,
    placed_pairs,
    word_shares,
    words,
)
from findna.sequence.alphabet import MASK, PAD, VOCABULARY, N, encode


def one_hot(codes: torch.Tensor) -> torch.Tensor:
    """Codes (B, L) → letters (B, L, V)."""
    return F.one_hot(codes, VOCABULARY)


def batch(*sequences: str) -> torch.Tensor:
    """Codes (B, L) of sequences, PAD behind the shorter ones."""
    codes = [torch.from_numpy(encode(one)) for one in sequences]
    return torch.nn.utils.rnn.pad_sequence(codes, batch_first=True, padding_value=PAD).long()


def test_words_are_counted_by_hand() -> None:
    # Of two letters, strands joined: AA AC AG AT CA CC CG GA GC TA.
    assert words(2) == 10 and words(4) == 136 and words(6) == 2080
    shares = word_shares(batch("AACGTN", "TT", "A"), 2)
    wanted = torch.zeros(3, 10)
    wanted[0, [0, 1, 6]] = torch.tensor([1 / 4, 2 / 4, 1 / 4])  # AA, AC and GT, CG
    wanted[1, 0] = 1  # TT is AA
    torch.testing.assert_close(shares, wanted)
    assert not word_shares(batch("A"), 2).any()


def test_a_word_with_a_letter_that_is_no_base_does_not_count() -> None:
    plain = batch("ACGTACGTTT")
    for hidden in (N, MASK):
        codes = plain.clone()
        codes[0, 5] = hidden
        torch.testing.assert_close(word_shares(codes, 5), word_shares(plain[:, :5], 5))


@pytest.mark.parametrize("k", [3, 4, 6])
def test_words_are_the_k_mers_of_the_data_package(k: int) -> None:
    random = np.random.default_rng(0)
    codes = [random.integers(0, 5, length).astype(np.uint8) for length in (60, 17, 3, 100)]
    counts = kmer_counts(codes, k, canonical=True).toarray()
    counts = counts[:, kmer_counts(every_word(k), k, canonical=True).toarray().any(0)]
    padded = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(one) for one in codes], batch_first=True, padding_value=PAD
    ).long()
    wanted = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    found = word_shares(padded, k)
    assert np.allclose(found.numpy(), wanted, atol=1e-6)
    torch.testing.assert_close(mixed_word_shares(one_hot(padded).float(), k), found)
    turned = reverse_complement(padded, torch.tensor([len(one) for one in codes]))
    torch.testing.assert_close(word_shares(turned, k), found)


def every_word(k: int) -> list[NDArray[np.uint8]]:
    """All words of k letters, as sequences."""
    return list(np.indices((4,) * k, np.uint8).reshape(k, -1).T)


def test_a_sequence_shorter_than_a_word_has_none() -> None:
    short = batch("ACG")
    assert not word_shares(short, 4).any()
    assert not mixed_word_shares(one_hot(short).float(), 4).any()


def test_the_slope_along_a_letter_is_what_putting_it_there_does() -> None:
    # A word reads a place once, so that shares are linear in the letters of one place.
    random = np.random.default_rng(1)
    codes = torch.from_numpy(random.integers(0, 4, (1, 12)))
    weight = torch.from_numpy(random.normal(size=words(4)))
    letters = one_hot(codes).double().requires_grad_()
    (slope,) = torch.autograd.grad((mixed_word_shares(letters, 4) @ weight).sum(), letters)
    before = word_shares(codes, 4).double() @ weight
    for place in range(12):
        for letter in range(4):
            changed = codes.clone()
            changed[0, place] = letter
            effect = word_shares(changed, 4).double() @ weight - before
            of_slope = slope[0, place, letter] - slope[0, place, codes[0, place]]
            torch.testing.assert_close(of_slope[None], effect, atol=1e-6, rtol=0)


def test_pairs_at_places_by_hand() -> None:
    found = placed_pairs(batch("ACNGT", "TT"), 3).reshape(2, 3, 16)
    wanted = torch.zeros(2, 3, 16)
    wanted[0, 0, 1] = wanted[1, 0, 15] = 1  # AC; CN and NG are none, GT is beyond; TT
    torch.testing.assert_close(found, wanted.long())
    more = placed_pairs(batch("ACNGT", "TT"), 6).reshape(2, 6, 16)
    assert more[0, 3, 11] == 1 and more.sum() == 3


@pytest.mark.parametrize("places", [1, 10, 80])
def test_pairs_at_places_are_those_of_the_cheap_contender(places: int) -> None:
    random = np.random.default_rng(2)
    codes = [random.integers(0, 5, n).astype(np.uint8) for n in (60, 17, 1, 100)]
    rows = LabelledSplit(list("abcd"), codes, np.zeros(4), np.arange(4))
    padded = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(one) for one in codes], batch_first=True, padding_value=PAD
    ).long()
    found = placed_pairs(padded, places)
    assert (found.numpy() == placed_words(rows, 2, places).toarray()).all()
    mixed = mixed_placed_pairs(one_hot(padded).float(), places)
    torch.testing.assert_close(mixed, found.float())
    hidden = padded.clone()
    hidden[:, ::7] = MASK
    unknown = padded.clone()
    unknown[:, ::7] = N
    assert (placed_pairs(hidden, places) == placed_pairs(unknown, places)).all()
