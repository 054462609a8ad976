import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna.inference.tiles import tile, usual_window
from findna.model.model import new_model
from findna.model.presets import ModelConfig

SHAPE = {"width": 16, "hidden": 16, "track_size": 8, "depth": 2, "summary_tokens": 1}


@given(st.integers(1, 5000), st.integers(1, 700), st.integers(0, 90))
def test_every_base_is_kept_once_with_its_flank(length, window, flank):
    if window <= 2 * flank:
        with pytest.raises(ValueError, match="cannot tile"):
            tile(length, window, flank)
        return
    tiles = tile(length, window, flank)
    kept = np.concatenate([np.arange(a, b) for a, b in zip(tiles[2], tiles[3], strict=True)])
    assert np.array_equal(kept, np.arange(length))
    assert set(tiles.ends - tiles.starts) == {min(window, length)}
    # Context stands on both sides of what a window answers for, but at the ends of the sequence.
    inner_left, inner_right = tiles.starts > 0, tiles.ends < length
    assert (tiles.keep_starts - tiles.starts >= flank)[inner_left].all()
    assert (tiles.ends - tiles.keep_ends >= flank)[inner_right].all()


@pytest.mark.parametrize(("length", "window", "flank"), [(0, 10, 2), (9, 10, -1), (9, 4, 2)])
def test_sizes_that_make_no_tiles_are_programming_errors(length, window, flank):
    with pytest.raises(ValueError, match=f"cannot tile {length} bases by {window}"):
        tile(length, window, flank)


def test_tiles_by_hand():
    tiles = tile(20, 10, 2)
    assert tiles.starts.tolist() == [0, 6, 10] and tiles.ends.tolist() == [10, 16, 20]
    assert tiles.keep_starts.tolist() == [0, 8, 13] and tiles.keep_ends.tolist() == [8, 13, 20]


def test_a_window_is_the_longest_that_was_trained():
    model = new_model(ModelConfig.parse({"backbone": SHAPE}, source="test"), seed=0)
    assert usual_window(model) == 512
    model.provenance["trained_lengths"] = [64, 300]
    assert usual_window(model) == 300
