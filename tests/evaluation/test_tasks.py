"""Rows for a model of another environment, and the names by which its answers come back."""

import numpy as np
import pandas as pd
import pytest

import findna
from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.contenders.tables import EmbeddingTable, PredictionTable
from findna.evaluation.evaluate import evaluate
from findna.evaluation.settings import EvaluateSettings
from findna.evaluation.tasks import rows_to_answer
from findna.files import BadInput
from findna.sequence.alphabet import decode

SETTINGS = EvaluateSettings(seeds=1, modes=("linear",), resamples=100, precision="fp32")
SIZES = {"train": 24, "dev": 12, "test": 12}


def sequences(rows, seed):
    letters = np.random.default_rng(seed).choice(list("ACGT"), (rows, 30))
    return ["".join(row) for row in letters]


@pytest.fixture
def suite(tmp_path):
    """Two tasks of GUE whose rows have no names."""
    for task in (0, 1):
        folder = tmp_path / "data" / "gue" / "tf" / str(task)
        folder.mkdir(parents=True)
        for at, (split, rows) in enumerate(SIZES.items()):
            table = {"sequence": sequences(rows, 10 * task + at), "label": np.arange(rows) % 2}
            pd.DataFrame(table).to_csv(folder / f"{split}.csv", index=False)
    return tmp_path / "data"


def own(kind="binary", classes=("no", "yes"), labels=None):
    splits = {}
    for at, (name, rows) in enumerate(SIZES.items()):
        codes = list(np.random.default_rng(at).integers(0, 4, (rows, 30), np.uint8))
        given = np.arange(rows) % 2 if labels is None else labels[:rows]
        ids = [f"r{number}" for number in range(rows)]
        splits[name] = LabelledSplit(ids, codes, given, np.arange(1, rows + 1))
    return LabelledData(splits, kind, classes, "mine.csv")


def test_rows_come_with_names_sequences_and_the_labels_that_may_be_known():
    data = own()
    table = findna.rows_to_answer(data)
    assert table.columns.tolist() == ["id", "task", "split", "sequence", "label"]
    assert table["split"].value_counts().to_dict() == SIZES and set(table["task"]) == {"mine"}
    assert table["id"].is_unique and table["id"][0] == "train:r0"
    assert table["sequence"].tolist() == [decode(c) for s in data.splits.values() for c in s.codes]
    known = table["split"] != "test"
    assert (
        table["label"][known].tolist() == ["no", "yes"] * 18 and table["label"][~known].isna().all()
    )


@pytest.mark.parametrize(
    ("kind", "classes", "columns"),
    [("multilabel", ("a", "b"), ["label_a", "label_b"]), ("regression", ("y",), ["label_y"])],
)
def test_several_labels_and_values_have_a_column_each(kind, classes, columns):
    labels = np.random.default_rng(3).random((24, len(classes)))
    labels = np.round(labels) if kind == "multilabel" else labels
    table = rows_to_answer(own(kind, classes, labels))
    assert table.columns.tolist() == ["id", "task", "split", "sequence", *columns]
    np.testing.assert_array_equal(table[columns][table["split"] == "train"].to_numpy(), labels)
    assert table[columns][table["split"] == "test"].isna().all(axis=None)


def test_rows_are_those_of_the_same_evaluation():
    settings = {"train_rows": 10, "drop": True}
    data = own()
    test, train = data.splits["test"], data.splits["train"]
    train.codes[0] = test.codes[0].copy()  # leaks
    table = rows_to_answer(
        LabelledData({"train": train, "test": test}, "binary", ("no", "yes")), settings=settings
    )
    assert table["split"].value_counts().to_dict() == {"test": 12, "train": 10}
    assert decode(test.codes[0]) not in set(table["sequence"][table["split"] == "train"])


def test_row_1_of_a_task_is_not_row_1_of_the_next(suite, tmp_path):
    tasks = ["tf/0", "tf/1"]
    rows = rows_to_answer(suite="gue", tasks=tasks, root=suite)
    assert rows["id"].is_unique and rows["id"][0] == "gue/tf/0:train:1"
    assert rows["task"].unique().tolist() == ["gue/tf/0", "gue/tf/1"]
    vectors = np.random.default_rng(0).normal(size=(len(rows), 2))
    both = rows[["id"]].assign(v0=vectors[:, 0], v1=vectors[:, 1])
    given = {"suite": "gue", "tasks": tasks, "root": suite, "settings": SETTINGS}
    given |= {"models": ["tiny"], "device": "cpu"}
    of_both = EmbeddingTable("mine", tmp_path / "both.tsv", both)
    found = evaluate(None, tmp_path / "out", features=[of_both], **given)
    assert not found.failed
    assert set(found.table.query("contender == 'linear-mine'")["task"]) == {"gue/tf/0", "gue/tf/1"}
    for ids in (rows["id"][rows["task"] == "gue/tf/0"], rows["id"].str.split(":", n=1).str[1]):
        one = pd.DataFrame({"id": ids.unique(), "p_0": 0.4, "p_1": 0.6})
        table = PredictionTable("guess", tmp_path / "one.tsv", one)
        with pytest.raises(BadInput, match="lacks 12 of 12 rows: gue/tf/"):
            evaluate(None, tmp_path / "other", others=[table], **given)
    assert not (tmp_path / "other").exists()
