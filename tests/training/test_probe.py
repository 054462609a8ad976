"""A probe is a task head: it answers what the regression answers, whatever the task."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled_rows import gc_data
from sklearn.metrics import r2_score, roc_auc_score

from findna.data.labelled import LabelledData, LabelledSplit
from findna.inference.answers import scores_of, task_outputs
from findna.inference.embed import embeddings
from findna.inference.predict import predict
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import encode, reverse_complement
from findna.sequence.records import Record
from findna.training import beginning, probe
from findna.training.beginning import begin
from findna.training.finetune import finetune
from findna.training.finetune_settings import LAYERED, PAIRED, PLACED, WORDED, FinetuneSettings
from findna.training.fit import Fit, fit, logits_of
from findna.training.linear import LinearModel, mean_loss
from findna.training.probe import READINGS, STRENGTHS, FrozenRows, Probing, pooled
from findna.training.stopping import NonFiniteLoss
from findna.training.tasks import common_places, task_for

MODEL = new_model(
    ModelConfig(
        backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
        projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=4),
    ),
    0,
)
SETTINGS = FinetuneSettings()
ALL = SETTINGS.readings[0]


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
    plain, balanced = (frozen_for("binary", labels, weights=how)[0] for how in ("none", "balanced"))
    everyone, task = np.ones(60, bool), plain.task
    means = [
        scores_of(one.logits(Probing("both", ALL, 0.01), everyone, everyone, task), task)[
            :, 1
        ].mean()
        for one in (plain, balanced)
    ]
    assert means[0] == pytest.approx(1 / 6, abs=0.01) and means[1] > 0.3


def test_the_loss_that_chooses_is_the_loss_that_is_trained():
    labels, said = np.array([0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    scores = np.stack([1 - said, said], 1)
    losses = -np.log(np.where(labels == 1, said, 1 - said))
    plain = mean_loss("binary", labels, scores)
    assert plain == pytest.approx(losses.mean())
    by_class = (losses[:3].mean() + losses[3]) / 2
    assert mean_loss("binary", labels, scores, "balanced") == pytest.approx(by_class)


def test_balanced_probes_are_chosen_by_classes_alike():
    labels = (np.random.default_rng(3).random(60) < 0.2).astype(np.int64)
    frozen, _, task = frozen_for("binary", labels, weights="balanced", readings=())
    held = np.arange(60) % 3 == 0
    chosen, _ = frozen.choose([held], ["forward"], [task])

    def loss(strength):
        said = frozen.logits(replace(chosen, strength=strength), ~held, held, task)
        return mean_loss("binary", labels[held], scores_of(said, task), "balanced")

    assert chosen.strength == min(STRENGTHS, key=loss)


def test_units_of_targets_choose_nothing():
    random = np.random.default_rng(0)
    labels, units = random.normal(size=(20, 2)), np.array([1.0, 1e4])
    scores = labels + random.normal(size=(20, 2))
    one = mean_loss("regression", labels, scores)
    assert mean_loss("regression", labels * units, scores * units) == pytest.approx(one)
    # Of one target it is what R² lacks to 1.
    said = mean_loss("regression", labels[:, :1], scores[:, :1])
    assert said == pytest.approx(1 - r2_score(labels[:, 0], scores[:, 0]))
    assert mean_loss("regression", np.ones((3, 1)), np.zeros((3, 1))) == 1


def test_rows_that_choose_a_beginning_are_of_all_classes():
    rows = rows_of(np.arange(60) % 5)
    few, held = beginning._rows(rows, None, "multiclass", 0)
    assert np.bincount(few.labels[held], minlength=5).min() >= 2
    assert np.bincount(few.labels[~held], minlength=5).min() >= 9
    assert beginning._rows(rows_of(np.arange(3)), None, "multiclass", 0)[1].sum() == 1


@pytest.mark.parametrize("labels", [np.arange(400) % 2, np.arange(400) // 200], ids=["turns", "in"])
def test_some_of_many_rows_are_of_all_classes_whatever_their_order(labels, monkeypatch):
    monkeypatch.setattr(beginning, "MOST_ROWS", 200)
    few, held = beginning._rows(rows_of(labels), rows_of(labels), "binary", 0)
    for some in (few.labels[held], few.labels[~held]):
        assert len(some) == 200 and 0.4 < some.mean() < 0.6


def test_rows_of_a_group_choose_a_beginning_together():
    """Else a head reads words because copies of what it learned choose."""
    groups = np.arange(60) // 4
    rows = replace(rows_of(groups % 2), groups=groups)
    few, held = beginning._rows(rows, None, "binary", 0)
    assert held.sum() == 12
    assert not set(few.groups[held]) & set(few.groups[~held])


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


def test_vectors_are_gone_with_what_asked_for_them():
    gc.disable()
    try:
        frozen, _, task = frozen_for("binary", labels_of("binary"))
        frozen.model(Probing("both", ALL, 1.0), task)
        vectors = weakref.ref(frozen.vectors("both"))
        assert vectors() is not None
        del frozen
        assert vectors() is None
    finally:
        gc.enable()


def test_the_network_stays_as_it_was():
    before = {k: v.clone() for k, v in MODEL.state_dict().items()}
    frozen, _, task = frozen_for("binary", labels_of("binary"))
    after = frozen.model(Probing("both", ALL, 1.0), task).state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


# ---------------------------------------------------------------- a probe as a beginning


@pytest.mark.parametrize("strand", ["both", "forward"])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_a_head_begins_with_the_answers_of_the_probe(kind, strand):
    frozen, rows, task = frozen_for(kind, labels_of(kind), strand=strand)
    probing, learn = Probing(strand, ALL, 0.1), np.arange(len(rows)) % 3 > 0
    model = frozen.beginning(probing, learn, task)
    expected = frozen.logits(probing, learn, np.ones(len(rows), bool), task)
    np.testing.assert_allclose(task_outputs(model, rows.codes), expected, atol=1e-3)
    assert model.config.task.pooling == ALL and model.config.task.strand == strand


def test_channels_are_scaled_as_one_strand_meets_them():
    frozen, rows, task = frozen_for("binary", labels_of("binary"))
    model = frozen.beginning(Probing("both", ("mean",), 0.1), np.ones(len(rows), bool), task)
    vectors = embeddings(MODEL, rows.codes, pooling=("mean",), strand="forward")
    np.testing.assert_allclose(model.task_head.mean, vectors.mean(0), atol=1e-5)
    np.testing.assert_allclose(model.task_head.deviation, vectors.std(0), atol=1e-5)


def test_a_channel_that_hardly_varies_begins_with_nothing():
    frozen, rows, task = frozen_for("binary", labels_of("binary"))
    for turned in (False, True):  # what is kept of either strand
        frozen.pooled(turned)[:, 3] = 0.5 + 1e-6 * np.arange(len(rows))
    probing, everyone = Probing("both", ALL, 0.1), np.ones(len(rows), bool)
    model = frozen.beginning(probing, everyone, task)
    begun = model.task_head.linear.weight[0]
    assert begun[3] == 0 and (begun[[0, 1, 2, 4]] != 0).all()


def test_a_head_begins_as_a_probe_of_rows_that_teach_and_of_all_where_none_only_choose(monkeypatch):
    monkeypatch.setattr(beginning, "STRENGTHS", (0.1,))
    labels = labels_of("binary")
    train, valid = rows_of(labels), rows_of(labels[:20], 7)
    first = np.arange(60) == 0  # of every five rows one chooses where no others are given
    turned = rows_of(np.where(first, 1 - labels, labels))
    settings = FinetuneSettings(pooling=("mean",), strand="forward")
    data = LabelledData({"train": train}, "binary", ("a", "b"))
    task = task_for(data, train, "forward", settings)

    def head(train, valid):
        model = begin(MODEL, task, train, valid, settings, precision="fp32")
        return [value.numpy() for value in model.task_head.state_dict().values()]

    def same(one, other):
        return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    assert same(head(train, valid), head(train, rows_of(1 - labels[:20], 8)))
    assert not same(head(train, valid), head(turned, valid))
    assert not same(head(train, None), head(turned, None))


def planted(where, n=600, seed=0, motif="ACGTACGGT"):
    """Rows with a motif somewhere; which class is told by `where` it stands."""
    random = np.random.default_rng(seed)
    codes, labels = [], random.permutation(np.arange(n) % 2)
    for label in labels:
        row = random.integers(0, 4, 80).astype(np.uint8)
        word = encode(motif)
        at, forward = where(label, random)
        row[at : at + len(word)] = word if forward else reverse_complement(word)
        codes.append(row)
    return LabelledSplit([str(i) for i in range(n)], codes, labels, np.arange(n))


def by_place(label, random):
    return (5 if label else 60), True


def by_frame(label, random):
    """At an even place or at an odd one, within one part of sixteen."""
    return 2 * random.integers(20, 22) + label, True


def by_strand(label, random):
    return random.integers(0, 70), bool(label)


def by_chance(label, random):
    return random.integers(0, 70), bool(random.integers(2))


@pytest.mark.parametrize(
    ("where", "pooling", "strand"),
    [
        (by_place, {PLACED, PAIRED}, None),  # where it stands tells on either strand
        (by_frame, {PAIRED}, None),
        # Deviations, too, tell that a motif is somewhere.
        (by_strand, {LAYERED, WORDED[0]}, "forward"),
        (by_chance, {LAYERED}, "both"),
    ],
)
@pytest.mark.parametrize("validated", [True, False])
def test_what_is_read_is_what_rows_that_do_not_teach_are_clearly_better_answered_by(
    where, pooling, strand, validated
):
    train, valid = planted(where), planted(where, 200, 1) if validated else None
    data = LabelledData({"train": train}, "binary", ("a", "b"))
    task = task_for(data, train, "both", SETTINGS)
    model = begin(
        MODEL, task, train, valid, SETTINGS, precision="fp32", strands=("both", "forward")
    )
    assert model.config.task.pooling in pooling
    assert strand in (None, model.config.task.strand)


def test_pairs_at_places_are_read_of_rows_that_are_cut_to_one_length():
    assert common_places(np.full(10, 300)) == 300
    assert common_places(np.array([300] * 9 + [12])) == 300
    assert common_places(np.array([300] * 8 + [12] * 2)) == 0
    assert common_places(np.full(10, 513)) == 0 and common_places(np.array([], np.int64)) == 0
    train = planted(by_frame)
    for short, offered in ((0, True), (200, False)):
        codes = [row[: 79 if at < short else 80] for at, row in enumerate(train.codes)]
        data = LabelledData({"train": replace(train, codes=codes)}, "binary", ("a", "b"))
        task = task_for(data, data.splits["train"], "forward", SETTINGS)
        assert task.places == (80 if offered else 0)
        model = begin(MODEL, task, data.splits["train"], None, SETTINGS, precision="fp32")
        assert (model.config.task.pooling == PAIRED) == offered
    named = FinetuneSettings(pooling=("mean", "placed-pairs"))
    assert task_for(data, data.splits["train"], "forward", named).places == 80
    assert named.readings_of(80) == (("mean", "placed-pairs"),)


def test_a_beginning_over_places_answers_what_its_probe_does():
    train, valid = planted(by_frame), planted(by_frame, 200, 1)
    settings = FinetuneSettings(pooling=PAIRED)
    task = task_for(
        LabelledData({"train": train}, "binary", ("a", "b")), train, "forward", settings
    )
    begun = begin(MODEL, task, train, valid, settings, precision="fp32")
    scores = scores_of(logits_of(begun, valid, "fp32"), begun.config.task)
    assert (scores.argmax(1) == valid.labels).mean() > 0.95


def raced(monkeypatch, losses, *, where=by_chance, most=300, validated=True, settings=None):
    """What is begun with, and the readings that were trained, each to its loss."""
    seen = []

    def trained(model, train, valid, settings, **how):
        task = model.config.task
        seen.append((task.pooling, task.strand, len(train), settings.epochs))
        if losses[len(seen) - 1] is None:
            raise NonFiniteLoss("broken", None)
        return Fit(model, 1, (0.0, 0.0))

    def answered(model, valid, *how):
        spread = np.random.default_rng(len(seen)).normal(size=len(valid)) / 5
        return losses[len(seen) - 1] + spread - spread.mean()

    monkeypatch.setattr(beginning, "MOST_ROWS", most)
    monkeypatch.setattr(beginning, "_RACED_ROWS", 400)
    monkeypatch.setattr(beginning, "fit", trained)
    monkeypatch.setattr(beginning, "_losses", answered)
    train, valid = planted(where), planted(where, 200, 1) if validated else None
    settings = settings or SETTINGS
    data = LabelledData({"train": train}, "binary", ("a", "b"))
    task = task_for(data, train, "both", settings)
    model = begin(MODEL, task, train, valid, settings, precision="fp32", strands=settings.strands)
    return (model.config.task.pooling, model.config.task.strand), seen


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ((0.5, 0.4), (PLACED, "forward")),
        ((0.4, 0.5), (LAYERED, "both")),
        ((0.4, 0.39), (LAYERED, "both")),  # within the error of 200 rows
        ((None, 0.4), (PLACED, "forward")),
        ((0.4, None), (LAYERED, "both")),
    ],
)
def test_with_more_rows_than_the_probe_sees_an_epoch_tells_what_is_read(
    monkeypatch, caplog, losses, chosen
):
    caplog.set_level("INFO")
    found, seen = raced(monkeypatch, losses)
    assert found == chosen
    assert seen == [(LAYERED, "both", 400, 1), (PLACED, "forward", 400, 1)]
    assert "after one epoch, a head that reads mean+max+summary+layers" in caplog.text


@pytest.mark.parametrize(
    "how",
    [
        {"most": 600},
        {"validated": False},
        {"settings": FinetuneSettings(pooling=LAYERED)},
        {"settings": FinetuneSettings(pooling=PLACED)},
    ],
)
def test_nothing_is_raced_where_the_probe_sees_all_or_nothing_is_open(monkeypatch, how):
    found, seen = raced(monkeypatch, (), **how)
    assert found[0] == how.get("settings", SETTINGS).readings[0] and not seen


def test_places_that_the_probe_prefers_are_not_asked_about_again(monkeypatch):
    # Within one of sixteen parts of a row: without the letters of each place nothing tells.
    found, seen = raced(monkeypatch, (), where=by_frame)
    assert found[0] == PAIRED and not seen


def test_an_epoch_of_some_rows_is_raced_twice():
    auto = FinetuneSettings()
    assert [beginning.raced_rows(n, auto) for n in (5_000, 6_000, 50_000)] == [0, 12_000, 24_000]
    for named in ({"pooling": LAYERED}, {"begin": "zeros"}):
        assert beginning.raced_rows(50_000, FinetuneSettings(**named)) == 0


def test_a_head_that_was_raced_begins_untrained(monkeypatch):
    """Training an epoch tells which; what is trained later begins as it would have without."""
    begun = []

    def trained(model, *given, **how):
        begun.append({name: value.clone() for name, value in model.state_dict().items()})
        return fit(model, *given, **how)

    monkeypatch.setattr(beginning, "MOST_ROWS", 300)
    monkeypatch.setattr(beginning, "fit", trained)
    train, valid = planted(by_chance), planted(by_chance, 200, 1)
    data = LabelledData({"train": train}, "binary", ("a", "b"))
    task = task_for(data, train, "both", SETTINGS)
    strands = ("both", "forward")
    model = begin(MODEL, task, train, valid, SETTINGS, precision="fp32", strands=strands)
    first, second = begun
    kept = first if model.config.task.pooling == LAYERED else second
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def told_by_words(n=600, seed=0):
    """Rows with some of a hundred words of six letters, any place, any strand; which ones tells."""
    words = np.random.default_rng(5).integers(0, 4, (2, 50, 6)).astype(np.uint8)
    random = np.random.default_rng(seed)
    codes, labels = [], random.permutation(np.arange(n) % 2)
    for label in labels:
        row = random.integers(0, 4, 80).astype(np.uint8)
        for at in range(0, 80, 16):
            word = words[label, random.integers(50)]
            row[at : at + 6] = word if random.integers(2) else reverse_complement(word)
        codes.append(row)
    return LabelledSplit([str(i) for i in range(n)], codes, labels, np.arange(n))


def test_a_head_begins_with_all_words_of_long_rows():
    """Of 600 bases a word of six letters has a share of a two-thousandth, which hardly varies."""
    labels = labels_of("binary", 80)
    random = np.random.default_rng(2)
    codes = [random.integers(0, 4, 600).astype(np.uint8) for _ in labels]
    rows = LabelledSplit([str(i) for i in range(80)], codes, labels, np.arange(80))
    task = task_for(LabelledData({"train": rows}, "binary", ("a", "b")), rows, "both", SETTINGS)
    frozen = FrozenRows(MODEL, task, rows, readings=[("6-mers",)])
    probing, everyone = Probing("both", ("6-mers",), 0.1), np.ones(80, bool)
    model = frozen.beginning(probing, everyone, task)
    assert np.allclose(
        task_outputs(model, codes), frozen.logits(probing, everyone, everyone, task), atol=1e-4
    )


def test_words_are_read_where_words_tell():
    train, valid = told_by_words(), told_by_words(200, 1)
    data = LabelledData({"train": train}, "binary", ("a", "b"))
    task = task_for(data, train, "both", SETTINGS)
    model = begin(MODEL, task, train, valid, SETTINGS, precision="fp32")
    assert model.config.task.pooling == WORDED[1]
    scores = scores_of(task_outputs(model, valid.codes), task)
    assert roc_auc_score(valid.labels, scores[:, 1]) > 0.8


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_training_begins_with_is_read_in_the_precision_of_training(precision, monkeypatch):
    """Rows are read when a probe asks for them: autocast around what only promises to is none."""
    read = []

    def spied(model, rows, turned):
        read.append(torch.is_autocast_enabled("cpu"))
        return pooled(model, rows, turned)

    monkeypatch.setattr("findna.training.probe.pooled", spied)
    train = planted(by_place)
    data = LabelledData({"train": train}, "binary", ("a", "b"))
    task = task_for(data, train, "both", SETTINGS)
    begin(MODEL, task, train, None, SETTINGS, precision=precision)
    assert read and set(read) == {precision == "bf16"}


def test_nothing_is_chosen_where_the_settings_say_it():
    train = planted(by_place)
    data = LabelledData({"train": train}, "binary", ("a", "b"))
    for named in (FinetuneSettings(pooling=("max",)), FinetuneSettings(begin="zeros")):
        task = task_for(data, train, "both", named)
        model = begin(MODEL, task, train, None, named, precision="fp32")
        assert model.config.task.pooling == named.readings[0] and model.config.task.strand == "both"
    assert (model.task_head.linear.weight == 0).all() and (model.task_head.deviation != 1).all()


def test_auto_stands_alone():
    with pytest.raises(ValueError, match="cannot be combined"):
        FinetuneSettings(pooling=("auto", "bins"))


def test_parts_of_rows_that_were_read_are_not_read_again(monkeypatch, tmp_path):
    everything, rows, task = frozen_for("binary", labels_of("binary"))
    some = np.arange(len(rows)) % 3 > 0
    part = rows.where(some)
    assert everything.known.holds(part) and not everything.known.holds(
        rows_of(labels_of("binary"), seed=9)
    )
    again = FrozenRows(MODEL, task, part, known=everything.known)
    alone = FrozenRows(MODEL, task, part)
    for strand in ("both", "forward"):
        asked = Probing(strand, ALL, 0.1)
        np.testing.assert_allclose(again.read(asked), alone.read(asked), atol=1e-5)
    calls, plain = [], probe.pooled
    monkeypatch.setattr(probe, "pooled", lambda *a: calls.append((len(a[1]), a[2])) or plain(*a))
    settings = {"train": "probe", "folds": 3, "strand": "both", "precision": "fp32"}
    finetune(gc_data(60, 0, 0), tmp_path / "run", model=MODEL, settings=settings, device="cpu")
    assert sorted(calls) == [(60, False), (60, True)]
