import numpy as np
import pytest

from training.config import Optimization
from training.evaluation.logits import cross_entropy, log_softmax, most_likely, probabilities
from training.optimization.loss import loss_function


def test_large_logits_are_finite():
    np.testing.assert_allclose(log_softmax(np.array([1e4, 0.0])), [0, -1e4])
    large = np.array([1e4, -1e4, 0.0])
    np.testing.assert_array_equal(probabilities(large, "sigmoid"), [1, 0, 0.5])
    np.testing.assert_array_equal(probabilities(large, "softmax"), [1, 0, 0])


def test_the_most_likely_come_first_even_if_probabilities_round_to_one():
    logits = np.array([[50.0, 60.0, 50.0, 70.0, -1.0]])
    assert np.ptp(probabilities(logits, "sigmoid")[0, :4]) == 0
    np.testing.assert_array_equal(most_likely(logits, 4), [[3, 1, 0, 2]])
    ties = np.random.default_rng(0).integers(0, 3, 1000).astype(float)
    expected = sorted(range(1000), key=lambda c: (-ties[c], c))
    np.testing.assert_array_equal(most_likely(ties[None], 1000), [expected])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_loss_is_that_of_training(activation):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((6, 4)), np.eye(4)[[0, 3, 2, 1, 1, 0]]
    trained = loss_function(Optimization(loss=activation, label_smoothing=0.0))
    ours = cross_entropy(logits, labels, activation).mean()
    assert ours == pytest.approx(float(trained(labels, logits.astype("float32"))), rel=1e-5)
