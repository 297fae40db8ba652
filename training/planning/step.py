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
    began = time.perf_counter()
    lowered = lower_step(config, classes, channels, distribution)
    images = config.data.batch_size
    try:
        compiled = _interruptible(lowered.compile)
    except RuntimeError as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        return refused_footprint(str(error), images, time.perf_counter() - began)
    batch = _batch(config, classes, channels)
    batch_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in batch) // distribution.replicas
    return compiled_footprint(compiled, images, batch_bytes, time.perf_counter() - began)


def lower_step(config, classes, channels, distribution):
    """Return the step as a `jax.stages.Lowered`; the arguments are those of `compile_step`."""
    with distribution.scope():
        model = _model_without_values(config, classes, channels)
        state, batch = _shapes(model, config, classes, channels, distribution.devices[0])
        # Like Keras's `make_train_function`.
        step = jax.jit(
            model.train_step,
            donate_argnums=0,
            out_shardings=(None, jax.tree.map(lambda shape: shape.sharding, state)),
        )
        return step.lower(state, batch)


def _model_without_values(config, classes, channels):
    """Return the model that `fit` would train; its variables have a shape and a layout only."""
    empty = in_memory(np.zeros((0, 1, 1, channels), np.uint8), np.zeros(0, int))
    source = Source(tuple(map(str, range(classes))), channels, empty, empty, empty)
    updates = config.optimization.warmup_steps + 1  # any number gives the same step
    schedule = learning_rate_schedule(config.optimization, updates, config.data.batch_size)
    models = []

    def build():
        model = compiled_model(config, source, schedule)
        make_variables(model, classes)
        models.append(model)

    jax.eval_shape(build)  # traces without computing anything
    return models[0]


def _shapes(model, config, classes, channels, first_device):
    """Return the arguments of `model.train_step`, state and batch, as shapes with a sharding."""
    distribution = keras.distribution.distribution()  # None on one device

    def shape(leaf, layout):
        one_device = jax.sharding.SingleDeviceSharding(first_device)
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
        shape(leaf, distribution and distribution.get_data_layout(leaf.shape))
        for leaf in _batch(config, classes, channels)
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
