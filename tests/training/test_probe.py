"""A probe is a task head: it answers what the regression answers, whatever the task."""

import numpy as np
import pytest
import torch

from findna.data.labelled import LabelledData, LabelledSplit
from findna.inference.embed import embeddings
from findna.inference.predict import predict, scores_of, task_outputs
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.model import ModelConfig, new_model
from findna.sequence.records import Record
from findna.training.finetune_settings import FinetuneSettings
from findna.training.linear import LinearModel
from findna.training.probe import READINGS, STRENGTHS, FrozenRows, Probing
from findna.training.tasks import task_for

MODEL = new_model(
    ModelConfig(
        backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
        projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=4),
    ),
    0,
)
SETTINGS = FinetuneSettings()
ALL = SETTINGS.pooling


def rows_of(labels, seed=0):
    random = np.random.default_rng(seed)
    codes = [random.integers(0, 4, random.integers(20, 40)).astype(np.uint8) for _ in labels]
    return LabelledSplit(
        [str(i) for i in range(len(labels))], codes, labels, np.arange(len(labels))
    )


def labels_of(kind, n=60, seed=1):
    random = np.random.default_rng(seed)
    if kind == "regression":
        return random.normal(5, 3, (n, 2))
    if kind == "multilabel":
        return random.integers(0, 2, (n, 3))
    return random.permutation(np.arange(n) % (2 if kind == "binary" else 3))


def frozen_for(kind, labels, classes=None, strand="both", **how):
    names = classes or {"binary": "ab", "regression": "xy"}.get(kind, "abc")
    rows = rows_of(labels)
    data = LabelledData({"train": rows}, kind, tuple(names))
    task = task_for(data, rows, strand, SETTINGS)
    return FrozenRows(MODEL, task, rows, **how), rows, task


@pytest.mark.parametrize("strand", ["both", "forward"])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_a_model_answers_what_the_regression_answers(kind, strand):
    frozen, rows, task = frozen_for(kind, labels_of(kind), strand=strand)
    probing = Probing(strand, ALL, 0.1)
    model = frozen.model(probing, task)
    new = rows_of(np.zeros(20), seed=7)
    theirs = LinearModel.fit(
        frozen.read(probing), rows.labels, kind, len(task.classes), 0.1
    ).scores(FrozenRows(MODEL, task, new).read(probing))
    ours = scores_of(task_outputs(model, new.codes), task)
    assert np.allclose(ours, theirs, atol=1e-5 if kind != "regression" else 1e-4)
    everyone = np.ones(60, bool)
    logits = frozen.logits(probing, everyone, everyone, task)
    assert np.allclose(task_outputs(model, rows.codes), logits, atol=1e-4)


def test_predict_gives_the_probabilities_of_scikit_learn(tmp_path):
    frozen, rows, task = frozen_for("binary", labels_of("binary"))
    frozen.model(Probing("both", ALL, 1.0), task).save(tmp_path / "model")
    table = predict(
        [Record(i, c) for i, c in zip(rows.ids, rows.codes, strict=True)], tmp_path / "model",
        device="cpu",
    ).table  # fmt: skip
    vectors = embeddings(MODEL, rows.codes, pooling=ALL)
    linear = LinearModel.fit(vectors, rows.labels, "binary", 2, 1.0)
    assert np.allclose(table["p_b"], linear.scores(vectors)[:, 1], atol=1e-5)


@pytest.mark.parametrize("parts", [("max",), ("layers", "deviations"), ("summary", "mean")])
def test_a_head_reads_the_parts_that_were_chosen_in_their_order(parts):
    frozen, rows, task = frozen_for("binary", labels_of("binary"))
    model = frozen.model(Probing("both", parts, 0.1), task)
    assert model.config.task.pooling == parts
    vectors = embeddings(MODEL, rows.codes, pooling=parts)
    assert np.allclose(frozen.read(Probing("both", parts, 0.1)), vectors, atol=1e-5)
    linear = LinearModel.fit(vectors, rows.labels, "binary", 2, 0.1)
    mine = scores_of(task_outputs(model, rows.codes), model.config.task)
    assert np.allclose(mine, linear.scores(vectors), atol=1e-4)


@pytest.mark.parametrize("seen", [1, 2])
def test_a_class_without_training_rows_is_never_answered(seen):
    labels = labels_of("binary") if seen == 2 else np.zeros(60, np.int64)
    frozen, rows, task = frozen_for("multiclass", labels, classes="abc")
    probing = Probing("forward", ALL, 0.1)
    model = frozen.model(probing, task)
    scores = scores_of(task_outputs(model, rows.codes, strand="forward"), task)
    assert (scores[:, seen:] < 1e-6).all() and np.allclose(scores.sum(1), 1)
    linear = LinearModel.fit(frozen.read(probing), labels, "multiclass", 3, 0.1)
    assert np.allclose(scores, linear.scores(frozen.read(probing)), atol=1e-5)


def test_a_label_that_all_rows_have_is_sure_by_the_rule_of_succession():
    labels = np.stack([labels_of("binary"), np.ones(60, np.int64), np.zeros(60, np.int64)], 1)
    frozen, rows, task = frozen_for("multilabel", labels)
    scores = scores_of(
        task_outputs(frozen.model(Probing("both", ALL, 0.1), task), rows.codes), task
    )
    assert np.allclose(scores[:, 1], 61 / 62) and np.allclose(scores[:, 2], 1 / 62)


def test_balanced_probes_weigh_classes_alike():
    labels = (np.arange(60) % 6 == 0).astype(np.int64)
    plain, balanced = (frozen_for("binary", labels, balanced=how)[0] for how in (False, True))
    everyone, task = np.ones(60, bool), plain.task
    means = [
        scores_of(one.logits(Probing("both", ALL, 0.01), everyone, everyone, task), task)[
            :, 1
        ].mean()
        for one in (plain, balanced)
    ]
    assert means[0] == pytest.approx(1 / 6, abs=0.01) and means[1] > 0.3


def test_held_rows_choose_and_do_not_teach():
    """Labels of held rows turned round change the choice's figures, never a held-out answer."""
    labels = labels_of("binary")
    held = np.arange(60) < 20
    frozen, _, task = frozen_for("binary", labels)
    turned, _, _ = frozen_for("binary", np.where(held, 1 - labels, labels))
    probing = Probing("both", ALL, 0.1)
    one, other = (each.logits(probing, ~held, held, task) for each in (frozen, turned))
    assert np.array_equal(one, other)
    best, said = frozen.choose([held], ["both", "forward"], [task])
    losses = {}
    for strand in ("both", "forward"):
        for parts in (ALL, *READINGS):
            for strength in STRENGTHS:
                each = Probing(strand, parts, strength)
                p = scores_of(frozen.logits(each, ~held, held, task), task)
                losses[each] = -np.log(p[np.arange(20), labels[held]]).mean()
    assert losses[best] == min(losses.values())
    assert np.array_equal(said[0], frozen.logits(best, ~held, held, task))


def test_the_network_stays_as_it_was():
    before = {k: v.clone() for k, v in MODEL.state_dict().items()}
    frozen, _, task = frozen_for("binary", labels_of("binary"))
    after = frozen.model(Probing("both", ALL, 1.0), task).state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
