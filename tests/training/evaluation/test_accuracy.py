import keras
import numpy as np
import pytest

from training.errors import UserError
from training.evaluation.accuracy import evaluate_accuracy
from training.evaluation.confusion import Confusion


def identity_model(classes=3):
    """A model whose logits are its inputs."""
    inputs = keras.Input((classes,))
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


def test_each_of_several_classes_is_correct():
    """ReaL: right if the most likely class is among those that people saw (arXiv 2006.07159)."""
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
        with pytest.raises(UserError, match="must hold examples"):
            evaluate_accuracy(identity_model(), batches)


def test_logits_that_are_not_finite_are_refused():
    for bad in (np.nan, np.inf, -np.inf):
        batch = np.float32([[0, 1, bad]]), np.float32([[1, 0, 0]]), np.ones(1)
        with pytest.raises(UserError, match=f"must be finite. Received: {bad}"):
            evaluate_accuracy(identity_model(), [batch])
        # What is not counted may be anything.
        others = np.float32([[0, 1, bad], [3, 1, 1]]), np.eye(3)[[0, 0]], np.float32([0, 1])
        assert evaluate_accuracy(identity_model(), [others]).accuracy == 1


def plain(logits, label_sets, activation):
    """Each figure in the plainest way, one example after the other, in float64."""
    right, right_of_five, losses, sure = [], [], [], []
    for row, right_classes in zip(logits.astype(float).tolist(), label_sets, strict=True):
        order = sorted(range(len(row)), key=lambda c: (-row[c], c))
        right.append(order[0] in right_classes)
        right_of_five.append(any(c in right_classes for c in order[:5]))
        if activation == "softmax":
            chances = [np.exp(x) / sum(np.exp(y) for y in row) for x in row]
            losses.append(-sum(np.log(chances[c]) for c in right_classes) / len(right_classes))
        else:
            chances = [1 / (1 + np.exp(-x)) for x in row]
            losses.append(
                -sum(np.log(p if c in right_classes else 1 - p) for c, p in enumerate(chances))
            )
        sure.append(max(chances))
    error = 0
    for m in range(1, 16):
        members = [i for i, p in enumerate(sure) if (m - 1) / 15 < p <= m / 15]
        if members:
            gap = np.mean([right[i] for i in members]) - np.mean([sure[i] for i in members])
            error += len(members) / len(sure) * abs(gap)
    return np.mean(right), np.mean(right_of_five), np.mean(losses), error


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("classes", [2, 5, 12])
def test_every_metric_agrees_with_a_plain_reference(activation, classes):
    """Of random logits with many ties, one to three classes, weights of 0 and a short batch."""
    rng = np.random.default_rng(classes)
    logits = rng.integers(-2, 3, (103, classes)).astype("float32")
    sets = [set(rng.integers(0, classes, rng.integers(1, 4)).tolist()) for _ in logits]
    labels = np.array([[c in s for c in range(classes)] for s in sets], "float32")
    weights = (rng.random(103) < 0.8).astype("float32")
    labels[weights == 0] = rng.integers(0, 2)
    batches = [
        (logits[i : i + 10], labels[i : i + 10], weights[i : i + 10]) for i in range(0, 103, 10)
    ]
    confusion = Confusion()
    observers = [confusion.observe]
    result = evaluate_accuracy(identity_model(classes), batches, activation, observers)

    kept = np.flatnonzero(weights)
    accuracy, top5_accuracy, loss, error = plain(logits[kept], [sets[i] for i in kept], activation)
    assert (result.accuracy, result.examples) == (accuracy, len(kept))
    assert result.top5_accuracy == top5_accuracy
    assert accuracy < 1 and (top5_accuracy == 1) == (classes <= 5)
    assert result.loss == pytest.approx(loss, rel=1e-12)
    assert result.calibration_error == pytest.approx(error, rel=1e-12)

    counts = np.zeros((classes, classes), int)
    for i in kept:
        guess = int(logits[i].argmax())
        for c in [guess] if guess in sets[i] else sets[i]:
            counts[c, guess] += 1
    assert dict(confusion.counts) == {pair: n for pair, n in np.ndenumerate(counts) if n}
    assert np.trace(counts) == round(accuracy * len(kept))


def test_observers_see_every_counted_example_once():
    """The second of the eleven has no label, and the last batch is padded."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((12, 3)).astype("float32")
    labels = np.eye(3, dtype="float32")[rng.integers(0, 3, 12)]
    weights = np.array([1, 0, *[1] * 9, 0], "float32")
    labels[weights == 0] = 0
    seen, also_seen = [], []
    batches = [(logits[i : i + 4], labels[i : i + 4], weights[i : i + 4]) for i in (0, 4, 8)]
    result = evaluate_accuracy(
        identity_model(), batches, "sigmoid", [seen.append, also_seen.append]
    )
    assert seen == also_seen and len(seen) == 3
    indices = np.concatenate([batch.indices for batch in seen])
    assert indices.tolist() == [0, *range(2, 11)]
    expected = {
        "images": logits[indices],
        "labels": labels[indices],
        "probabilities": 1 / (1 + np.exp(-logits[indices].astype(float))),
        "predicted": logits[indices].argmax(axis=1),
        "is_right": logits[indices].argmax(axis=1) == labels[indices].argmax(axis=1),
    }
    for field, values in expected.items():
        found = np.concatenate([getattr(batch, field) for batch in seen])
        np.testing.assert_allclose(found, values, rtol=1e-6, err_msg=field)
    assert result.accuracy == expected["is_right"].mean()


def test_equal_logits_rank_by_the_number_of_the_class():
    """All seven logits are alike, so that classes 0 to 4 are the five most likely."""
    logits = np.zeros((7, 7), "float32")
    result = evaluate_accuracy(identity_model(7), [(logits, np.eye(7), np.ones(7))])
    assert (result.accuracy, result.top5_accuracy) == (1 / 7, 5 / 7)


def test_a_sigmoid_loss_sums_over_the_classes():
    logits = np.float32([[0, 0, 1000]])
    result = evaluate_accuracy(
        identity_model(), [(logits, np.float32([[1, 0, 1]]), np.ones(1))], "sigmoid"
    )
    assert result.loss == pytest.approx(2 * np.log(2), rel=1e-12)
    assert result.calibration_error == 0  # σ(1000) is 1, and right
