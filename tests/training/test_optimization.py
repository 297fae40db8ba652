import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from training.config import Optimization
from training.optimization import learning_rate_schedule, loss_function, optimizer

SETTINGS = Optimization(
    learning_rate=0.1, warmup_steps=5, weight_decay=0.2, clip_global_norm=1.0, label_smoothing=0.1
)


def test_the_schedule_warms_up_linearly_and_decays_by_half_a_cosine():
    schedule = learning_rate_schedule(SETTINGS, total_steps=25)
    steps = np.arange(26)
    rates = [float(schedule(step)) for step in steps]
    warmup = 0.1 * steps / 5
    decay = 0.1 * 0.5 * (1 + np.cos(np.pi * (steps - 5) / 20))
    np.testing.assert_allclose(rates, np.where(steps < 5, warmup, decay), atol=1e-7)
    assert rates[5] == pytest.approx(0.1) and rates[25] == pytest.approx(0, abs=1e-8)


def test_the_schedule_works_without_warmup():
    schedule = learning_rate_schedule(dataclasses.replace(SETTINGS, warmup_steps=0), 10)
    assert float(schedule(0)) == pytest.approx(0.1)


def test_the_loss_is_smoothed_cross_entropy_of_logits():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((6, 4)).astype("float32") * 3
    labels = np.eye(4, dtype="float32")[[0, 1, 2, 3, 0, 1]]
    smoothed = labels * 0.9 + 0.1 / 4
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(smoothed * log_probabilities).sum(axis=1).mean()
    loss = loss_function(SETTINGS)(labels, logits)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def variables():
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    norm = keras.layers.LayerNormalization()
    norm.build((None, 2))
    found = [layer.kernel, layer.bias, norm.gamma, norm.beta]
    for variable in found:
        variable.assign(np.full(variable.shape, 2.0))
    return found


def test_only_kernels_decay():
    kernel, *others = variables()
    adamw = optimizer(dataclasses.replace(SETTINGS, warmup_steps=0), total_steps=10)
    zeros = [ops.zeros(v.shape) for v in (kernel, *others)]
    adamw.apply(zeros, [kernel, *others])
    np.testing.assert_allclose(ops.convert_to_numpy(kernel), 2 * (1 - 0.1 * 0.2), rtol=1e-6)
    for variable in others:
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), 2.0)


def test_two_steps_of_clipped_adamw_against_numpy():
    found = variables()
    values = [np.full(v.shape, 2.0) for v in found]
    adamw = optimizer(dataclasses.replace(SETTINGS, warmup_steps=0), total_steps=10)
    schedule = learning_rate_schedule(dataclasses.replace(SETTINGS, warmup_steps=0), 10)
    rng = np.random.default_rng(0)
    first = [np.zeros(v.shape) for v in found]
    second = [np.zeros(v.shape) for v in found]
    for step in (1, 2):
        gradients = [rng.standard_normal(v.shape).astype("float32") * 5 for v in found]
        adamw.apply([ops.convert_to_tensor(g) for g in gradients], found)

        norm = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients))
        rate = float(schedule(step - 1))
        for i, gradient in enumerate(gradients):
            clipped = gradient / max(norm, 1.0)
            if found[i].name == "kernel":
                values[i] = values[i] * (1 - rate * 0.2)
            first[i] = 0.9 * first[i] + 0.1 * clipped
            second[i] = 0.999 * second[i] + 0.001 * clipped**2
            corrected = first[i] / (1 - 0.9**step), second[i] / (1 - 0.999**step)
            values[i] = values[i] - rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-7)
    for variable, value in zip(found, values, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable), value, rtol=2e-5)
