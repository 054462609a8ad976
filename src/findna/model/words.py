"""K-mer frequencies of sequences, and the pairs of bases at their first positions.

A k-mer and its reverse complement count as one, so that both strands of a sequence have the same
frequencies. Pairs at positions are those of the strand that is read.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from findna.sequence.alphabet import BASES


@cache
def _names(k: int) -> Tensor:
    """Index (4^k,) of each k-mer, read as a number in base 4: the rank of the smaller of it and its
    reverse complement among all such k-mers.
    """
    word = torch.arange(BASES**k)
    digits = [word // BASES**at % BASES for at in range(k)]  # the last base first
    complements = [(BASES - 1 - digit) * BASES ** (k - 1 - at) for at, digit in enumerate(digits)]
    other = torch.stack(complements).sum(0)
    names: Tensor = torch.unique(torch.minimum(word, other), return_inverse=True)[1]
    return names


def words(k: int) -> int:
    """Number of k-mers, strands joined."""
    return int(_names(k).max()) + 1


def word_shares(codes: Tensor, k: int) -> Tensor:
    """Codes (B, L) → frequency of each k-mer in a sequence, (B, words(k)). K-mers with N, MASK or
    PAD do not count; a sequence without any has frequencies of 0.
    """
    shares = torch.zeros(len(codes), words(k), device=codes.device)
    if codes.shape[1] < k:
        return shares
    letters = codes.unfold(1, k, 1)
    whole = (letters < BASES).all(-1)
    digits = BASES ** torch.arange(k - 1, -1, -1, device=codes.device)
    word = (letters * digits).sum(-1).masked_fill(~whole, 0)
    shares.scatter_add_(1, _names(k).to(codes.device)[word], whole.to(shares.dtype))
    return shares / whole.sum(1, keepdim=True).clamp(min=1)


def mixed_word_shares(letters: Tensor, k: int) -> Tensor:
    """The same for mixtures of bases (B, L, V), differentiable: a k-mer has the product of the
    weights of its bases, which for one-hot codes gives :func:`word_shares`.
    """
    bases = letters[..., :BASES]
    places = max(0, letters.shape[1] - k + 1)
    found = bases.new_ones(len(letters), places, 1)
    whole = bases.new_ones(len(letters), places)
    for at in range(k):
        here = bases[:, at : at + places]
        found = (found[..., None] * here[:, :, None]).flatten(2)
        whole = whole * here.detach().sum(-1)
    shares = bases.new_zeros(len(letters), words(k))
    shares = shares.index_add(1, _names(k).to(letters.device), found.sum(1))
    return shares / whole.sum(1, keepdim=True).clamp(min=1)


PAIRS = BASES**2


def placed_pairs(codes: Tensor, places: int) -> Tensor:
    """Codes (B, L) → one-hot pair of bases that begins at each of the first positions, (B, places *
    16); zeros for a pair with N, MASK or PAD, or past the end.
    """
    pairs = F.pad(codes, (0, max(0, places + 1 - codes.shape[1])), value=BASES)[:, : places + 1]
    pairs = pairs.unfold(1, 2, 1)
    whole = (pairs < BASES).all(-1)
    name = (pairs[..., 0] * BASES + pairs[..., 1]).masked_fill(~whole, 0)
    return (F.one_hot(name, PAIRS) * whole[..., None]).flatten(1)


def mixed_placed_pairs(letters: Tensor, places: int) -> Tensor:
    """The same for mixtures of bases (B, L, V): a pair has the product of its bases' weights."""
    beyond = max(0, places + 1 - letters.shape[1])
    bases = F.pad(letters[..., :BASES], (0, 0, 0, beyond))[:, : places + 1]
    return (bases[:, :-1, :, None] * bases[:, 1:, None]).flatten(1)
