"""Which rows learn, choose and judge."""

from dataclasses import replace

import numpy as np
import pytest

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.places import RowPlaces
from findna.evaluation.preparation import ProtocolSettings, drawn_per_class, drawn_rows, prepare
from findna.files import BadInput
from findna.sequence.alphabet import reverse_complement


def split_of(n, seed, *, chroms=None, positive=0.5, length=40):
    random = np.random.default_rng(seed)
    codes = [random.integers(0, 4, length).astype(np.uint8) for _ in range(n)]
    labels = (np.arange(n) < positive * n).astype(np.int64)
    places = None
    if chroms:
        names = [f"chr{1 + i % chroms}" for i in range(n)]
        places = RowPlaces.of(names, range(n), range(length, n + length), ["+"] * n)
    ids = [f"{seed}-{i}" for i in range(n)]
    return LabelledSplit(ids, codes, labels, np.arange(1, n + 1), None, places)


def data_of(**splits):
    return LabelledData(splits, "binary", ("0", "1"), "rows.csv")


def ids_of(*splits):
    return [id for rows in splits for id in rows.ids]


def test_an_official_validation_split_chooses_and_nothing_is_drawn():
    data = data_of(train=split_of(60, 1), dev=split_of(20, 2), test=split_of(30, 3))
    found = prepare("own", data, ProtocolSettings())
    assert found.how == "official" and not found.draws
    parts = found.parts(7)
    assert set(parts.splits) == {"train", "dev"}
    assert parts.splits["train"].ids == data.splits["train"].ids
    assert parts.splits["dev"].ids == data.splits["dev"].ids
    assert found.test.ids == data.splits["test"].ids


def test_without_one_a_tenth_of_train_chooses_anew_for_each_seed():
    data = data_of(train=split_of(200, 1), test=split_of(30, 3))
    found = prepare("own", data, ProtocolSettings())
    first, again, second = (found.parts(seed).splits for seed in (0, 0, 1))
    assert found.draws and found.how == "similarity"
    assert first["dev"].ids == again["dev"].ids != second["dev"].ids
    assert len(first["dev"]) == 20
    assert sorted(ids_of(*first.values())) == sorted(data.splits["train"].ids)
    assert first["dev"].labels.mean() == pytest.approx(0.5, abs=0.05)
    tenths = [set(found.parts(seed).splits["dev"].ids) for seed in range(10)]
    assert len(set.union(*tenths)) == 200  # disjoint: every row chooses once
    assert set(found.parts(10).splits["dev"].ids) not in tenths


def test_whole_chromosomes_choose_where_places_are_known():
    data = data_of(train=split_of(200, 1, chroms=20), test=split_of(30, 3, chroms=20))
    found = prepare("own", data, ProtocolSettings())
    assert found.how == "chromosome"
    parts = found.parts(0).splits
    held = set(parts["dev"].places.chrom)
    assert held and not held & set(parts["train"].places.chrom)


def test_near_duplicates_stay_on_one_side():
    train = split_of(100, 1, length=80)
    # Every second row is the one before it with one letter changed.
    codes = [c.copy() for c in train.codes]
    for i in range(1, 100, 2):
        codes[i] = codes[i - 1].copy()
        codes[i][40] = (codes[i][40] + 1) % 4
    labels = np.repeat(np.arange(50) % 2, 2)
    data = data_of(train=replace(train, codes=codes, labels=labels), test=split_of(30, 3))
    parts = prepare("own", data, ProtocolSettings()).parts(0).splits
    pairs = [{int(id.split("-")[1]) // 2 for id in parts[name].ids} for name in ("train", "dev")]
    assert pairs[1] and not pairs[0] & pairs[1]


def test_a_dev_split_that_does_not_choose_joins_train():
    data = data_of(train=split_of(60, 1), dev=split_of(20, 2), test=split_of(30, 3))
    found = prepare("own", data, ProtocolSettings(split="stratified"))
    assert sorted(ids_of(*found.parts(0).splits.values())) == sorted(
        ids_of(data.splits["train"], data.splits["dev"])
    )
    assert any("joins train" in note for note in found.notes)


def test_without_a_test_split_a_fifth_is_set_aside_once():
    found = prepare("own", data_of(train=split_of(100, 1)), ProtocolSettings())
    again = prepare("own", data_of(train=split_of(100, 1)), ProtocolSettings())
    assert found.test.ids == again.test.ids and len(found.test) == 20
    for seed in range(3):
        assert not set(found.test.ids) & set(ids_of(*found.parts(seed).splits.values()))
    assert any("20 of 100 rows" in note for note in found.notes)


def test_what_is_set_aside_are_whole_clusters_of_all_rows():
    train, dev = split_of(80, 1, length=80), split_of(40, 2, length=80)
    for rows in (train, dev):
        for i in range(1, len(rows), 2):
            rows.codes[i] = rows.codes[i - 1].copy()
            rows.codes[i][40] = (rows.codes[i][40] + 1) % 4
    found = prepare("own", data_of(train=train, dev=dev), ProtocolSettings(test_fraction=0.25))
    pair = {id: (id[0], int(id.split("-")[1]) // 2) for id in ids_of(train, dev)}
    rest = ids_of(*found.parts(0).splits.values())
    assert abs(len(found.test) - 30) <= 2 and sorted(rest + found.test.ids) == sorted(pair)
    assert not {pair[id] for id in rest} & {pair[id] for id in found.test.ids}


@pytest.mark.parametrize("split", ["stratified", "similarity"])
def test_rows_of_a_group_and_rows_of_one_sequence_stay_on_one_side(split):
    train = split_of(120, 1)
    labels = np.repeat(np.arange(30) % 2, 4)
    # Fours of two pairs: the rows of a pair are strands of one sequence, the pairs one group.
    for i in range(1, 120, 2):
        train.codes[i] = reverse_complement(train.codes[i - 1])
    grouped = replace(train, labels=labels, groups=np.arange(120) // 2 % 30)
    data = data_of(train=grouped, test=split_of(30, 3))
    settings = ProtocolSettings(split=split, validation_fraction=0.2)
    parts = prepare("own", data, settings).parts(0).splits
    learn, choose = ({int(id.split("-")[1]) // 2 for id in parts[n].ids} for n in ("train", "dev"))
    assert len(parts["dev"]) == 24 and not learn & choose
    assert not {at % 30 for at in learn} & {at % 30 for at in choose}


def test_a_part_of_few_chromosomes_is_none():
    data = data_of(train=split_of(200, 1, chroms=4), test=split_of(30, 3, chroms=4))
    assert prepare("own", data, ProtocolSettings()).how == "similarity"
    assert prepare("own", data, ProtocolSettings(split="chromosome")).how == "chromosome"


def test_of_two_rows_a_class_one_chooses():
    data = data_of(train=split_of(200, 1), dev=split_of(50, 2), test=split_of(30, 3))
    parts = prepare("own", data, ProtocolSettings(few_shot=2)).parts(0).splits
    assert [sorted(parts[name].labels.tolist()) for name in ("train", "dev")] == [[0, 1], [0, 1]]


@pytest.mark.parametrize("same_as", ["train", "dev"])
def test_a_test_split_that_is_another_split_is_refused(same_as):
    splits = {"train": split_of(60, 1), "dev": split_of(20, 2)}
    rows = splits[same_as]
    turned = np.arange(len(rows))[::-1]
    test = replace(rows, codes=[rows.codes[i] for i in turned], labels=rows.labels[turned])
    with pytest.raises(BadInput, match=f"same sequences as {same_as}"):
        prepare("own", data_of(**splits, test=test), ProtocolSettings())


def test_splits_that_are_not_possible_are_refused():
    data = data_of(train=split_of(60, 1), test=split_of(30, 3))
    with pytest.raises(BadInput, match="no official validation split"):
        prepare("own", data, ProtocolSettings(split="official"))
    both = data_of(train=split_of(60, 1), dev=split_of(30, 3))
    with pytest.raises(BadInput, match="there is no test split: one is set aside from all rows"):
        prepare("own", both, ProtocolSettings(split="official"))
    assert (
        "dev rows join train: there is no test split"
        in prepare("own", both, ProtocolSettings()).notes
    )
    with pytest.raises(BadInput, match="no chromosome"):
        prepare("own", data, ProtocolSettings(split="chromosome"))


def test_few_shot_keeps_near_duplicates_together_beside_an_official_split():
    random = np.random.default_rng(4)
    families = split_of(40, 1, length=120)
    copies = [codes.copy() for codes in families.codes for _ in range(5)]
    for copy in copies:
        copy[random.integers(120)] = 0
    train = replace(split_of(200, 1), codes=copies, labels=np.repeat(families.labels, 5))
    found = prepare(
        "own", data_of(train=train, dev=split_of(50, 2), test=split_of(30, 3)),
        ProtocolSettings(few_shot=50),
    )  # fmt: skip
    parts = found.parts(0).splits
    teach, choose = ({int(i.split("-")[1]) // 5 for i in parts[s].ids} for s in ("train", "dev"))
    assert teach and choose and not teach & choose


def test_a_rare_class_is_not_lost_where_training_rows_are_fewer():
    train = split_of(1000, 1, positive=0.01)
    drawn = train.where(drawn_rows(train, "binary", 40))
    assert len(drawn) == 40 and drawn.labels.sum() == 1


def test_few_shot_draws_rows_of_each_class_and_chooses_among_them():
    data = data_of(train=split_of(200, 1), dev=split_of(50, 2), test=split_of(30, 3))
    found = prepare("own", data, ProtocolSettings(few_shot=10))
    assert found.draws
    parts = found.parts(0).splits
    both = ids_of(*parts.values())
    assert len(both) == 20 and set(both) <= set(data.splits["train"].ids)
    assert 2 <= len(parts["dev"]) <= 6
    assert np.bincount(np.concatenate([p.labels for p in parts.values()])).tolist() == [10, 10]
    assert set(both) != set(ids_of(*found.parts(1).splits.values()))


@pytest.mark.parametrize(
    ("few", "fraction", "part"), [(10, 0.1, "a fifth"), (10, 0.4, "40 %"), (2, 0.1, "50 %")]
)
def test_few_shot_says_how_many_choose(few, fraction, part):
    data = data_of(train=split_of(200, 1), test=split_of(30, 3))
    settings = ProtocolSettings(few_shot=few, validation_fraction=fraction)
    assert f", {part} of them" in prepare("own", data, settings).protocol
    values = {name: replace(s, labels=s.labels[:, None] * 1.0) for name, s in data.splits.items()}
    found = prepare("own", LabelledData(values, "regression", ("y",)), settings)
    assert "rows of each tenth of the values drawn" in found.protocol


def test_few_shot_of_several_labels_says_what_is_drawn():
    rows = split_of(40, 1)
    tags = np.stack([rows.labels, np.arange(40) % 2], 1)
    several = {
        "train": replace(rows, labels=tags),
        "test": replace(split_of(9, 3), labels=tags[:9]),
    }
    data = LabelledData(several, "multilabel", ("a", "b"))
    found = prepare("own", data, ProtocolSettings(few_shot=2))
    assert "2 training rows of each combination of labels" in found.protocol
    parts = found.parts(0).splits.values()
    drawn = np.concatenate([part.labels for part in parts])
    assert np.unique(drawn, axis=0, return_counts=True)[1].tolist() == [2, 2, 2, 2]


def test_reduced_rows_keep_the_classes_in_their_shares_and_are_said():
    data = data_of(train=split_of(200, 1, positive=0.25), dev=split_of(9, 2), test=split_of(9, 3))
    found = prepare("own", data, ProtocolSettings(train_rows=40))
    train = found.parts(0).splits["train"]
    assert len(train) == 40 and int(train.labels.sum()) == 10
    assert found.notes == ("reduced: 40 of 200 training rows",)
    assert (
        train.ids
        == prepare("own", data, ProtocolSettings(train_rows=40)).parts(3).splits["train"].ids
    )


def test_draws_by_hand():
    rows = split_of(10, 1, positive=0.2)
    assert drawn_per_class(rows, "binary", 3, 0).sum() == 5  # both of class 1, three of class 0
    chosen = drawn_rows(rows, "binary", 5)
    assert chosen.sum() == 5 and rows.labels[chosen].sum() == 1


def test_ids_become_unique_over_splits():
    train, test = split_of(60, 1), split_of(30, 3)
    same = replace(test, ids=train.ids[:30])
    found = prepare("own", data_of(train=train, test=same), ProtocolSettings())
    assert found.test.ids[0] == f"test:{train.ids[0]}"
