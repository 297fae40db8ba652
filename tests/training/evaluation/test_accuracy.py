import keras
import numpy as np
import pytest

from training.evaluation.accuracy import evaluate_accuracy, log_softmax


def identity_model():
    """A model whose logits are its inputs."""
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Identity()(inputs))


def test_every_example_counts_once_whatever_the_batches():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((11, 3)).astype("float32")
    labels = np.eye(3, dtype="float32")[rng.integers(0, 3, 11)]
    correct = (logits.argmax(axis=1) == labels.argmax(axis=1)).sum()
    exact = logits.astype(np.float64)
    loss = -(labels * (exact - np.log(np.exp(exact).sum(axis=1, keepdims=True)))).sum() / 11
    for size in (1, 4, 11):
        batches = [(logits[i : i + size], labels[i : i + size]) for i in range(0, 11, size)]
        result = evaluate_accuracy(identity_model(), batches)
        assert (result.accuracy, result.examples) == (correct / 11, 11)
        assert result.loss == pytest.approx(loss, rel=1e-9)


def test_no_batches_are_refused():
    with pytest.raises(ValueError, match="must not be empty"):
        evaluate_accuracy(identity_model(), [])


def test_log_softmax_of_large_logits_is_finite():
    np.testing.assert_allclose(log_softmax(np.array([1e4, 0.0])), [0, -1e4])
