"""The two-sided Markov model against a plain dictionary of counts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from findna.sequence.alphabet import decode
from findna.sequence.genome import Genome
from findna.training import markov
from findna.training.markov import SMOOTHING, yardsticks

TRAIN = np.array([[0, 900], [1000, 2500]])


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    rng = np.random.default_rng(0)
    letters = rng.choice(list("ACGT"), p=[0.4, 0.1, 0.2, 0.3], size=3000)
    for at in range(0, 2990, 10):
        letters[at : at + 4] = list("GATC")
    letters[500:510] = "N"
    (tmp_path / "toy.fa").write_text(">one\n" + "".join(letters) + "\n")
    return Genome.open(tmp_path / "toy.fa", cache=tmp_path / "cache")


def plain_loss(text: str, places: list[int], k: int, smoothing: float) -> float:
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for start, end in TRAIN:
        piece = text[start:end]
        for at in range(k, len(piece) - k):
            if "N" in piece[at - k : at + k + 1]:
                continue
            seen = counts.setdefault((piece[at - k : at], piece[at + 1 : at + k + 1]), {})
            seen[piece[at]] = seen.get(piece[at], 0) + 1
    loss = 0.0
    for at in places:
        seen = counts.get((text[at - k : at], text[at + 1 : at + k + 1]), {})
        chance = (seen.get(text[at], 0) + smoothing) / (sum(seen.values()) + 4 * smoothing)
        loss -= math.log(chance)
    return loss / len(places)


def test_it_is_the_best_plain_model(genome: Genome) -> None:
    places = list(range(2600, 2900, 7))
    text = "".join("ACGTN"[c & 7] for c in genome.store)
    found = yardsticks(genome, TRAIN, np.array(places), largest_k=3)
    plain = {(k, s): plain_loss(text, places, k, s) for k in (1, 2, 3) for s in SMOOTHING}
    best = min(plain, key=lambda key: plain[key])
    assert (found.k, found.smoothing) == best
    assert found.markov.mean() == pytest.approx(plain[best])
    assert found.markov.mean() < found.letters.mean()


def test_letters_are_the_frequencies_of_the_training_runs(genome: Genome) -> None:
    places = np.arange(2600, 2700)
    text = "".join("ACGTN"[c & 7] for c in genome.store)
    train = "".join(text[start:end] for start, end in TRAIN)
    known = sum(train.count(x) for x in "ACGT") + 4
    wanted = -np.mean([math.log((train.count(text[p]) + 1) / known) for p in places])
    assert yardsticks(genome, TRAIN, places, largest_k=1).letters.mean() == pytest.approx(wanted)


def test_a_place_beside_unknown_bases_falls_back_on_letters(genome: Genome) -> None:
    found = yardsticks(genome, TRAIN, np.array([510, 2600, 2610, 2620]), largest_k=2)
    assert found.k > 0
    assert found.markov[0] == found.letters[0]


def test_a_place_whose_neighbours_lie_beyond_the_ends_falls_back_on_letters(
    genome: Genome,
) -> None:
    found = yardsticks(genome, TRAIN, np.array([0, 2999, 2600, 2610, 2620, 2630]), largest_k=1)
    assert found.k == 1
    assert (found.markov[:2] == found.letters[:2]).all()
    assert (found.markov[2:] != found.letters[2:]).all()


def test_short_runs_are_counted_together_and_their_ends_apart(genome: Genome) -> None:
    """A genome in 100,000 pieces took minutes."""
    pieces = [(start, start + 5) for start in range(0, 100, 5)]
    (codes,) = markov._read(genome, pieces)
    text = "".join("ACGTN"[code & 7] for code in genome.store[:100])
    assert decode(codes) == "".join(text[start:end] + "N" for start, end in pieces)


def test_thinning_reads_about_what_was_asked(genome: Genome) -> None:
    many = np.array([[0, 2500]])
    assert yardsticks(genome, many, np.array([2600]), largest_k=1).fitted_bases == 2490
