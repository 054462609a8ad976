"""Calibration: parameters that are known are found again, decisions stay, nothing runs away."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from findna.data.labelled import LabelledData, LabelledSplit
from findna.inference.answers import decisions, scores_of
from findna.inference.predict import predict
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import Calibration, ProjectionConfig, TaskConfig
from findna.model.loading import load_model
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.report.run import write_report
from findna.sequence.records import Record
from findna.training import calibration as calibrating
from findna.training.calibration import (
    OutOfFold,
    calibrate,
    cross_fitted,
    fit_calibration,
    honesty,
    measured,
    prevalence_of,
    reliability,
)
from findna.training.choices import Choice
from findna.training.finetune import FinetuneSettings, finetune
from findna.training.folds import FoldAnswer, KeptFolds

BINARY = TaskConfig(kind="binary", classes=("no", "yes"), threshold=0.3, prevalence=(0.5, 0.5))
MANY = TaskConfig(kind="multiclass", classes=("a", "b", "c"))
TAGS = TaskConfig(kind="multilabel", classes=("a", "b", "c"))


def binary_rows(n, slope=2.0, shift=-1.0, seed=0):
    """Logits whose honest form is slope * logit + shift."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (n, 1))
    labels = (random.random(n) < expit(slope * logits[:, 0] + shift)).astype(np.int64)
    return logits, labels


# ---------------------------------------------------------------- the fit


def test_known_slope_and_shift_are_found_again():
    found = fit_calibration("binary", *(lambda z, y: (z[None], y))(*binary_rows(20_000)))
    assert found.scale[0] == pytest.approx(2, abs=0.1)
    assert found.shift[0] == pytest.approx(-1, abs=0.1)


def test_many_classes_and_tags():
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (20_000, 3))
    honest = softmax(0.5 * logits + [0.0, 1.0, -1.0], axis=1)
    labels = (random.random((20_000, 1)) > honest.cumsum(1)).sum(1)
    found = fit_calibration("multiclass", logits[None], labels)
    assert found.scale == pytest.approx([0.5] * 3, abs=0.03) and len(set(found.scale)) == 1
    assert np.subtract(found.shift, found.shift[0]) == pytest.approx([0, 1, -1], abs=0.1)
    slopes, shifts = np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.0, -2.0])
    tags = (random.random((20_000, 3)) < expit(slopes * logits + shifts)).astype(np.int64)
    found = fit_calibration("multilabel", logits[None], tags)
    assert found.scale == pytest.approx(slopes, rel=0.1)
    assert found.shift == pytest.approx(shifts, abs=0.1)


def test_the_fit_is_that_of_a_logistic_regression_on_platts_targets():
    logits, labels = binary_rows(5000, seed=2)
    found = fit_calibration("binary", logits[None], labels)
    yes = int(labels.sum())
    target = np.where(labels == 1, (yes + 1) / (yes + 2), 1 / (len(labels) - yes + 2))
    peer = LogisticRegression(C=np.inf, tol=1e-10).fit(
        np.concatenate([logits, logits]), np.repeat([1, 0], len(labels)),
        sample_weight=np.concatenate([target, 1 - target]),
    )  # fmt: skip
    # The prior on the slope weighs as much as a fraction of one of the 5,000 rows.
    assert found.scale[0] == pytest.approx(float(peer.coef_[0, 0]), rel=2e-3)
    assert found.shift[0] == pytest.approx(float(peer.intercept_[0]), rel=5e-3)


@pytest.mark.parametrize("loss", ["_sigmoid_loss", "_softmax_loss"])
def test_the_gradient_is_the_slope_of_the_loss(loss, monkeypatch):
    """L-BFGS is handed value and gradient at once; both are caught and compared."""
    caught = []
    monkeypatch.setattr(
        calibrating, "minimize",
        lambda f, start, **_: caught.append(f) or type("Found", (), {"x": start, "fun": 0.0})(),
    )  # fmt: skip
    random = np.random.default_rng(4)
    logits = random.normal(0, 1, (2, 50, 1 if loss == "_sigmoid_loss" else 3))
    targets = random.dirichlet([1, 1, 1], 50)[:, : logits.shape[2]]
    weights = random.random((2, 50, 1))
    start = calibrating._fitted(logits, targets, weights, getattr(calibrating, loss)) + 0.3
    assert check_grad(lambda x: caught[0](x)[0], lambda x: caught[0](x)[1], start) < 1e-4


def test_rows_that_repeat_weigh_once():
    logits, labels = binary_rows(200)
    once = fit_calibration("binary", logits[None], labels)
    thrice = fit_calibration("binary", np.stack([logits] * 3), labels)
    assert once.scale == pytest.approx(thrice.scale) and once.shift == pytest.approx(thrice.shift)


def test_answers_of_another_kind_do_not_count():
    """A fold that trained something else answered a third of the rows of one repeat, and of the
    other all but a third of which the first answered in kind.
    """
    logits, labels = binary_rows(300)
    alike = np.stack([np.arange(300) >= 100, np.arange(300) >= 200])
    both = np.stack([logits, logits])
    spoilt = np.where(alike[:, :, None], both, 50 - 100 * both)
    found = fit_calibration("binary", spoilt, labels, alike)
    clean = fit_calibration("binary", logits[None, 100:], labels[100:])
    assert found.scale == pytest.approx(clean.scale) and found.shift == pytest.approx(clean.shift)
    _, said = calibrate(BINARY, OutOfFold(spoilt, labels, "rows, each by its fold", alike))
    assert said == "fitted on 200 rows, each by its fold"
    _, said = calibrate(BINARY, OutOfFold(spoilt[[1]], labels, "rows", alike[[1]][:, ::-1] == 0))
    assert said == "fitted on 200 rows"


def test_separable_rows_do_not_explode():
    labels = np.arange(100) % 2
    found = fit_calibration("binary", np.where(labels, 0.2, -0.2)[None, :, None], labels)
    said = expit(found.scale[0] * 0.2 + found.shift[0])
    assert 0.9 < said <= 51 / 52 + 1e-6
    one_class = fit_calibration("binary", np.linspace(-1, 1, 100)[None, :, None], labels * 0)
    assert np.isfinite([*one_class.scale, *one_class.shift]).all()
    classes = np.arange(120) % 3
    many = fit_calibration("multiclass", np.eye(3)[classes][None], classes)
    sure = softmax(np.array(many.scale) * np.eye(3) + many.shift, axis=1).max()
    assert 0.9 < sure <= 121 / 122 + 1e-6


@pytest.mark.parametrize("other", [-4.5, np.nextafter(-4.5, 0)])
def test_logits_that_only_rounding_tells_apart_do_not_overflow(other):
    """As of a label that no row has; a warning would fail this test."""
    logits = np.full((1, 120, 1), -4.5)
    logits[0, ::2] = other
    found = fit_calibration("binary", logits, np.zeros(120, np.int64))
    assert expit(found.scale[0] * -4.5 + found.shift[0]) == pytest.approx(1 / 122, abs=1e-4)


@pytest.mark.parametrize("classes", [3, 6, 12])
def test_honest_logits_of_several_classes_stay_as_they_are(classes):
    """Some 30 rows a class: what is softened must not pull good probabilities down."""
    slopes = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        logits = 4 * random.normal(size=(30 * classes, classes))
        chances = softmax(logits, axis=1)
        labels = np.array([random.choice(classes, p=p) for p in chances])
        slopes.append(fit_calibration("multiclass", logits[None], labels).scale[0])
    assert 0.9 < np.mean(slopes) < 1.15


def test_what_knows_nothing_answers_the_prevalence():
    random = np.random.default_rng(5)
    labels = (random.random(2000) < 0.1).astype(np.int64)
    found = fit_calibration("binary", random.normal(0, 3, (1, 2000, 1)), labels)
    assert 0 < found.scale[0] < 0.15
    assert expit(found.shift[0]) == pytest.approx(labels.mean(), abs=0.02)


# ---------------------------------------------------------------- what stays


def test_fewer_than_a_hundred_rows_are_skipped_and_said():
    logits, labels = binary_rows(99)
    task, said = calibrate(BINARY, OutOfFold(logits[None], labels, "validation rows"))
    assert task == BINARY and said == "skipped, fewer than 100 rows: 99 validation rows"
    logits, labels = binary_rows(100)
    task, said = calibrate(BINARY, OutOfFold(logits[None], labels, "validation rows"))
    assert task.calibration is not None and said == "fitted on 100 validation rows"
    values = TaskConfig(kind="regression", classes=("y",), target_mean=(1.0,), target_sd=(2.0,))
    rows = OutOfFold(logits[None], labels.astype(float)[:, None], "validation rows")
    assert calibrate(values, rows)[0] == values


@settings(max_examples=25)
@given(st.floats(0.05, 0.95), st.floats(0.1, 5), st.floats(-3, 3), st.integers(0, 1000))
def test_decisions_stay_and_the_threshold_moves_along(threshold, slope, shift, seed):
    logits, labels = binary_rows(150, slope, shift, seed)
    plain = BINARY.model_copy(update={"threshold": threshold})
    task, _ = calibrate(plain, OutOfFold(logits[None], labels, "rows"))
    before = scores_of(logits, plain)[:, 1] >= threshold
    assert (decisions(logits, task) == before).all() and (decisions(logits, plain) == before).all()
    assert ((scores_of(logits, task)[:, 1] >= task.threshold) == before).all()
    moved = task.calibration.scale[0] * logit(threshold) + task.calibration.shift[0]
    assert task.threshold == pytest.approx(expit(moved))


@pytest.mark.parametrize("plain", [MANY, TAGS], ids=["multiclass", "multilabel"])
def test_decisions_of_other_kinds_stay_too(plain):
    random = np.random.default_rng(6)
    logits = random.normal(0, 2, (400, 3))
    shares = softmax(logits + np.array([2.0, 0.0, -1.0]), axis=1)
    labels = (random.random((400, 1)) > shares.cumsum(1)).sum(1)
    labels = np.eye(3, dtype=np.int64)[labels] if plain is TAGS else labels
    task, _ = calibrate(plain, OutOfFold(logits[None], labels, "rows"))
    assert (decisions(logits, task) == decisions(logits, plain)).all()
    assert np.abs(scores_of(logits, task) - scores_of(logits, plain)).max() > 0.05


def test_a_task_without_calibration_answers_as_ever():
    """Keys of a task as older folders hold them."""
    old = {"kind": "binary", "classes": ["no", "yes"], "pooling": ["mean"], "dropout": 0.1,
           "strand": "both", "threshold": 0.4, "target_mean": [], "target_sd": []}  # fmt: skip
    task = TaskConfig.parse(old, source="config.json")
    logits = np.array([[0.0], [np.log(3)]])
    assert scores_of(logits, task).tolist() == [[0.5, 0.5], pytest.approx([0.25, 0.75])]
    assert decisions(logits, task).tolist() == [1, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"calibration": {"scale": [1.0, 1.0], "shift": [0.0]}},
        {"calibration": {"scale": [-1.0], "shift": [0.0]}},
        {"calibration": {"scale": [1.0], "shift": [float("nan")]}},
        {"prevalence": [0.5]},
        {"prevalence": [0.0, 1.0]},
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(changes):
    with pytest.raises(ValueError, match=r"calibration|prevalence|shares"):
        TaskConfig(kind="binary", classes=("no", "yes"), **changes)


def test_values_are_not_calibrated():
    with pytest.raises(ValueError, match="calibration"):
        TaskConfig(
            kind="regression",
            classes=("height",),
            calibration=Calibration(scale=(2.0,), shift=(0.0,)),
        )


def test_prevalence_by_hand():
    assert prevalence_of("binary", np.array([0, 0, 1]), 2).tolist() == [3 / 5, 2 / 5]
    assert prevalence_of("multiclass", np.array([0, 0, 2]), 3).tolist() == [3 / 6, 1 / 6, 2 / 6]
    tags = np.array([[1, 0], [1, 0], [0, 0]])
    assert prevalence_of("multilabel", tags, 2).tolist() == [3 / 5, 1 / 5]


# ---------------------------------------------------------------- how honest


def test_honesty_by_hand_and_beside_scikit_learn():
    labels, said = np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.6, 0.4])
    found = honesty("binary", labels, np.stack([1 - said, said], 1))
    # One bin: four rows are too few for two.
    assert found["expected_calibration_error"] == pytest.approx(0.0)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, said))
    assert found["log_loss"] == pytest.approx(log_loss(labels, said))
    random = np.random.default_rng(7)
    scores, classes = random.dirichlet([1, 1, 1], 200), random.integers(0, 3, 200)
    many = honesty("multiclass", classes, scores)
    assert many["log_loss"] == pytest.approx(log_loss(classes, scores))
    assert many["brier"] == pytest.approx(((np.eye(3)[classes] - scores) ** 2).sum(1).mean())
    tags = random.integers(0, 2, (200, 2))
    found = honesty("multilabel", tags, scores[:, :2])
    each = [
        honesty("binary", tags[:, k], np.stack([1 - scores[:, k], scores[:, k]], 1)) for k in (0, 1)
    ]
    for name, number in found.items():
        assert number == pytest.approx(np.mean([one[name] for one in each]))


def test_bins_hold_equally_many_rows():
    said = np.repeat([0.1, 0.3, 0.8], 20)
    truth = np.concatenate(
        [np.ones(4), np.zeros(16), np.ones(6), np.zeros(14), np.ones(10), np.zeros(10)]
    )
    assert reliability(truth, said).tolist() == [
        pytest.approx([0.1, 0.2, 20]), pytest.approx([0.3, 0.3, 20]), pytest.approx([0.8, 0.5, 20]),
    ]  # fmt: skip
    found = honesty("binary", truth.astype(np.int64), np.stack([1 - said, said], 1))
    assert found["expected_calibration_error"] == pytest.approx((0.1 + 0 + 0.3) / 3)


def test_scores_that_are_certain_and_wrong_have_a_finite_loss():
    found = honesty("binary", np.array([1, 0]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert np.isfinite(found["log_loss"]) and found["log_loss"] > 100


def test_calibrated_rows_are_more_honest():
    logits, labels = binary_rows(4000, slope=0.4, shift=1.0)
    task, _ = calibrate(BINARY, OutOfFold(logits[None, :2000], labels[:2000], "rows"))
    new = slice(2000, None)
    before, after = (
        honesty("binary", labels[new], scores_of(logits[new], each)) for each in (BINARY, task)
    )
    assert after["expected_calibration_error"] < before["expected_calibration_error"] / 3
    assert after["brier"] < before["brier"] and after["log_loss"] < before["log_loss"]


def test_a_fold_is_calibrated_by_the_others():
    logits, labels = binary_rows(300)
    folds = np.stack([np.arange(300) % 3, np.arange(300) // 100])
    rows = OutOfFold(np.stack([logits, logits]), labels, "rows")
    scores = cross_fitted(BINARY, rows, folds)
    here = folds[0] == 1
    turned = labels.copy()
    turned[here] = 1 - turned[here]
    again = cross_fitted(BINARY, OutOfFold(rows.logits, turned, "rows"), folds)
    assert (scores[0, here] == again[0, here]).all()
    assert (np.abs(scores[0, ~here] - again[0, ~here]) > 1e-3).all()
    step = fit_calibration("binary", rows.logits[[0]][:, ~here], labels[~here])
    by_hand = expit(step.scale[0] * logits[here, 0] + step.shift[0])
    assert scores[0, here, 1] == pytest.approx(by_hand)
    assert set(measured("binary", labels, scores)) == {
        "expected_calibration_error", "brier", "log_loss", "reliability",
    }  # fmt: skip


def test_folds_are_calibrated_by_their_kind():
    """Two folds of networks whose logits are ten times those of two folds of probes."""
    logits, labels = binary_rows(400, slope=1.0)
    folds = np.arange(400)[None] % 4
    alike = folds < 2
    rows = OutOfFold(np.where(alike[:, :, None], 10 * logits, logits), labels, "rows", alike)
    scores = cross_fitted(BINARY, rows, folds)
    slopes = [
        np.polyfit(rows.logits[0, here, 0], logit(scores[0, here, 1]), 1)[0]
        for here in (alike[0], ~alike[0])
    ]
    assert slopes[1] / slopes[0] == pytest.approx(10, rel=0.2)
    alone = OutOfFold(rows.logits, labels, "rows", folds == 0)
    plain = expit(10 * logits[folds[0] == 0, 0])
    assert cross_fitted(BINARY, alone, folds)[0, folds[0] == 0, 1] == pytest.approx(plain)


# ---------------------------------------------------------------- in a run


SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=4),
)
QUICK = {"epochs": 2, "batch_rows": 16, "strand": "forward", "precision": "fp32"}


def gc_split(n, seed):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(n) % 2)
    codes = [
        random.choice(4, 20, p=[0.3, 0.2, 0.2, 0.3] if y else [0.2, 0.3, 0.3, 0.2]).astype(np.uint8)
        for y in labels
    ]
    return LabelledSplit([f"s{i}" for i in range(n)], codes, labels, np.arange(1, n + 1))


def run(folder, sizes, **how):
    data = LabelledData(
        {k: gc_split(n, s) for s, (k, n) in enumerate(sizes.items())}, "binary", ("gc", "at")
    )
    settings = FinetuneSettings(**{**QUICK, **how})
    return finetune(data, folder, model=new_model(SMALL, 0), settings=settings, device="cpu"), data


def test_validation_rows_calibrate_and_the_test_split_judges(tmp_path, caplog):
    caplog.set_level("INFO", "findna")
    done, data = run(tmp_path / "run", {"train": 100, "dev": 120, "test": 60})
    found = json.loads((tmp_path / "run/metrics.json").read_text())["calibration"]
    assert found["what"] == "fitted on 120 validation rows, which also chose what to keep"
    assert caplog.text.count("calibration: fitted on 120") == 1 and " → " in caplog.text
    model = load_model(tmp_path / "run")
    task = model.config.task
    assert task.calibration is not None and task.prevalence == (0.5, 0.5)
    card = (tmp_path / "run/model/README.md").read_text()
    assert "calibration: fitted on 120 validation rows" in card
    test = data.splits["test"]
    table = predict(
        [Record(i, c) for i, c in zip(test.ids, test.codes, strict=True)], model, device="cpu"
    ).table
    after = honesty("binary", test.labels, table[["p_gc", "p_at"]].to_numpy())
    assert {k: found["after"][k] for k in after} == pytest.approx(after, abs=1e-5)
    plain = task.model_copy(update={"calibration": None})
    model.config = model.config.model_copy(update={"task": plain})
    raw = predict(
        [Record(i, c) for i, c in zip(test.ids, test.codes, strict=True)], model, device="cpu"
    ).table
    before = honesty("binary", test.labels, raw[["p_gc", "p_at"]].to_numpy())
    assert {k: found["before"][k] for k in before} == pytest.approx(before, abs=1e-5)
    said = np.array(data.classes)[(table["p_at"] >= task.threshold).astype(int)]
    assert table["prediction"].tolist() == said.tolist()
    assert done.metrics["metrics"]["accuracy"]["value"] == pytest.approx(
        (said == np.array(data.classes)[test.labels]).mean()
    )


def test_the_report_shows_it(tmp_path):
    run(tmp_path / "run", {"train": 20, "dev": 100, "test": 40})
    page = write_report(tmp_path / "run").read_text()
    assert "<h2>Calibration</h2>" in page and 'aria-label="Reliability"' in page
    assert "Fitted on 100 validation rows" in page and "expected_calibration_error" in page


def test_too_few_validation_rows_are_said_in_log_and_card(tmp_path, caplog):
    caplog.set_level("INFO", "findna")
    done, _ = run(tmp_path / "run", {"train": 40, "dev": 30, "test": 30})
    words = "skipped, fewer than 100 rows: 30 validation rows, which also chose what to keep"
    assert done.metrics["calibration"]["what"] == words and words in caplog.text
    assert "after" not in done.metrics["calibration"]
    assert done.model.config.task.calibration is None
    assert words in (tmp_path / "run/model/README.md").read_text()


def test_cross_validation_calibrates_on_its_out_of_fold_rows(tmp_path):
    done, _ = run(tmp_path / "run", {"train": 120}, folds=2, repeats=2)
    assert done.metrics["calibration"]["what"] == "fitted on 120 rows, each by its fold"
    assert set(done.metrics["calibration"]) == {"what", "before", "after"}
    assert done.model.config.task.calibration is not None


def test_cross_validation_calibrates_by_folds_that_trained_the_same(tmp_path, monkeypatch):
    """The third fold kept a probe whose logits are noise; the model is a network."""
    random = np.random.default_rng(0)

    def found(kept, fold):
        logits = random.normal(0, 2, (int(fold.test.sum()), 1))
        choice = Choice("full" if fold.number < 2 else "probe", "forward", 1, ("mean",), 1.0)
        return FoldAnswer(choice, 0.5, (), logits, np.hstack([1 - expit(logits), expit(logits)]))

    monkeypatch.setattr(KeptFolds, "found", found)
    done, _ = run(tmp_path / "run", {"train": 180}, folds=3, repeats=1)
    assert done.metrics["chosen"]["train"] == "full"
    what = "fitted on 120 rows, each by a fold that chose to train the same"
    assert done.metrics["calibration"]["what"] == what


def test_balanced_weights_take_equal_classes_for_granted(tmp_path):
    sizes = {"train": 40, "dev": 20, "test": 20}
    done, _ = run(tmp_path / "run", sizes, class_weights="balanced")
    assert done.model.config.task.prevalence == (0.5, 0.5)


def test_calibration_is_kept_in_the_folder(tmp_path):
    kept = Calibration(scale=(1.5,), shift=(-0.25,))
    task = BINARY.model_copy(update={"calibration": kept})
    new_model(SMALL, 0).with_task(task, 0).save(tmp_path / "m")
    assert load_model(tmp_path / "m").config.task == task


def test_the_order_of_tied_rows_says_nothing():
    labels, said = np.repeat([1, 0], 500), np.full((1000, 2), 0.5)
    assert honesty("binary", labels, said)["expected_calibration_error"] == pytest.approx(0)
    few = np.random.default_rng(0).integers(0, 4, 1000) / 10
    both = np.stack([1 - few, few], 1)
    found = {
        honesty("binary", labels[order], both[order])["expected_calibration_error"]
        for order in (np.arange(1000), np.argsort(labels), np.argsort(-labels))
    }
    assert max(found) - min(found) < 1e-12


@pytest.mark.parametrize("spread", [1.0, 0.03, 0.01, 0.003])
def test_logits_that_hardly_spread_are_spread(spread):
    for seed in range(10):
        random = np.random.default_rng(seed)
        x = random.normal(size=300)
        labels = (random.random(300) < expit(1.5 * x)).astype(np.int64)
        found = fit_calibration("binary", (spread * x)[None, :, None], labels)
        assert found.scale[0] * spread == pytest.approx(1.5, abs=0.8)
