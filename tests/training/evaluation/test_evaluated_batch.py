import numpy as np
import pytest

from tests.support.evaluated import evaluated

pytestmark = pytest.mark.backend("torch")  # NumPy alone


def test_probabilities_of_the_predicted_and_the_true_class():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((20, 4)), rng.integers(0, 4, 20)
    batch = evaluated(logits, labels)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = np.arange(20)
    np.testing.assert_allclose(batch.confidence, shares.max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(batch.true_probability, shares[rows, labels], rtol=1e-12)
    assert [batch.true_classes(row) for row in rows] == [(label,) for label in labels]


def test_of_several_true_classes_the_most_likely_one_is_first():
    batch = evaluated([[0, 1, 2, 3], [9, 1, 1, 0]], [[1, 0, 1, 0], [0, 1, 1, 1]])
    assert batch.true_classes(0) == (2, 0)
    assert batch.true_classes(1) == (1, 2, 3)  # equal ones in the order of the classes
    shares = np.exp([2, 1]) / [np.exp(range(4)).sum(), np.exp([9, 1, 1, 0]).sum()]
    np.testing.assert_allclose(batch.true_probability, shares, rtol=1e-12)


def test_a_probability_that_rounds_to_zero():
    batch = evaluated([[0, 2000]], [0])
    assert (batch.true_probability[0], batch.true_classes(0)) == (0, (0,))
