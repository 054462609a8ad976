"""Near-duplicates, k-mers and stratified parts."""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna.data import similarity
from findna.data.labelled import LabelledSplit
from findna.data.places import RowPlaces
from findna.data.similarity import (
    connected,
    kmer_counts,
    kmers,
    near_duplicate_groups,
    near_duplicates_in,
)
from findna.data.splits import (
    _learned_somewhere,
    cross_validation,
    groups_of,
    strata_of,
    stratified_folds,
    stratified_holdout,
)
from findna.files import BadInput
from findna.sequence.alphabet import N, encode, reverse_complement


def random_codes(random, length):
    return random.integers(0, 4, length).astype(np.uint8)


def test_kmers_by_hand():
    found = kmers([encode("ACGN"), encode("TTT"), encode("A")], 2, canonical=False)
    # AC = 1, CG = 6; GN is skipped; TT = 15 twice; nothing spans two sequences.
    assert found.word.tolist() == [1, 6, 15, 15]
    assert found.row.tolist() == [0, 0, 1, 1]
    assert kmers([encode("TTT")], 2, canonical=True).word.tolist() == [0, 0]
    counts = kmer_counts([encode("ACGN"), encode("TTT"), encode("A")], 2, canonical=False)
    assert counts.shape == (3, 16) and counts[1, 15] == 2 and counts[2].sum() == 0


def test_counts_do_not_depend_on_how_many_rows_come_at_once(monkeypatch):
    random = np.random.default_rng(3)
    rows = [random_codes(random, int(n)) for n in random.integers(1, 40, 30)]
    whole = kmer_counts(rows, 3, canonical=True)
    monkeypatch.setattr(similarity, "_BASES_AT_ONCE", 50)
    parts = kmer_counts(rows, 3, canonical=True)
    assert parts.shape == (30, 64) and (parts != whole).nnz == 0 and whole.sum() > 300
    assert kmer_counts([], 3, canonical=True).shape == (0, 64)


def test_pairs_are_counted_as_many_bases_at_once(monkeypatch):
    """A table of 20,000 pairs of mitochondrial genomes would take five gigabytes."""
    random = np.random.default_rng(4)
    seed = random_codes(random, 1_000)
    family = [seed.copy() for _ in range(30)]
    for row in family:
        row[random.integers(0, 1_000, 10)] = 0
    bases, count = [], similarity._share_enough

    def counted(codes, pairs):
        bases.append(sum(len(codes[i]) for i in pairs.ravel()))
        return count(codes, pairs)

    monkeypatch.setattr(similarity, "_share_enough", counted)
    monkeypatch.setattr(similarity, "_PAIRED_BASES_AT_ONCE", 20_000)
    assert len(set(near_duplicate_groups(family).tolist())) == 1
    assert near_duplicates_in(family, np.arange(30) % 2).all()
    assert len(bases) > 2 and max(bases) <= 20_000


def test_canonical_kmers_do_not_see_the_strand():
    random = np.random.default_rng(0)
    one = random_codes(random, 100)
    table = kmer_counts([one, reverse_complement(one)], 5, canonical=True)
    assert (table[0] != table[1]).nnz == 0
    plain = kmer_counts([one, reverse_complement(one)], 5, canonical=False)
    assert (plain[0] != plain[1]).nnz > 0


def test_copies_mutants_overlaps_and_strands_are_grouped_and_strangers_are_not():
    random = np.random.default_rng(1)
    one, stranger = random_codes(random, 300), random_codes(random, 300)
    mutant = one.copy()
    mutant[::60] = (mutant[::60] + 1) % 4
    overlap = np.concatenate([one[120:], random_codes(random, 120)])
    inner = one[100:180]
    little_overlap = np.concatenate([one[-60:], random_codes(random, 240)])
    rows = [
        one, one.copy(), reverse_complement(one), mutant, reverse_complement(overlap), inner,
        stranger, little_overlap,
    ]  # fmt: skip
    groups = near_duplicate_groups(rows)
    assert len(set(groups[:6].tolist())) == 1
    assert len(set(groups[5:].tolist())) == 3


def test_sequences_without_words_are_grouped_only_when_identical():
    rows = [encode(s) for s in ("ACG", "CGT", "ACT", "N" * 40, "N" * 41, "ACGT" * 3 + "N" * 40)]
    groups = near_duplicate_groups(rows)
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 5


def test_repeats_count_as_often_as_they_stand():
    random = np.random.default_rng(3)
    unit, tail = random_codes(random, 42), random_codes(random, 100)
    for plain in (
        np.resize(unit, 300),
        np.resize(encode("CAT"), 300),
        np.concatenate([tail, np.resize(encode("CA"), 200)]),
        np.concatenate([random_codes(random, 90), np.full(110, N, np.uint8)]),
    ):
        changed = plain.copy()
        changed[40] = (changed[40] + 1) % 4
        assert near_duplicate_groups([plain, changed]).tolist() == [0, 0]
        assert near_duplicates_in([plain, changed], np.array([0, 1]))[:, ::-1].diagonal().all()
    a, b = (np.concatenate([random_codes(random, 100), np.resize(unit, 80)]) for _ in range(2))
    assert near_duplicate_groups([a, b]).tolist() == [0, 1]  # 69 of 169 positions are shared


def test_near_duplicates_are_those_of_plain_counting():
    random = np.random.default_rng(4)
    units = [random_codes(random, n) for n in (2, 3, 7, 30, 150)]
    rows = []
    for _ in range(60):
        row = np.resize(units[random.integers(5)], random.integers(60, 160))
        at = random.integers(0, len(row), random.integers(0, 6))
        row = np.concatenate([row, random_codes(random, random.integers(0, 60))])
        row[at] = random.integers(0, 5, len(at))
        rows.append(row)

    def counted(row):
        words = [row[i : i + 12] for i in range(len(row) - 11)]
        known = [w for w in words if (w < N).all()]
        return Counter(min(w.tobytes(), reverse_complement(w).tobytes()) for w in known)

    words = [counted(row) for row in rows]
    shared = np.array([[(a & b).total() for b in words] for a in words])
    total = shared.diagonal()
    near = shared >= 0.5 * np.maximum(np.minimum(total[:, None], total), 1)
    wanted = connected(np.argwhere(near), len(rows))
    found = near_duplicate_groups(rows)
    assert len(np.unique(np.stack([wanted, found], 1), axis=0)) == len(np.unique(wanted))


def test_a_repeat_in_both_alone_makes_no_near_duplicates():
    random = np.random.default_rng(2)
    # 49 of 149 positions lie in four copies of one unit: a third.
    unit = random_codes(random, 15)
    rows = [np.concatenate([random_codes(random, 100), np.tile(unit, 4)]) for _ in range(8)]
    assert len(np.unique(near_duplicate_groups(rows))) == 8


def test_a_large_family_is_one_group():
    random = np.random.default_rng(2)
    seed = random_codes(random, 200)
    family = []
    for _ in range(300):
        member = seed.copy()
        at = random.integers(0, 200, 3)
        member[at] = random.integers(0, 4, 3)
        family.append(member)
    groups = near_duplicate_groups([*family, *(random_codes(random, 200) for _ in range(300))])
    assert len(set(groups[:300].tolist())) == 1
    assert len(set(groups[300:].tolist())) == 300


def test_folds_keep_groups_whole_and_strata_even():
    random = np.random.default_rng(3)
    groups = np.concatenate([np.repeat(np.arange(20), 5), np.arange(20, 220)])
    strata = random.integers(0, 3, 300)
    fold = stratified_folds(strata, groups, 5, seed=1)
    assert all(len(set(fold[groups == g].tolist())) == 1 for g in range(20))
    table = np.array([[((fold == f) & (strata == s)).sum() for s in range(3)] for f in range(5)])
    assert (table.max(0) - table.min(0)).max() <= 2
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 3
    assert (stratified_folds(strata, groups, 5, seed=1) == fold).all()
    assert (stratified_folds(strata, groups, 5, seed=2) != fold).any()
    assert (stratified_folds(strata, groups, 5, seed=1, repeat=1) != fold).any()


def test_groups_of_different_strata_do_not_pile_up_in_one_fold():
    one_each = np.repeat(np.arange(6), 3)
    for seed in range(5):
        fold = stratified_folds(one_each, one_each, 3, seed)
        assert np.bincount(fold, minlength=3).tolist() == [6, 6, 6]


def test_rows_stay_with_near_duplicates_and_with_their_group():
    random = np.random.default_rng(5)
    one, two, three, four = (random_codes(random, 100) for _ in range(4))
    split = LabelledSplit(
        list("abcde"),
        [one, two, one.copy(), three, four],
        np.zeros(5, np.int64),
        np.arange(1, 6),
        groups=np.array([0, 1, 1, 2, 2]),
    )
    found = groups_of(split)
    # a and c are copies, and c shares its group with b; d and e share theirs.
    assert found[0] == found[1] == found[2] != found[3] == found[4]
    alone = groups_of(dataclasses.replace(split, groups=None))
    assert alone[0] == alone[2] and len(np.unique(alone)) == 4


def test_a_holdout_takes_its_share_of_every_class():
    strata = np.repeat([0, 1], [900, 100])
    held = stratified_holdout(strata, np.arange(1000), 0.1, seed=0)
    assert held.sum() == 100 and held[strata == 1].sum() == 10


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_large_group_is_held_after_parts_of_the_size_that_is_asked_for(share):
    random = np.random.default_rng(0)
    groups = np.arange(2000)
    groups[: int(share * 2000)] = 0
    strata = random.integers(0, 2, 2000)
    first, second = (stratified_holdout(strata, groups, 0.1, 0, part) for part in (0, 1))
    for held in (first, second):
        assert 0.03 < held.mean() < 0.12 and not held[0]
    assert any(stratified_holdout(strata, groups, 0.1, 0, part)[0] for part in range(10))


def test_rows_that_overlap_in_a_genome_stay_together():
    random = np.random.default_rng(1)
    codes = [random_codes(random, 200) for _ in range(6)]
    # Half of each lies in the next, which their words alone would not tell.
    start = np.array([100, 0, 200, 1000, 1199, 1200])
    chrom = ["1", "1", "1", "1", "1", "2"]
    places = RowPlaces.of(chrom, start.tolist(), (start + 200).tolist(), ["+"] * 6)
    split = LabelledSplit(list("abcdef"), codes, np.zeros(6, np.int64), np.arange(6), None, places)
    found = groups_of(split)
    assert found[0] == found[1] == found[2] and found[3] == found[4]
    assert len(np.unique(found)) == 3
    assert len(np.unique(groups_of(dataclasses.replace(split, places=None)))) == 6


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(1, 9)), max_size=25)
)
def test_stretches_are_those_of_plain_counting(rows):
    places = RowPlaces.of([c for c, *_ in rows], [s for _, s, _ in rows],
                          [s + n for _, s, n in rows], ["."] * len(rows))  # fmt: skip
    links = [
        (i, j)
        for i, (c, s, n) in enumerate(rows)
        for j, (other, at, many) in enumerate(rows)
        if c == other and s < at + many and at < s + n
    ]
    wanted = connected(np.array(links, np.int64).reshape(-1, 2), len(rows))
    found = places.stretches()
    pairs = set(zip(found.tolist(), wanted.tolist(), strict=True))
    assert len(pairs) == len(set(found.tolist())) == len(set(wanted.tolist()))


def test_a_rare_class_is_never_held_out_whole():
    strata = np.array([0] * 30 + [1])
    for seed in range(30):
        held = stratified_holdout(strata, np.arange(31), 0.1, seed)
        assert not held[30] and held.any()


def test_every_row_is_judged_once_a_repeat_and_never_learned_then():
    strata, groups = np.tile([0, 1], 25), np.arange(50)
    folds = list(cross_validation(strata, groups, folds=5, repeats=3, seed=0, names=("a", "b")))
    assert len(folds) == 15
    for _, rounds in itertools.groupby(folds, key=lambda f: f.repeat):
        assert (sum(f.test.astype(int) for f in rounds) == 1).all()
    assert not (folds[0].train & folds[0].test).any()


def test_a_rare_class_lowers_the_number_of_folds_and_a_lone_one_is_refused():
    strata = np.array([0] * 20 + [1] * 3)
    folds = list(
        cross_validation(strata, np.arange(23), folds=5, repeats=1, seed=0, names=("a", "b"))
    )
    assert len(folds) == 3
    assert all((strata[f.test] == 1).sum() == 1 for f in folds)
    groups = np.append(np.arange(20), [99, 99, 99])
    with pytest.raises(BadInput, match="class b are in one group"):
        list(cross_validation(strata, groups, folds=5, repeats=1, seed=0, names=("a", "b")))


def test_strata_of_values_are_tenths():
    strata = strata_of(np.arange(100.0)[:, None], "regression")
    assert np.bincount(strata).tolist() == [10] * 10
    assert len(set(strata_of(np.array([[0, 1], [1, 1], [0, 1]]), "multilabel").tolist())) == 2


def test_a_part_of_few_groups_has_every_class_if_it_can():
    """Four groups of one class and nine of the other over five parts: one part lacks a class."""
    groups = np.repeat(np.arange(13), 10)
    strata = (groups < 4).astype(np.int64)
    for seed in range(20):
        held = [stratified_holdout(strata, groups, 0.2, seed, part) for part in range(5)]
        assert [len(np.unique(strata[rows])) for rows in held] == [2, 2, 2, 2, 1]
        assert np.array_equal(np.sum(held, axis=0), np.ones(130))


def test_parts_come_again_where_there_are_fewer_groups():
    groups = np.repeat(np.arange(3), 4)
    strata = np.tile([0, 1], 6)
    held = [stratified_holdout(strata, groups, 0.2, 0, part) for part in range(5)]
    assert [int(rows.sum()) for rows in held] == [4] * 5
    assert (held[0] == held[3]).all() and (held[1] == held[4]).all()
    assert np.sum(held[:3], axis=0).tolist() == [1] * 12


def test_a_group_with_all_of_a_class_is_not_torn():
    """Near-duplicates of held rows would teach: the class stays, and the rest of its group."""
    groups = np.repeat(np.arange(10), 6)
    strata = np.where(groups == 4, np.arange(60) % 2, 0)
    parts = [stratified_holdout(strata, groups, 0.2, 0, part) for part in range(5)]
    for held in parts:
        assert held.any() and not set(groups[held]) & set(groups[~held])
    assert not np.any(parts, axis=0)[groups == 4].any()


def test_rare_combinations_of_labels_are_pooled_by_their_rarest_label():
    has = np.repeat(
        [[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 1, 0]], [12, 2, 1, 10, 1], axis=0
    )
    strata = strata_of(has, "multilabel")
    # 12 rows and 10 rows stand for themselves; label 2 (4 rows) is rarer than 1, label 3 rarest.
    assert [len(set(strata[s].tolist())) for s in (slice(12), slice(12, 14), slice(15, 25))] == [
        1
    ] * 3
    assert strata[25] == strata[12] and len(set(strata.tolist())) == 4


def test_alike_values_cannot_be_cross_validated():
    with pytest.raises(BadInput, match="--folds 0"):
        list(cross_validation(np.arange(8), np.zeros(8, np.int64), folds=5, repeats=1, seed=0))


def test_what_is_judged_was_learned():
    """Thirty patients, three of them with the rare class: dealing alone may put all in one fold."""
    dealt = moved = 0
    for seed in range(120):
        random = np.random.default_rng(seed)
        groups = random.permutation(np.repeat(np.arange(30), random.integers(1, 12, 30)))
        strata = (np.isin(groups, [0, 1, 2]) & (random.random(len(groups)) < 0.5)).astype(np.int64)
        if len(np.unique(groups[strata == 1])) < 2:
            continue
        plain = stratified_folds(strata, groups, 2, seed)
        dealt += len(np.unique(plain[strata == 1])) == 1
        rounds = list(cross_validation(strata, groups, folds=2, repeats=1, seed=seed))
        for fold in rounds:
            assert set(strata[fold.test]) <= set(strata[fold.train])
            assert not set(groups[fold.test]) & set(groups[fold.train])
        moved += not np.array_equal(rounds[1].test, plain == 1)
    assert moved >= dealt
    groups, strata = np.repeat(np.arange(8), [9, 9, 2, 2, 2, 2, 2, 2]), np.repeat([1, 0], [18, 12])
    fold = _learned_somewhere(np.repeat([0, 1], [18, 12]), strata, groups)
    assert len(np.unique(fold[strata == 1])) == 2 and len(np.unique(fold[strata == 0])) == 2


@pytest.mark.parametrize("fraction", [0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.5, 0.7, 0.01])
def test_as_many_rows_are_held_as_are_asked_for(fraction):
    strata, groups = np.arange(2000) % 3, np.arange(2000)
    parts = [stratified_holdout(strata, groups, fraction, seed=3, part=part) for part in range(2)]
    for held in parts:
        assert held.mean() == pytest.approx(fraction, abs=0.005)
        assert np.bincount(strata[held]).tolist() == pytest.approx([held.sum() / 3] * 3, abs=20)
    if fraction < 0.5:
        assert not (parts[0] & parts[1]).any()
    few = np.arange(2000) % 3  # three groups: one or two of them are held, never all
    held = stratified_holdout(np.arange(2000) // 1000, few, fraction, seed=3)
    assert len(np.unique(few[held])) == (2 if fraction >= 0.5 else 1)


@pytest.mark.parametrize("fraction", [0.97, 0.99, 1.0])
@pytest.mark.parametrize("rows", [40, 400])
def test_something_is_left_to_learn_from(fraction, rows):
    held = stratified_holdout(np.arange(rows) % 2, np.arange(rows), fraction, seed=0)
    assert held.any() and len(np.unique((np.arange(rows) % 2)[~held])) == 2
