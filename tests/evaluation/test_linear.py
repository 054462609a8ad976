"""The linear model of all cheap contenders, against scikit-learn and numbers done by hand."""

import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from findna.training.linear import LinearModel, clearly_lower, mean_loss, tuned, until_worse


def features_of(rng, n=200, width=5):
    return rng.normal(size=(n, width)) * np.arange(1, width + 1) + 3


def classes_of(rng, features, classes):
    signal = features[:, 0] + rng.normal(size=len(features))
    cuts = np.quantile(signal, np.linspace(0, 1, classes + 1)[1:-1])
    return np.searchsorted(cuts, signal)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_scikit_learn(rng, classes):
    features = features_of(rng)
    labels = classes_of(rng, features, classes)
    kind = "binary" if classes == 2 else "multiclass"
    ours = LinearModel.fit(features, labels, kind, classes, 0.1).scores(features)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(features, labels)
    assert np.allclose(ours, theirs.predict_proba(features), atol=1e-6)
    assert np.allclose(ours.sum(1), 1)


def test_the_optimum_is_that_of_the_objective_written_out(rng):
    features = features_of(rng, 60, 2)
    labels = classes_of(rng, features, 2)
    scaled = (features - features.mean(0)) / features.std(0)

    def objective(w):
        signed = (2 * labels - 1) * (scaled @ w[:2] + w[2])
        return w[:2] @ w[:2] / 2 + 0.5 * np.logaddexp(0, -signed).sum()

    best = scipy.optimize.minimize(objective, np.zeros(3), tol=1e-10).x
    want = 1 / (1 + np.exp(-(scaled @ best[:2] + best[2])))
    found = LinearModel.fit(features, labels, "binary", 2, 0.5).scores(features)
    assert np.allclose(found[:, 1], want, atol=1e-3)


def test_sparse_and_dense_features_give_one_answer(rng):
    features = features_of(rng) * (rng.random((200, 5)) < 0.5)
    labels = classes_of(rng, features, 2)
    dense = LinearModel.fit(features, labels, "binary", 2, 0.1).scores(features)
    sparse = scipy.sparse.csr_matrix(features)
    found = LinearModel.fit(sparse, labels, "binary", 2, 0.1).scores(sparse)
    assert np.allclose(found, dense, atol=2e-3)


def test_units_of_features_and_a_constant_one_change_nothing(rng):
    features = features_of(rng)
    labels = classes_of(rng, features, 2)
    plain = LinearModel.fit(features, labels, "binary", 2, 0.1).scores(features)
    other = np.column_stack([features * [1000, 1, 0.1, 1, 1], np.full(200, 7.0)])
    found = LinearModel.fit(other, labels, "binary", 2, 0.1).scores(other)
    assert np.allclose(plain, found, atol=1e-4)


def test_several_labels_are_models_of_their_own(rng):
    features = features_of(rng)
    labels = np.stack([classes_of(rng, features, 2), np.zeros(200, int), np.ones(200, int)], 1)
    found = LinearModel.fit(features, labels, "multilabel", 3, 0.1).scores(features)
    alone = LinearModel.fit(features, labels[:, 0], "binary", 2, 0.1).scores(features)
    assert np.array_equal(found[:, 0], alone[:, 1])
    assert (found[:, 1] == 0).all() and (found[:, 2] == 1).all()


def test_values_are_those_of_ridge_in_their_own_units(rng):
    features = features_of(rng)
    values = np.stack([features[:, 0] * 1e3, features[:, 1] + 5], 1)
    ours = LinearModel.fit(features, values, "regression", 2, 0.01).scores(features)
    theirs = make_pipeline(StandardScaler(), Ridge(alpha=50)).fit(features, values)
    assert np.allclose(ours, theirs.predict(features))
    one = LinearModel.fit(features, values[:, :1], "regression", 1, 0.01).scores(features)
    assert one.shape == (200, 1) and np.allclose(one[:, 0], ours[:, 0])


def test_values_far_from_nought_are_learned_as_those_around_it(rng):
    """Features are float32, which holds 1e9 to 64."""
    features = features_of(rng).astype(np.float32)
    values = features[:, :1].astype(np.float64)
    near = LinearModel.fit(features, values, "regression", 1, 10.0).scores(features)
    far = LinearModel.fit(features, values + 1e9, "regression", 1, 10.0).scores(features)
    assert np.allclose(far - 1e9, near, atol=1e-4)


def test_a_class_that_the_training_rows_lack_has_probability_nought(rng):
    features = features_of(rng)
    labels = classes_of(rng, features, 2) * 2
    found = LinearModel.fit(features, labels, "multiclass", 4, 0.1).scores(features)
    assert found.shape == (200, 4)
    assert (found[:, [1, 3]] == 0).all() and (found[:, [0, 2]] > 0).all()
    only = LinearModel.fit(features, np.full(200, 3), "multiclass", 4, 0.1).scores(features)
    assert only.tolist() == [[0, 0, 0, 1]] * 200


def test_the_strength_with_the_lowest_validation_loss_is_chosen(rng):
    features, dev = features_of(rng, 60), features_of(rng, 60)
    labels, dev_labels = classes_of(rng, features, 2), classes_of(rng, dev, 2)
    strengths = (1e-5, 1e-2, 1.0, 1e3)
    best = tuned(features, labels, dev, dev_labels, "binary", 2, strengths)
    losses = [
        log_loss(dev_labels, LinearModel.fit(features, labels, "binary", 2, c).scores(dev))
        for c in strengths
    ]
    assert best.strength == strengths[int(np.argmin(losses))]
    assert best.loss == pytest.approx(min(losses))
    assert best.strength != 1e-5
    same = tuned(features, labels, dev, dev_labels, "binary", 2, (1e-2, 1e-2, 1e-5))
    assert same.model.scores(dev) is not None and same.strength == 1e-2
    with pytest.raises(ValueError, match="no regularisation strength"):
        tuned(features, labels, dev, dev_labels, "binary", 2, ())


def test_strengths_are_asked_from_the_strongest_regularisation_until_one_is_worse():
    loss = {1e-3: 3.0, 1e-2: 1.0, 1e-1: 1.0, 1.0: 2.0, 10.0: 0.0}
    found = until_worse((10.0, 1.0, 1e-1, 1e-3, 1e-2), lambda c: (c, loss[c]), lambda one: one[1])
    assert found == {c: (c, loss[c]) for c in (1e-3, 1e-2, 1e-1, 1.0)}
    assert list(until_worse((1e-1, 1e-3), lambda c: c, lambda _: 0.0)) == [1e-3, 1e-1]


def test_a_binary_threshold_follows_rare_classes(rng):
    features = rng.normal(size=(400, 1))
    labels = (features[:, 0] + rng.normal(size=400) * 0.3 > 1.8).astype(int)
    found = tuned(features, labels, features, labels, "binary", 2, (1e-3,))
    assert found.threshold < 0.4
    three = tuned(features, labels, features, labels, "multiclass", 3, (1e-3,))
    assert three.threshold == 0.5


def test_losses_by_hand():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert mean_loss("binary", np.array([0, 1]), scores) == pytest.approx(
        -(np.log(0.9) + np.log(0.8)) / 2
    )
    many = mean_loss("multilabel", np.array([[1, 0], [0, 0]]), scores)
    assert many == pytest.approx(-np.log([0.9, 0.9, 0.8, 0.2]).mean())
    assert mean_loss("regression", np.array([[1.0], [3.0]]), np.array([[2.0], [1.0]])) == 2.5
    assert np.isfinite(mean_loss("binary", np.array([1]), np.array([[1.0, 0.0]])))


@pytest.mark.parametrize(("rows", "clear"), [(64, False), (400, True)])
def test_a_lower_loss_is_clear_by_one_standard_error_of_many_rows_or_two_of_few(rows, clear):
    # Differences with a deviation of 1 have an error of 1 / sqrt(rows); these are 1.5 errors high.
    gains = np.tile([1.0, -1.0], rows // 2) + 1.5 / np.sqrt(rows)
    assert clearly_lower(np.zeros(rows), gains) == clear
    assert not clearly_lower(gains, np.zeros(rows))
    assert clearly_lower(np.zeros(rows), gains + 1.5 / np.sqrt(rows))


def test_many_classes_of_few_rows_are_no_warning(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        LinearModel.fit(features_of(rng, 30), np.arange(30) % 20, "multiclass", 20, 0.1)


def test_weak_penalties_on_alike_features_are_solved_without_a_word(rng):
    """Float32 has too few digits for them: scikit-learn warned, and answered something else."""
    few = rng.normal(size=(60, 5))
    features = (few @ rng.normal(size=(5, 300)) + 1e-3 * rng.normal(size=(60, 300))).astype("f4")
    values = few[:, :1] + 0.1 * rng.normal(size=(60, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LinearModel.fit(features, values, "regression", 1, 1000.0)
    exact = LinearModel.fit(features.astype(np.float64), values, "regression", 1, 1000.0)
    np.testing.assert_allclose(model.scores(features), exact.scores(features), atol=1e-3)
