"""Tests of training on several TensorFlow replicas, compared with training on one device.

`test_replicas.py` runs them in new processes, since devices must be configured before TensorFlow
starts: in one process with four devices, and in two hosts that `TF_CONFIG` names.
"""

import contextlib
import dataclasses
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import optimization as reference
from training.data.pipeline import evaluation_batches, training_batches
from training.data.sources import load_source
from training.keras_workarounds.multi_worker_reduce import Strategy
from training.keras_workarounds.replica_seeds import decorrelate_replica_seeds, random_states
from training.optimization.freezing import plain_model
from training.optimization.schedule import learning_rate_schedule
from training.optimization.sharpness_aware import sharpness_aware
from training.recipes import RECIPES
from training.run.callbacks.evaluate_ema import EvaluateEma
from training.run.checkpoints import Checkpoints, groups_of_variables
from training.run.compiled_model import compiled_model
from training.run.progress import Progress

tf.config.set_visible_devices([], "GPU")
if "TF_CONFIG" in os.environ:
    STRATEGY = Strategy()
else:
    (PROCESSOR,) = tf.config.list_physical_devices("CPU")
    FOUR = [tf.config.LogicalDeviceConfiguration()] * 4
    tf.config.set_logical_device_configuration(PROCESSOR, FOUR)
    STRATEGY = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(4)])
REPLICAS = STRATEGY.num_replicas_in_sync

UPDATES = 20
ADAMW = {"optimizer": "adamw", "learning_rate": 0.02}
ALL = {
    "accumulation_steps": 4,
    "clip_global_norm": 0.1,
    "weight_decay": 0.5,
    "ema_momentum": 0.8,
    "layer_decay": 0.5,
}
CASES = {
    "sgd": {},
    "adamw": ADAMW,
    "clipped": {"clip_global_norm": 0.1},
    "accumulated": {"accumulation_steps": 4},
    "ema": {"ema_momentum": 0.8},
    "layer decay": {"weight_decay": 0.5, "layer_decay": 0.5},
    "frozen": {"freeze": "body", "weight_decay": 0.5},
    "sigmoid, smoothed": {"loss": "sigmoid", "label_smoothing": 0.1},
    "sam": {"sam_rho": 0.5},
    "sgd, all": {**ALL, "sam_rho": 0.5},
    "adamw, all": {**ALL, **ADAMW},
}


def copies(variable):
    return [np.array(own.numpy()) for own in STRATEGY.experimental_local_results(variable.value)]


def require_equal(model, expected):
    """Require the weights of the model `expected`, identical on all replicas."""
    expected = {v.path: v.numpy() for v in expected.weights}
    assert reference.largest_error(model, expected) < reference.LARGEST_ERROR
    for variable in (*model.weights, *model.optimizer.variables):
        first, *others = copies(variable)
        for other in others:
            np.testing.assert_array_equal(other, first)


def fit(chosen, **options):
    def prepare(model):
        model.get_layer("hidden").trainable = chosen.freeze == "nothing"

    def scale_of(variable):
        return 1.0 if variable.path.startswith("head") else chosen.layer_decay

    x, y = reference.batches(UPDATES * chosen.accumulation_steps)
    return reference.fit(chosen, x, y, scale_of, prepare, **options)


# The others are parts of the last two.
ALWAYS = ("frozen", "sigmoid, smoothed", "sgd, all", "adamw, all")


@pytest.mark.parametrize(
    "name",
    [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in CASES],
)
def test_training_equals_that_on_one_device(name):
    chosen = reference.settings(**CASES[name])
    expected, expected_losses = fit(chosen)
    with STRATEGY.scope():
        model, losses = fit(chosen)
    require_equal(model, expected)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-3)


def test_run_equals_that_on_one_device():
    """A recipe with its batches and validation, where the last batch is padded."""
    tiny = RECIPES["tiny"].CONFIG
    optimization = dataclasses.replace(
        tiny.optimization,
        **{**ALL, "accumulation_steps": 2, "weight_decay": 0.1},
        optimizer="sgd",
        learning_rate=0.04,
        frozen_blocks=1,
        sam_rho=0.05,
        warmup_steps=3,
    )
    data = dataclasses.replace(tiny.data, validation_fraction=0.102)
    model = dataclasses.replace(tiny.model, rematerialize=True)
    config = dataclasses.replace(tiny, data=data, model=model, optimization=optimization)
    source = load_source(config.data)
    assert len(source.validation) % config.data.batch_size % REPLICAS
    schedule = learning_rate_schedule(optimization, 10, config.data.batch_size)

    def run(scope):
        keras.utils.set_random_seed(0)
        with scope:
            model = compiled_model(config, source, schedule)
        record = model.fit(
            training_batches(source, config.data, config.augmentation, config.seed),
            validation_data=evaluation_batches(source.validation, source, config.data),
            steps_per_epoch=10,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=[EvaluateEma()],
        )
        return model, record.history

    expected, expected_history = run(contextlib.nullcontext())
    model, history = run(STRATEGY.scope())
    require_equal(model, expected)
    assert history.keys() == expected_history.keys() and "val_accuracy" in history
    for name, values in history.items():
        np.testing.assert_allclose(values, expected_history[name], rtol=1e-5)

    batches = evaluation_batches(source.test, source, config.data)
    with STRATEGY.scope():
        logits = plain_model(model).predict(batches, verbose=0)
    np.testing.assert_allclose(logits, expected.predict(batches, verbose=0), atol=1e-5)


@pytest.fixture
def half_precision(request):
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("half_precision", ["mixed_bfloat16", "mixed_float16"], indirect=True)
def test_half_precision_trains(half_precision):
    chosen = reference.settings(**{**ALL, "accumulation_steps": 2, "sam_rho": 0.05})
    _, expected = fit(chosen)
    with STRATEGY.scope():
        model, losses = fit(chosen)
    np.testing.assert_allclose(losses, expected, atol=0.05)
    assert all(np.isfinite(v.numpy().astype("float32")).all() for v in model.optimizer.variables)


@pytest.mark.parametrize("half_precision", ["mixed_float16"], indirect=True)
def test_replicas_skip_an_update_together(half_precision):
    x, y = reference.batches(1)
    x[-1] = np.inf  # in the shard of the last replica only
    with STRATEGY.scope():
        model, _ = reference.fit(reference.settings(warmup_steps=0), x, y)
    for variable in model.weights:
        expected = reference.weights()[variable.path].astype("float32")
        assert all((own == expected).all() for own in copies(variable))
    assert all(own == 2**14 for own in copies(model.optimizer.dynamic_scale))  # from 2^15


def test_replicas_have_different_dropout_masks():
    with STRATEGY.scope():
        inputs = keras.Input((50,))
        model = keras.Model(inputs, keras.layers.Dropout(0.5, seed=3)(inputs))

    @tf.function
    def dropped():
        masks = STRATEGY.run(lambda: model(tf.ones((1, 50)), training=True))
        return STRATEGY.gather(masks, axis=0)  # (replicas, 50)

    (state,) = random_states(model)
    start = state.numpy()
    common = dropped().numpy()
    assert len(common) == REPLICAS and (common == common[0]).all()  # Keras's default
    state.assign(start)
    decorrelate_replica_seeds(model)
    different = dropped().numpy()
    assert len(np.unique(different, axis=0)) == REPLICAS
    np.testing.assert_array_equal(different[0], common[0])

    _, draws = state.numpy()
    expected = dropped()
    state.assign([start[0], draws])  # the state in a checkpoint, from the first host
    decorrelate_replica_seeds(model)
    np.testing.assert_array_equal(dropped(), expected)


def test_restored_training_is_bitwise_identical(tmp_path):
    """It is saved in the middle of an update; replicas have different dropout masks."""
    chosen = reference.settings(**ALL, sam_rho=0.5)
    x, y = reference.batches(14)

    def dropping_model():
        with STRATEGY.scope():
            inputs = keras.Input((5,))
            hidden = keras.layers.Dense(6, "tanh", name="hidden")(inputs)
            hidden = keras.layers.Dropout(0.3, seed=1)(hidden)
            model = keras.Model(inputs, keras.layers.Dense(3)(hidden))
            model = sharpness_aware(model, chosen.sam_rho)
            model.compile(
                reference.optimizer(chosen, learning_rate_schedule(chosen, 3, len(x))),
                reference.loss_function(chosen),
                metrics=["accuracy"],
            )
            model.optimizer.build(model.trainable_variables)
            model.compute_metrics(None, y, y)
        return model

    def train(model, batches):
        part = slice(batches.start * reference.BATCH, batches.stop * reference.BATCH)
        model.fit(x[part], y[part], batch_size=reference.BATCH, shuffle=False, verbose=0)
        return [v.numpy() for group in groups_of_variables(model).values() for v in group]

    uninterrupted = dropping_model()
    decorrelate_replica_seeds(uninterrupted)
    train(uninterrupted, range(6))
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(uninterrupted, Progress())
        restored = dropping_model()
        checkpoints.restore(restored)
    decorrelate_replica_seeds(restored)
    expected = train(uninterrupted, range(6, 14))
    for own, array in zip(train(restored, range(6, 14)), expected, strict=True):
        np.testing.assert_array_equal(own, array)
