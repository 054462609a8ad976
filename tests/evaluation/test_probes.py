"""Probes on frozen vectors, against plain loops and scikit-learn."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.contenders import probes
from findna.evaluation.contenders.networks import Start
from findna.evaluation.contenders.probes import (
    TEMPERATURE,
    LinearProbe,
    NeighbourProbe,
    NetworkFeatures,
)
from findna.inference.embed import embeddings
from findna.model.chordmixer import ChordMixerConfig
from findna.model.model import new_model
from findna.model.presets import PRESETS, ModelConfig
from findna.sequence.alphabet import reverse_complement

CPU = torch.device("cpu")
SMALL = ModelConfig(backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=3))


@dataclass
class Table:
    """Vectors of rows by id."""

    vectors_of: dict[str, np.ndarray]
    name: str = "table"
    draws: bool = False
    parts: tuple[str, ...] = ("table",)
    asked: list[int] = field(default_factory=list)

    def vectors(self, rows, seed, part):
        self.asked.append(len(rows))
        return np.stack([self.vectors_of[id] for id in rows.ids]).astype(np.float32)


def rows_of(n, seed, kind="binary"):
    random = np.random.default_rng(seed)
    codes = [random.integers(0, 4, 30).astype(np.uint8) for _ in range(n)]
    labels = random.integers(0, 3 if kind == "multiclass" else 2, n)
    if kind == "regression":
        labels = random.normal(size=(n, 1))
    return LabelledSplit([f"{seed}-{i}" for i in range(n)], codes, labels, np.arange(1, n + 1))


def data_and_table(kind="binary"):
    splits = {"train": rows_of(80, 1, kind), "dev": rows_of(40, 2, kind)}
    test = rows_of(30, 3, kind)
    random = np.random.default_rng(9)
    table = {}
    for rows in (*splits.values(), test):
        for id, label in zip(rows.ids, np.ravel(rows.labels), strict=True):
            table[id] = random.normal(size=6) + 1.5 * float(label) * np.eye(6)[0]
    classes = {"binary": ("0", "1"), "multiclass": ("a", "b", "c"), "regression": ("y",)}[kind]
    return LabelledData(splits, kind, classes), test, Table(table)


def plain_neighbours(data, test, table, k):
    """The same answer one row at a time."""
    train = data.splits["train"]
    keys = table.vectors(train, 0, "table").astype(np.float64)
    mean, deviation = keys.mean(0), keys.std(0)
    unit = lambda x: (x - mean) / deviation / np.linalg.norm((x - mean) / deviation)  # noqa: E731
    answers = []
    for id in test.ids:
        similar = np.array([unit(key) @ unit(table.vectors_of[id]) for key in keys])
        nearest = np.argsort(-similar)[:k]
        weights = np.exp(similar[nearest] / TEMPERATURE)
        says = (
            train.labels[nearest]
            if data.kind == "regression"
            else np.eye(len(data.classes))[train.labels[nearest]]
        )
        answers.append((weights[:, None] * says).sum(0) / weights.sum())
    return np.array(answers)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_neighbours_equal_a_plain_loop(kind):
    data, test, table = data_and_table(kind)
    learned = NeighbourProbe(table, neighbours=(7,)).learn(data, 0)
    assert learned.scores(test) == pytest.approx(plain_neighbours(data, test, table, 7), abs=1e-4)


def test_neighbours_are_looked_for_a_bounded_number_of_pairs_at_a_time(monkeypatch):
    monkeypatch.setattr(probes, "_PAIRS_AT_ONCE", 200)
    data, test, table = data_and_table()
    asked = []
    real = probes._nearest
    monkeypatch.setattr(
        probes, "_nearest", lambda q, keys, k: asked.append(len(q) * len(keys)) or real(q, keys, k)
    )
    learned = NeighbourProbe(table, neighbours=(7,)).learn(data, 0)
    assert learned.scores(test) == pytest.approx(plain_neighbours(data, test, table, 7), abs=1e-4)
    assert max(asked) == 160 and sum(asked) == 80 * (40 + 30)


@pytest.mark.parametrize("what", ["unit", "constant"])
def test_neighbours_depend_on_no_unit_and_on_nothing_that_training_rows_lack(what):
    data, test, table = data_and_table()
    plain = NeighbourProbe(table, neighbours=(7,)).learn(data, 0).scores(test)
    known = set(data.splits["train"].ids)
    for id, vector in table.vectors_of.items():
        if what == "unit":
            table.vectors_of[id] = vector * np.array([1e-9, 1, 1, 1, 1, 1])
        else:  # one that no training row has, such as a flag
            table.vectors_of[id] = np.append(vector, 0.0 if id in known else 0.01)
    again = NeighbourProbe(table, neighbours=(7,)).learn(data, 0).scores(test)
    assert again == pytest.approx(plain, abs=1e-3)


def test_neighbours_are_chosen_on_validation_and_settled_afterwards():
    data, test, table = data_and_table()
    probe = NeighbourProbe(table, neighbours=(1, 20))
    learned = probe.learn(data, 0)
    assert learned.chosen == {"vectors": "table", "neighbours": 20}
    again = NeighbourProbe(table, neighbours=(1, 5)).learn(data, 0, settled=learned.chosen)
    assert (again.scores(test) == learned.scores(test)).all()


def test_more_neighbours_than_rows_are_all_rows():
    data, test, table = data_and_table()
    probe = NeighbourProbe(table, neighbours=(5000,))
    learned = probe.learn(data, 0)
    assert learned.scores(test) == pytest.approx(plain_neighbours(data, test, table, 80), abs=1e-4)
    # What was chosen is settled for later seeds, which may have more rows.
    assert learned.chosen in probe.grid


def test_the_linear_probe_equals_scikit_learn():
    data, test, table = data_and_table()
    learned = LinearProbe(table, strengths=(0.1,)).learn(data, 0)
    scaler = StandardScaler().fit(table.vectors(data.splits["train"], 0, "table"))
    model = LogisticRegression(C=0.1).fit(
        scaler.transform(table.vectors(data.splits["train"], 0, "table")),
        data.splits["train"].labels,
    )
    expected = model.predict_proba(scaler.transform(table.vectors(test, 0, "table")))
    assert learned.scores(test) == pytest.approx(expected, abs=1e-3)
    assert learned.chosen == {"vectors": "table", "C": 0.1}
    assert learned.threshold != 0.5


def test_a_network_is_asked_once_for_a_set_of_rows(monkeypatch):
    model = new_model(SMALL, 0)
    features = NetworkFeatures(Start("small", SMALL, (model,)), CPU, precision="fp32")
    data, test, _ = data_and_table()
    calls = []
    real = embeddings
    monkeypatch.setattr(
        "findna.evaluation.contenders.probes.embeddings",
        lambda *a, **k: calls.append(1) or real(*a, **k),
    )
    for probe in (LinearProbe(features), NeighbourProbe(features)):
        for seed in (0, 1):
            probe.learn(data, seed).scores(test)
    assert len(calls) == 3  # train, dev, test
    features.forget()
    LinearProbe(features).learn(data, 0)
    assert len(calls) == 5


def test_a_network_is_asked_once_for_a_row_however_seeds_part_them(monkeypatch):
    features = NetworkFeatures(Start("small", SMALL, (new_model(SMALL, 0),)), CPU, precision="fp32")
    rows, asked = rows_of(30, 1), []
    whole = features.vectors(rows, 0, "layers+deviations+bins")
    features.forget()
    real = embeddings
    monkeypatch.setattr(
        "findna.evaluation.contenders.probes.embeddings",
        lambda model, codes, **k: asked.extend(codes) or real(model, codes, **k),
    )
    for seed in range(3):
        held = np.random.default_rng(seed).random(30) < 0.3
        for part in (held, ~held):
            found = features.vectors(rows.where(part), seed, "layers+deviations+bins")
            assert np.allclose(found, whole[part], atol=1e-6)
    assert len(asked) == 30


def test_random_weights_differ_by_seed_and_pretrained_ones_do_not():
    rows = rows_of(5, 1)
    random = NetworkFeatures(Start("random", SMALL), CPU, precision="fp32")
    fixed = NetworkFeatures(Start("fixed", SMALL, (new_model(SMALL, 3),)), CPU, precision="fp32")
    each = NetworkFeatures(
        Start("each", SMALL, (new_model(SMALL, 3), new_model(SMALL, 4))), CPU, precision="fp32"
    )
    assert random.draws and each.draws and not fixed.draws
    for features, same in ((random, False), (fixed, True), (each, False)):
        one, two = (features.vectors(rows, seed, "mean") for seed in (0, 1))
        assert np.allclose(one, two) == same
    assert np.allclose(each.vectors(rows, 0, "mean"), fixed.vectors(rows, 0, "mean"))


def test_poolings_are_parts_of_one_pass():
    features = NetworkFeatures(Start("small", SMALL, (new_model(SMALL, 0),)), CPU, precision="fp32")
    rows = rows_of(4, 1)
    every = [features.vectors(rows, 0, part) for part in ("mean", "max", "summary")]
    assert (np.concatenate(every, axis=1) == features.vectors(rows, 0, "all")).all()


def test_choices_of_layers_are_what_embeddings_gives():
    model = new_model(SMALL, 0)
    features = NetworkFeatures(Start("small", SMALL, (model,)), CPU, precision="fp32")
    random = NetworkFeatures(Start("random", SMALL), CPU, precision="fp32")
    assert features.parts == random.parts
    assert {"mean", "layers", "layers+deviations"} < set(features.parts)
    rows = rows_of(9, 1)
    layers, deviations, mean = (
        embeddings(model, rows.codes, pooling=(one,)) for one in ("layers", "deviations", "mean")
    )
    assert np.allclose(features.vectors(rows, 0, "layers"), layers, atol=1e-6)
    both = features.vectors(rows, 0, "layers+deviations")
    assert np.allclose(both, np.hstack([deviations, layers]), atol=1e-6)
    assert np.allclose(features.vectors(rows, 0, "mean"), mean, atol=1e-6)
    bins = features.vectors(rows, 0, "bins")
    placed = embeddings(model, rows.codes, pooling=("early-bins", "bins"), bins=16)
    assert np.allclose(bins, placed, atol=1e-6)
    everything = features.vectors(rows, 0, "layers+deviations+bins")
    assert np.allclose(everything, np.hstack([bins, both]), atol=1e-6)


def test_bins_of_either_strand_are_those_of_the_same_places():
    model = new_model(SMALL, 0)
    rows = rows_of(5, 1)
    turned = [reverse_complement(codes) for codes in rows.codes]
    given = embeddings(model, rows.codes, pooling=("bins",), bins=5).reshape(5, 5, -1)
    other = embeddings(model, turned, pooling=("bins",), bins=5).reshape(5, 5, -1)
    assert np.allclose(given, other[:, ::-1], atol=1e-5)
    assert not np.allclose(given, other, atol=1e-2)


def test_of_a_deep_network_every_second_layer_is_read(monkeypatch):
    monkeypatch.setattr(probes, "_ROWS_AT_ONCE", 4)  # parts of the rows change nothing
    deep = SMALL.model_copy(
        update={"backbone": SMALL.backbone.model_copy(update={"depth": 20, "summary_tokens": 2})}
    )
    model = new_model(deep, 0)
    features = NetworkFeatures(Start("deep", deep, (model,)), CPU, precision="fp32")
    rows = rows_of(9, 1)
    every = embeddings(model, rows.codes, pooling=("deviations", "layers")).reshape(9, 2, 21, 16)
    read = every[:, :, [*range(1, 20, 2), 20]].reshape(9, 2, -1)
    assert np.allclose(features.vectors(rows, 0, "layers"), read[:, 1], atol=1e-6)
    both = features.vectors(rows, 0, "layers+deviations")
    assert np.allclose(both, read.reshape(9, -1), atol=1e-6)
    summary = embeddings(model, rows.codes, pooling=("summary",))
    assert np.allclose(features.vectors(rows, 0, "summary"), summary, atol=1e-6)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_vectors_of_fifty_thousand_rows_fit_in_four_gigabytes(preset):
    shape = PRESETS[preset].backbone
    assert 50_000 * len(probes._kept_blocks(shape.depth)) * shape.width * 4 < 4e9


@pytest.mark.parametrize("batch_bases", [1, 64, 65_536])
def test_embeddings_do_not_depend_on_the_batch(batch_bases):
    model = new_model(SMALL, 0).eval()
    random = np.random.default_rng(0)
    codes = [random.integers(0, 5, n).astype(np.uint8) for n in (3, 50, 17, 50, 1)]
    found = embeddings(model, codes, pooling=("mean", "max"), batch_bases=batch_bases)
    for row, one in zip(found, codes, strict=True):
        batch = torch.from_numpy(one.astype(np.int64))[None]
        alone = model.embed(batch).detach().numpy()[0]
        assert row[:16] == pytest.approx(alone, abs=1e-5)
