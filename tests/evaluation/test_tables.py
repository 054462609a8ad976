"""Tables as contenders: what they say is what is scored, and what is wrong with them is named."""

import logging

import numpy as np
import pandas as pd
import pytest

from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.contenders.probes import LinearProbe, NeighbourProbe
from findna.evaluation.contenders.tables import EmbeddingTable, PredictionTable, open_answers
from findna.files import BadInput
from findna.inference.embed import embed, embeddings
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.records import Record


def split_of(ids, labels, seed=0):
    codes = list(np.random.default_rng(seed).integers(0, 4, (len(ids), 12)).astype(np.uint8))
    return LabelledSplit(list(ids), codes, np.asarray(labels), np.arange(1, len(ids) + 1))


def data_of(kind="binary", classes=("neg", "pos"), labels=lambda n: np.arange(n) % len("ab")):
    sizes = {"train": 60, "dev": 20, "test": 20}
    splits = {
        name: split_of([f"{name}-{i}" for i in range(n)], labels(n), seed)
        for seed, (name, n) in enumerate(sizes.items())
    }
    return LabelledData(splits, kind, classes)


def learnable(data):
    return LabelledData({k: data.splits[k] for k in ("train", "dev")}, data.kind, data.classes)


def frame_of(data, columns):
    ids = [name for rows in data.splits.values() for name in rows.ids]
    labels = np.concatenate([rows.labels for rows in data.splits.values()])
    return pd.DataFrame({"id": ids, **columns(labels)})


def vectors_of(data):
    """Two numbers a row, the first of which tells the class."""
    noise = np.random.default_rng(0).normal(0, 0.3, 100)
    return frame_of(data, lambda labels: {"0": labels + noise, "1": noise[::-1]})


def said_of(data):
    return frame_of(data, lambda y: {"p_neg": 0.8 - 0.3 * y, "p_pos": 0.2 + 0.3 * y})


def written(frame, path):
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".npz":
        numbers = frame.drop(columns="id").to_numpy(np.float32)
        np.savez(path, id=frame["id"].to_numpy("U"), vectors=numbers)
    else:
        frame.to_csv(path, sep="," if ".csv" in path.name else "\t", index=False)
    return path


# ---------------------------------------------------------------- names of rows


def test_ids_stay_where_they_are_unique_and_get_their_split_where_they_are_not():
    data = data_of()
    assert data.named() is data
    twice = LabelledData(
        {"train": split_of("12", [0, 1]), "test": split_of("12", [0, 1])}, "binary", ("a", "b")
    )
    assert twice.named().splits["test"].ids == ["test:1", "test:2"]
    within = LabelledData(
        {"train": split_of("xx", [0, 1]), "test": split_of("yz", [0, 1])}, "binary", ("a", "b")
    )
    found = within.named()
    assert [found.splits[k].ids for k in ("train", "test")] == [
        ["train:1", "train:2"],
        ["test:1", "test:2"],
    ]
    assert twice.named("t").splits["test"].ids == ["t:test:1", "t:test:2"]
    of_task = data.named("t")
    assert of_task.splits["dev"].ids[0] == "t:dev-0" and of_task.named() is of_task


def test_ids_may_be_the_index_of_a_pandas_table(tmp_path):
    data = data_of()
    vectors_of(data).set_index("id").to_parquet(tmp_path / "v.parquet")
    rows = data.splits["test"]
    found = open_answers(tmp_path / "v.parquet").vectors(rows, 0, "table")
    assert found.shape == (len(rows), 2)


def test_a_digest_is_of_every_number_and_of_the_names_of_answers(tmp_path):
    vectors = np.random.default_rng(0).random((3, 1500)).astype(np.float32)
    found = set()
    for _ in range(2):
        frame = pd.DataFrame({"id": list("abc"), "embedding": list(vectors)})
        found.add(EmbeddingTable("t", tmp_path / "t.parquet", frame).digest)
        vectors[:, 700] += 1e-4
    said = pd.DataFrame({"id": ["a"], "p_neg": [0.1], "p_pos": [0.9]})
    for frame in (said, said.rename(columns={"p_neg": "p_pos", "p_pos": "p_neg"})):
        found.add(PredictionTable("t", tmp_path / "t.csv", frame).digest)
    assert len(found) == 4


# ---------------------------------------------------------------- embeddings


@pytest.mark.parametrize("ending", ["parquet", "tsv", "csv", "csv.gz", "npz"])
def test_embeddings_of_every_format_pass_through_both_probes(tmp_path, ending):
    data = data_of()
    source = open_answers(written(vectors_of(data), tmp_path / f"my model.{ending}"))
    assert isinstance(source, EmbeddingTable) and source.name == "my-model"
    test = data.splits["test"]
    want = vectors_of(data).set_index("id").loc[test.ids].to_numpy(np.float32)
    assert np.allclose(source.vectors(test, 0, "table"), want, atol=1e-5)
    for probe in (LinearProbe(source), NeighbourProbe(source)):
        scores = probe.learn(learnable(data), 0).scores(test)
        assert (scores[:, 1].round() == test.labels).mean() > 0.9


def test_a_parquet_column_of_lists_is_the_same_table(tmp_path):
    data = data_of()
    flat = vectors_of(data)
    lists = pd.DataFrame({"id": flat["id"], "vector": flat[["0", "1"]].to_numpy().tolist()})
    one = open_answers(written(lists, tmp_path / "lists.parquet"))
    other = open_answers(written(flat, tmp_path / "flat.parquet"))
    rows = data.splits["dev"]
    assert np.array_equal(one.vectors(rows, 0, "table"), other.vectors(rows, 0, "table"))
    lists.at[3, "vector"] = [1.0]
    with pytest.raises(BadInput, match=r"does not have 2 numbers.*train-3"):
        open_answers(written(lists, tmp_path / "ragged.parquet"))


@pytest.mark.parametrize("ending", ["parquet", "tsv", "npz"])
def test_what_embed_wrote_is_a_table_of_vectors(tmp_path, ending, capsys):
    data = data_of()
    split = data.splits["test"]
    records = [Record(name, codes) for name, codes in zip(split.ids, split.codes, strict=True)]
    shape = {"width": 24, "hidden": 24, "track_size": 8, "depth": 2, "summary_tokens": 2}
    model = new_model(ModelConfig.parse({"backbone": shape}, source="test"), seed=0).eval()
    path = tmp_path / f"vectors.{ending}"
    embed(records, model, "-" if ending == "tsv" else path)
    if ending == "tsv":
        path.write_text(capsys.readouterr().out)
    source = open_answers(path)
    want = embeddings(model, split.codes)
    assert np.allclose(source.vectors(split, 0, "table"), want, atol=1e-5)


def test_whole_numbers_as_ids_and_ids_that_look_like_gaps_are_read_as_written(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,a\n007,1\nNA,2\n")
    found = open_answers(path)
    rows = split_of(["NA", "007"], [0, 1])
    assert found.vectors(rows, 0, "table").ravel().tolist() == [2, 1]


def test_an_embedding_that_lacks_rows_says_which(tmp_path):
    data = data_of()
    source = open_answers(written(vectors_of(data).iloc[:-3], tmp_path / "few.tsv"))
    with pytest.raises(BadInput, match=r"few\.tsv: lacks 3 of 20 rows: test-17, test-18, test-19"):
        source.vectors(data.splits["test"], 0, "table")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id,a\nx,1\nx,2\ny,3\n", "1 ids occur more than once: x"),
        ("id,a,b\nx,1,2\ny,1,nan\n", "column b is not a finite number in 1 of 2 rows: y"),
        ("id,a\nx,1\ny,inf\n", "not a finite number in 1 of 2 rows: y"),
        ("id,a\nx,1\ny,1e39\n", "not a finite number"),
        ("id,a\nx,1\ny,\n", "not a finite number"),
        ("id,a\nx,1\ny,word\n", "not a finite number"),
        ("name,a\nx,1\n", "has no column 'id'"),
        ("id\nx\n", "no numbers beside id"),
        ("id,a\n", "no row"),
        ("", "not a table"),
        ("id,a\nx,1\ny,1,2\n", "not a table"),
        (",id,a\n0,x,1\n1,y,2\n", "column Unnamed: 0 holds row numbers or labels"),
        ("id,a,label\nx,1,0\ny,2,1\n", "column label holds row numbers or labels"),
        ("id,label_x,a\nx,1,0\ny,2,1\n", "column label_x holds row numbers or labels"),
    ],
)
def test_a_wrong_table_is_refused_with_file_and_ids(tmp_path, text, problem):
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=problem) as caught:
        open_answers(path)
    assert "wrong.csv" in str(caught.value)


def test_a_row_without_an_id_is_refused(tmp_path):
    frame = pd.DataFrame({"id": ["x", None], "a": [1.0, 2.0]})
    with pytest.raises(BadInput, match="1 of 2 rows have no id"):
        open_answers(written(frame, tmp_path / "gap.parquet"))


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"id": np.array(["a"]), "v": np.zeros((2, 3))}, "1 ids and 2 vectors"),
        ({"v": np.zeros((2, 3))}, r"holds v \(2, 3\)"),
        ({"id": np.array(["a"]), "v": np.zeros(1)}, "holds id"),
        ({"id": np.array(["a"], object), "v": np.zeros((1, 3))}, "not an npz"),
    ],
)
def test_a_wrong_npz_is_refused(tmp_path, arrays, problem):
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(BadInput, match=problem):
        open_answers(tmp_path / "wrong.npz")


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_a_file_that_is_none_is_refused(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    with pytest.raises(BadInput, match="no such file"):
        open_answers(path)
    path.write_text("nothing of the kind")
    with pytest.raises(BadInput, match="is not a"):
        open_answers(path)


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_a_damaged_file_is_refused(tmp_path, ending):
    vectors = np.random.default_rng(0).normal(size=(2000, 20)).round(1)
    ids = [f"r{n}" for n in range(2000)]
    path = tmp_path / f"x.{ending}"
    if ending == "npz":
        np.savez_compressed(path, id=ids, vectors=vectors)
    else:
        columns = [f"v{n}" for n in range(20)]
        pd.DataFrame(vectors, columns=columns).assign(id=ids).to_parquet(path, compression="gzip")
    whole = path.read_bytes()
    noise = np.random.default_rng(1)
    for twentieth in range(1, 16):
        begin = len(whole) * twentieth // 20
        path.write_bytes(whole[:begin] + noise.bytes(40) + whole[begin + 40 :])
        with pytest.raises(BadInput, match=rf"x\.{ending}: is not a"):
            open_answers(path)


# ---------------------------------------------------------------- predictions


def test_predictions_are_answered_by_id_and_the_threshold_is_chosen_on_validation(tmp_path):
    data = data_of()
    shuffled = said_of(data).sample(frac=1, random_state=0)[["p_pos", "id", "p_neg"]]
    table = open_answers(written(shuffled, tmp_path / "theirs.tsv"))
    assert isinstance(table, PredictionTable) and table.name == "theirs" and not table.draws
    learned = table.learn(learnable(data), seed=3)
    test = data.splits["test"]
    assert np.allclose(learned.scores(test)[:, 1], 0.2 + 0.3 * test.labels)
    assert 0.2 < learned.threshold <= 0.5 and learned.chosen == {}


@pytest.mark.parametrize("file", [".hidden.tsv", "..tsv"])
def test_a_hidden_file_has_a_name_as_a_contender(tmp_path, file):
    (tmp_path / file).write_text("id\tp_no\tp_yes\na\t0.5\t0.5\n")
    assert open_answers(tmp_path / file).name == ("hidden" if file == ".hidden.tsv" else "tsv")


def test_without_validation_rows_the_threshold_is_a_half_and_that_is_said(tmp_path, caplog):
    data = data_of()
    frame = said_of(data)
    only = frame[frame["id"].str.startswith("test")]
    with caplog.at_level(logging.INFO, "findna"):
        learned = open_answers(written(only, tmp_path / "t.tsv")).learn(learnable(data), 0)
    assert learned.threshold == 0.5 and "no validation row" in caplog.text
    some = frame.drop(index=frame.index[frame["id"] == "dev-4"])
    with pytest.raises(BadInput, match="lacks 1 of 20 rows: dev-4"):
        open_answers(written(some, tmp_path / "s.tsv")).learn(learnable(data), 0)


def test_each_seed_has_its_own_answers(tmp_path):
    data = data_of()
    one = said_of(data)
    two = one.assign(p_pos=one["p_neg"], p_neg=one["p_pos"])
    both = pd.concat([one.assign(seed=0), two.assign(seed=1)])
    table = open_answers(written(both, tmp_path / "t.tsv"))
    assert table.draws
    test = data.splits["test"]
    first, second = (table.learn(learnable(data), seed).scores(test) for seed in (0, 1))
    assert np.allclose(first, second[:, ::-1])
    with pytest.raises(BadInput, match="predictions for 0, 1, not for seed 2"):
        table.learn(learnable(data), 2)
    doubled = written(pd.concat([both, both.iloc[:2]]), tmp_path / "d.tsv")
    with pytest.raises(BadInput, match="2 ids occur more than once: train-0, train-1"):
        open_answers(doubled).learn(learnable(data), 0)
    parts = pd.concat([one.assign(seed=0.2), two.assign(seed=0.7)])
    with pytest.raises(BadInput, match=r"seed 0\.2 is not a whole number"):
        open_answers(written(parts, tmp_path / "p.tsv")).learn(learnable(data), 0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f.rename(columns={"p_pos": "p_yes"}), "lacks p_pos; has p_yes"),
        (lambda f: f.drop(columns="p_neg"), "lacks p_neg"),
        (lambda f: f.assign(p_third=0.0), "has p_third, which is not in the task"),
        (lambda f: f.assign(p_pos=f["p_pos"].where(f.index != 2, 1.5)), "outside 0 to 1.*train-2"),
        (lambda f: f.assign(p_pos=f["p_pos"].where(f.index != 2, 0.9)), "add up to 1.*train-2"),
        (lambda f: f.assign(p_pos=f["p_pos"].where(f.index != 2)), "not a finite number.*train-2"),
    ],
)
def test_wrong_predictions_are_refused(tmp_path, change, problem):
    data = data_of()
    table = open_answers(written(change(said_of(data)), tmp_path / "wrong.tsv"))
    with pytest.raises(BadInput, match=problem):
        table.learn(learnable(data), 0)


def test_values_have_the_columns_of_predict(tmp_path):
    data = data_of("regression", ("v",), lambda n: np.arange(n, dtype=np.float64)[:, None])
    frame = frame_of(data, lambda y: {"prediction": 2 * y[:, 0]})
    learned = open_answers(written(frame, tmp_path / "v.tsv")).learn(learnable(data), 0)
    assert np.allclose(learned.scores(data.splits["test"]), 2 * np.arange(20)[:, None])
    two = data_of("regression", ("v", "w"), lambda n: np.zeros((n, 2)))
    with pytest.raises(BadInput, match="lacks prediction_v, prediction_w; has prediction"):
        open_answers(tmp_path / "v.tsv").learn(learnable(two), 0)
