"""Batches gathered from sequences that lie back to back."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna.data.batches import pad
from findna.data.ragged import Ragged
from findna.sequence.alphabet import encode, reverse_complement

SEQUENCES = st.lists(st.text("ACGTN", min_size=1, max_size=12), min_size=1, max_size=8)


@given(SEQUENCES, st.data())
def test_a_batch_is_the_padded_rows_on_the_strand_that_was_asked(words, data):
    codes = [encode(w) for w in words]
    indices = st.lists(st.integers(0, len(words) - 1), min_size=1, max_size=8)
    rows = np.array(data.draw(indices))
    turned = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    asked = [
        reverse_complement(codes[r]) if t else codes[r] for r, t in zip(rows, turned, strict=True)
    ]
    expected, lengths = pad(asked)
    found, valid = Ragged(codes).batch(rows, turned)
    assert found.dtype == torch.int64 and torch.equal(found, expected)
    assert (valid is None) == (len(set(lengths.tolist())) == 1)
    assert valid is None or torch.equal(valid, lengths)


@given(SEQUENCES)
def test_without_strands_rows_are_as_they_were(words):
    codes = [encode(w) for w in words]
    ragged = Ragged(codes)
    assert len(ragged) == len(words)
    found, _ = ragged.batch(np.arange(len(codes)))
    assert torch.equal(found, pad(codes)[0])
