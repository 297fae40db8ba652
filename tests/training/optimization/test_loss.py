import math

import keras
import numpy as np
import pytest
from keras import ops

from training.config import Optimization
from training.optimization.loss import loss_function

LOGITS = np.random.default_rng(0).standard_normal((6, 4)).astype("float32") * 3
ONE_HOT = np.eye(4, dtype="float32")[[0, 1, 2, 3, 0, 1]]
SOFT = 0.7 * ONE_HOT + 0.3 * np.roll(ONE_HOT, 1, axis=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("labels", [ONE_HOT, SOFT])
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_losses_against_numpy(loss, labels, smoothing):
    found = loss_function(Optimization(loss=loss, label_smoothing=smoothing))(labels, LOGITS)
    smoothed = labels * (1 - smoothing) + smoothing / 4
    logits = LOGITS.astype(np.float64)
    if loss == "softmax":
        costs = -smoothed * (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    else:
        probabilities = 1 / (1 + np.exp(-logits))
        costs = -smoothed * np.log(probabilities) - (1 - smoothed) * np.log(1 - probabilities)
    expected = costs.sum(axis=1).mean()  # summed over classes
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_the_sigmoid_loss_of_large_logits():
    logits = np.array([[200.0, -200.0]], "float32")
    loss = loss_function(Optimization(loss="sigmoid"))
    assert float(loss(np.array([[1.0, 0.0]], "float32"), logits)) == 0
    assert float(loss(np.array([[0.0, 1.0]], "float32"), logits)) == 400
    small = loss(np.array([[1.0, 0.0]], "float32"), np.array([[20.0, -20.0]], "float32"))
    assert float(small) == pytest.approx(2 * np.exp(-20), rel=1e-5)


def test_the_sigmoid_loss_weighs_examples():
    loss = loss_function(Optimization(loss="sigmoid"))
    weights = np.array([1, 1, 1, 0, 0, 0], "float32")
    weighted = loss(ops.convert_to_tensor(ONE_HOT), LOGITS, sample_weight=weights)
    assert float(weighted) == pytest.approx(float(loss(ONE_HOT[:3], LOGITS[:3])) / 2, rel=1e-6)


def test_the_sigmoid_loss_of_many_classes_when_compiled():
    classes = 21_843
    logits = np.full((2, classes), -10, "float32")
    labels = keras.utils.to_categorical([3, 5], classes)
    model = keras.Sequential([keras.Input((classes,)), keras.layers.Identity()])
    compiled = keras.config.backend() != "torch"  # as `train` compiles
    model.compile(loss=loss_function(Optimization(loss="sigmoid")), jit_compile=compiled)
    found = model.test_on_batch(logits, labels)
    assert found == pytest.approx(classes * math.log1p(math.exp(-10)) + 10, rel=3e-6)
