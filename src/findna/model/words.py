"""Words of letters: how often each stands in a sequence, and which pairs stand where.

Of words that are counted, a word and its reverse complement are one, so that both strands of a
sequence have the same shares. Pairs at places are as they are read.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from findna.sequence.alphabet import BASES


@cache
def _names(k: int) -> Tensor:
    """Name (4^k,) of each word of k letters, the letters read as digits to the base 4: its rank
    among all words of which none is the greater one of a word and its reverse complement.
    """
    word = torch.arange(BASES**k)
    digits = [word // BASES**at % BASES for at in range(k)]  # the last letter first
    complements = [(BASES - 1 - digit) * BASES ** (k - 1 - at) for at, digit in enumerate(digits)]
    other = torch.stack(complements).sum(0)
    names: Tensor = torch.unique(torch.minimum(word, other), return_inverse=True)[1]
    return names


def words(k: int) -> int:
    """How many words of k letters there are, strands joined."""
    return int(_names(k).max()) + 1


def word_shares(codes: Tensor, k: int) -> Tensor:
    """Codes (B, L) → the share of each word among the words of a sequence, (B, words(k)). Words
    with N, MASK or PAD do not count; a sequence without any word has shares of 0.
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
    """The same of mixtures of letters (B, L, V), of which each word has the product of the weights
    of its letters: of one-hot letters what :func:`word_shares` says, with a slope along each.
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
    """Codes (B, L) → 1 for the pair of letters that begins at each of the first places, place by
    place, (B, places * 16); a pair with N, MASK or PAD, or beyond the end, is none.
    """
    pairs = F.pad(codes, (0, max(0, places + 1 - codes.shape[1])), value=BASES)[:, : places + 1]
    pairs = pairs.unfold(1, 2, 1)
    whole = (pairs < BASES).all(-1)
    name = (pairs[..., 0] * BASES + pairs[..., 1]).masked_fill(~whole, 0)
    return (F.one_hot(name, PAIRS) * whole[..., None]).flatten(1)


def mixed_placed_pairs(letters: Tensor, places: int) -> Tensor:
    """The same of mixtures of letters (B, L, V): each pair has the product of the weights of its
    letters.
    """
    beyond = max(0, places + 1 - letters.shape[1])
    bases = F.pad(letters[..., :BASES], (0, 0, 0, beyond))[:, : places + 1]
    return (bases[:, :-1, :, None] * bases[:, 1:, None]).flatten(1)
