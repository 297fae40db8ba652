"""Training runs with `model.fit` against NumPy, and against plain Keras."""

import keras
import numpy as np
import pytest

from tests.support import optimization as reference
from tests.support.models import small_mixer
from training.config import Optimization
from training.optimization.optimizer import optimizer
from training.optimization.schedule import learning_rate_schedule

UPDATES = 20
BY_ADAM = {"optimizer": "adamw", "learning_rate": 0.02}
CASES = {
    "sgd": {},
    "sgd without momentum": {"momentum": 0.0},
    "adamw, clipped and decayed": {**BY_ADAM, "weight_decay": 0.5, "clip_global_norm": 0.1},
    "sgd, accumulated, all": {
        "accumulation_steps": 4,
        "clip_global_norm": 0.1,
        "weight_decay": 0.5,
        "ema_momentum": 0.8,
    },
    "adamw, accumulated, all": {
        **BY_ADAM,
        "accumulation_steps": 4,
        "clip_global_norm": 0.1,
        "weight_decay": 0.5,
        "ema_momentum": 0.8,
    },
    "averaged": {"ema_momentum": 0.8},
}


@pytest.mark.parametrize("name", CASES)
def test_a_training_against_numpy(name):
    """With accumulation, NumPy uses one batch of four times the size."""
    chosen = reference.settings(**CASES[name])
    x, y = reference.batches(UPDATES * chosen.accumulation_steps)
    model, losses = reference.fit(chosen, x, y)
    rates = reference.rates(chosen, UPDATES)
    expected, averages, expected_losses = reference.train(chosen, x, y, rates)
    # `reference.fit` ends by putting the averages into the model.
    expected = averages if chosen.ema_momentum else expected
    assert reference.largest_error(model, expected) < reference.LARGEST_ERROR
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-3)
    moved = max(np.abs(expected[p] - a).max() for p, a in reference.weights().items())
    assert moved > 0.1  # otherwise the comparison would be trivial


def test_the_learning_rate_counts_updates():
    chosen = reference.settings(accumulation_steps=4)
    made = optimizer(chosen, learning_rate_schedule(chosen, 20, 4))
    variable = keras.Variable(np.zeros(3), dtype="float32", name="kernel")
    gradient = keras.ops.ones((3,))
    found = []
    for _ in range(12):
        found.append(float(made.learning_rate))
        made.apply([gradient], [variable])
    np.testing.assert_allclose(found, np.repeat([0, 0.02, 0.04], 4), atol=1e-8)


def test_an_incomplete_accumulation_changes_no_weights():
    chosen = reference.settings(accumulation_steps=4, weight_decay=0.5, warmup_steps=0)
    x, y = reference.batches(8)
    model, _ = reference.fit(chosen, x, y)
    more, _ = reference.fit(chosen, *(np.concatenate([a, a[:12]]) for a in (x, y)))
    for variable, other in zip(model.weights, more.weights, strict=True):
        np.testing.assert_array_equal(np.array(variable), np.array(other))


def test_the_defaults_train_as_plain_keras_does():
    """The results of the recipes were obtained with it."""
    chosen = Optimization(learning_rate=5e-3, warmup_steps=3, label_smoothing=0.1)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (64, 8, 12, 3)).astype("uint8")
    y = np.eye(5, dtype="float32")[rng.integers(0, 5, 64)]
    cosine = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=5, warmup_target=5e-3, warmup_steps=3
    )
    plain = keras.optimizers.AdamW(cosine, weight_decay=0.1, global_clipnorm=1.0)
    plain.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    ours = optimizer(chosen, learning_rate_schedule(chosen, 8, 8))
    losses, weights = [], []
    for made in (plain, ours):
        keras.utils.set_random_seed(0)
        model = small_mixer(num_blocks=1)
        model.compile(
            made, keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
        )
        record = reference.Losses()
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[record])
        losses.append(record.of_batches)
        weights.append(model.get_weights())
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    for theirs, own in zip(*weights, strict=True):
        np.testing.assert_allclose(own, theirs, atol=1e-5)  # Adam amplifies rounding errors


def test_weight_decay_of_kernels_only():
    model = small_mixer(num_blocks=1)
    before = model.get_weights()
    chosen = reference.settings(weight_decay=0.5, warmup_steps=0)
    made = optimizer(chosen, learning_rate_schedule(chosen, 20, 4))
    made.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.weights)
    for variable, value in zip(model.weights, before, strict=True):
        expected = value * (1 - 0.1 * 0.5) if variable.name == "kernel" else value
        np.testing.assert_allclose(np.array(variable), expected, rtol=1e-6)


def test_weight_decay_without_kernels():
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    chosen = reference.settings(weight_decay=0.5)
    made = optimizer(chosen, learning_rate_schedule(chosen, 20, 4))
    made.apply([keras.ops.ones((3,))], [layer.bias])  # torch refuses an empty list


def test_adamw_is_the_fast_class_of_keras():
    """Under PyTorch a private class updates all variables at once."""
    made = optimizer(Optimization(), learning_rate_schedule(Optimization(), 200, 4))
    assert isinstance(made, type(keras.optimizers.AdamW()))


def test_loss_scaling_changes_nothing():
    chosen = reference.settings(
        accumulation_steps=2, clip_global_norm=0.1, weight_decay=0.5, ema_momentum=0.8
    )
    x, y = reference.batches(UPDATES * 2)
    model, _ = reference.fit(chosen, x, y, wrap=keras.optimizers.LossScaleOptimizer)
    rates = reference.rates(chosen, UPDATES)
    _, averages, _ = reference.train(chosen, x, y, rates)
    assert reference.largest_error(model, averages) < reference.LARGEST_ERROR
