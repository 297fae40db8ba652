"""Ahead-of-time compilation of the training step of `train` on JAX, without data or weights."""

import concurrent.futures
import time

import jax
import keras
import numpy as np

from training.data.source import Source
from training.data.splits import in_memory
from training.optimization.schedule import learning_rate_schedule
from training.planning.footprint import compiled_footprint, refused_footprint
from training.run.compiled_model import compiled_model, make_variables

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"


def compile_step(config, classes, channels, distribution):
    """Compile a training step and return its `Footprint`.

    Args:
        config: A `training.config.Config`.
        classes: Number of classes.
        channels: Number of channels of the images.
        distribution: A `training.devices.distribution.Distribution` of JAX devices, or of the
            device descriptions of a `training.planning.topology.Topology`.
    """
    batch = _batch(config, classes, channels)
    return footprint_of(
        lambda: lower_step(config, classes, channels, distribution), batch, distribution.replicas
    )


def footprint_of(lower, batch, replicas):
    """Compile a step and return its `Footprint`.

    Args:
        lower: Function that returns it as a `jax.stages.Lowered`.
        batch: Shapes of images and labels.
        replicas: Number of model replicas that share a batch.
    """
    began = time.perf_counter()
    lowered = lower()
    images = len(batch[0])
    try:
        compiled = _interruptible(lowered.compile)
    except RuntimeError as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        return refused_footprint(str(error), images, time.perf_counter() - began)
    batch_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in batch) // replicas
    return compiled_footprint(compiled, images, batch_bytes, time.perf_counter() - began)


def lower_step(config, classes, channels, distribution):
    """Return the step as a `jax.stages.Lowered`; the arguments are those of `compile_step`."""
    with distribution.scope():
        model = _model_without_values(config, classes, channels)
        return lower_train_step(model, _batch(config, classes, channels), distribution.devices[0])


def lower_train_step(model, batch, device):
    """Return the `train_step` of a Keras model as a `jax.stages.Lowered`.

    Args:
        model: A model from `without_values`.
        batch: Shapes of images and labels.
        device: The device, where there is only one and no distribution is set.
    """
    state, batch = _shapes(model, batch, device)
    # Like Keras's `make_train_function`.
    step = jax.jit(
        model.train_step,
        donate_argnums=0,
        out_shardings=(None, jax.tree.map(lambda shape: shape.sharding, state)),
    )
    return step.lower(state, batch)


def without_values(build):
    """Return the Keras model of `build()`; its variables have a shape and a layout only."""
    models = []
    jax.eval_shape(lambda: models.append(build()))  # traces without computing anything
    return models[0]


def _model_without_values(config, classes, channels):
    """Return the model that `fit` would train, `without_values`."""
    empty = in_memory(np.zeros((0, 1, 1, channels), np.uint8), np.zeros(0, int))
    source = Source(tuple(map(str, range(classes))), channels, empty, empty, empty)
    updates = config.optimization.warmup_steps + 1  # any number gives the same step
    schedule = learning_rate_schedule(config.optimization, updates, config.data.batch_size)

    def build():
        model = compiled_model(config, source, schedule)
        make_variables(model, classes)
        return model

    return without_values(build)


def _shapes(model, batch, device):
    """Return the arguments of `model.train_step`, state and batch, as shapes with a sharding."""
    distribution = keras.distribution.distribution()  # None on one device

    def shape(leaf, layout):
        one_device = jax.sharding.SingleDeviceSharding(device)
        sharding = layout.backend_layout if layout else one_device
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    state = tuple(
        [shape(v, distribution and distribution.get_variable_layout(v)) for v in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    )
    batch = tuple(
        shape(leaf, distribution and distribution.get_data_layout(leaf.shape)) for leaf in batch
    )
    return state, batch


def _batch(config, classes, channels):
    """Return the shapes of images and labels."""
    images, side = config.data.batch_size, config.data.image_size
    pixels = "float32" if config.augmentation.mixup_alpha else "uint8"  # mixup needs fractions
    return (
        jax.ShapeDtypeStruct((images, side, side, channels), pixels),
        jax.ShapeDtypeStruct((images, classes), "float32"),
    )


def _interruptible(function):
    """Return `function()`, called in another thread, since XLA ignores Ctrl-C for minutes."""
    executor = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return executor.submit(function).result()
    finally:
        executor.shutdown(wait=False)
