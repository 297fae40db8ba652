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
        batches = [
            (logits[i : i + size], labels[i : i + size], np.ones(len(labels[i : i + size])))
            for i in range(0, 11, size)
        ]
        result = evaluate_accuracy(identity_model(), batches)
        assert (result.accuracy, result.examples) == (correct / 11, 11)
        assert result.loss == pytest.approx(loss, rel=1e-9)


def test_examples_of_weight_zero_are_not_counted():
    logits = np.float32([[3, 1, 1], [1, 3, 1], [1, 1, 3]])
    labels = np.float32([[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    all_three = evaluate_accuracy(identity_model(), [(logits, labels, np.float32([1, 1, 0]))])
    assert (all_three.accuracy, all_three.examples) == (0.5, 2)
    first = evaluate_accuracy(identity_model(), [(logits, labels, np.float32([1, 0, 0]))])
    assert (first.accuracy, first.examples) == (1.0, 1)
    assert first.loss == pytest.approx(np.log(1 + 2 * np.exp(-2)), rel=1e-6)


def test_each_of_several_classes_is_right():
    """ReaL: right if the likeliest class is among those that people saw (arXiv 2006.07159)."""
    logits = np.float32([[3, 1, 1], [1, 3, 1], [1, 1, 3]])
    labels = np.float32([[1, 1, 0], [1, 1, 0], [1, 1, 0]])
    result = evaluate_accuracy(identity_model(), [(logits, labels, np.ones(3))])
    assert result.accuracy == pytest.approx(2 / 3)
    log_share = np.array([3, 1, 1]) - np.log(np.exp(3) + 2 * np.exp(1))
    losses = [-(log_share[0] + log_share[1]) / 2] * 2 + [-log_share[1]]
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-6)


def test_no_examples_are_refused():
    nothing = [(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(1))]
    for batches in ([], nothing):
        with pytest.raises(ValueError, match="must hold examples"):
            evaluate_accuracy(identity_model(), batches)


def test_log_softmax_of_large_logits_is_finite():
    np.testing.assert_allclose(log_softmax(np.array([1e4, 0.0])), [0, -1e4])
