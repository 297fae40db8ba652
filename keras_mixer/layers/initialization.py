"""Skipping the random initialization of kernels that a file of weights is about to fill."""

import contextlib
import contextvars

import keras

_skips = contextvars.ContextVar("skips", default=False)


@contextlib.contextmanager
def skip_initialization():
    """Build layers without sampling random kernels: they start at zero.

    Sampling takes longer than loading a file of weights. The configuration of the layers still
    names their initializers, so a clone of the model is initialized normally.
    """
    token = _skips.set(True)
    try:
        yield
    finally:
        _skips.reset(token)


def build(layer, input_shape):
    """Build a Keras layer that has a `kernel_initializer`, such as `Dense` or `Conv2D`."""
    if not _skips.get():
        layer.build(input_shape)
        return
    initializer, layer.kernel_initializer = layer.kernel_initializer, keras.initializers.Zeros()
    try:
        layer.build(input_shape)
    finally:
        layer.kernel_initializer = initializer
