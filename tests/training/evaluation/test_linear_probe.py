import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tests.support.reference import relative_error
from training.evaluation import linear_probe
from training.evaluation.linear_probe import PENALTY, RidgePath

pytestmark = pytest.mark.backend("torch")  # computed by NumPy

CLASSES = 4
SIZES = {"primal": (60, 12), "dual": (9, 30), "as many": (13, 12)}


def examples(number, width, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, number)
    centers = np.random.default_rng(7).standard_normal((CLASSES, width))
    return centers[labels] * 2 + rng.standard_normal((number, width)) + 3, labels


def standardized(features, of):
    return np.column_stack(
        [(features - of.mean(0)) / (of.std(0) + 1e-5), np.full(len(features), 100.0)]
    )


@pytest.mark.parametrize("penalty", [2.0**-4, 1.0, PENALTY])
@pytest.mark.parametrize("size", SIZES)
def test_weights_and_scores_are_those_of_scikit_learn(size, penalty, monkeypatch):
    monkeypatch.setattr(linear_probe, "PART", 25)  # the last part is smaller
    features, labels = examples(*SIZES[size])
    others, _ = examples(20, SIZES[size][1], seed=1)
    targets = np.full((len(labels), CLASSES), -1.0)
    targets[np.arange(len(labels)), labels] = 1
    ridge = Ridge(penalty, fit_intercept=False, solver="svd")
    ridge.fit(standardized(features, features), targets)
    probe = RidgePath(features, labels, CLASSES).probe(penalty)
    assert relative_error(probe.weights, ridge.coef_.T) <= 1e-6
    expected = ridge.predict(standardized(others, features))
    assert relative_error(probe.scores(others), expected) <= 1e-6


def test_the_formula_step_by_step():
    features, labels = examples(5, 3)
    x = standardized(features, features)
    y = 2.0 * np.eye(CLASSES)[labels] - 1
    expected = np.linalg.inv(x.T @ x + PENALTY * np.eye(4)) @ x.T @ y
    probe = RidgePath(features, labels, CLASSES).probe()
    assert relative_error(probe.weights, expected) <= 1e-6


def test_separate_classes_are_told_apart():
    features, labels = examples(200, 16)
    probe = RidgePath(features[:100], labels[:100], CLASSES).probe()
    assert probe.accuracy(features[100:], labels[100:]) > 0.95
    shuffled = np.random.default_rng(0).permutation(labels)
    assert RidgePath(features, shuffled, CLASSES).probe().accuracy(features, labels) < 0.6


def test_a_constant_feature_and_an_absent_class_do_no_harm():
    features, labels = examples(40, 6)
    features[:, 2] = 5
    probe = RidgePath(features, labels, CLASSES + 1).probe()
    scores = probe.scores(features)
    assert np.isfinite(scores).all() and scores.argmax(1).max() < CLASSES
