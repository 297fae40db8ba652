"""Initialization of layers on the host, or none if a file of weights is about to fill them.

On JAX, Keras's initializers compile a program for each shape, and on PyTorch they sample four
normal numbers for each truncated one: together they took longer than everything else in building
a model. Here NumPy computes the same values, or values of the same distribution.
"""

import contextlib
import contextvars
import math

import keras
import numpy as np
from keras import ops

from keras_mixer.layers.flat_array import flat_array
from keras_mixer.layers.truncated_normal import truncated_normal

INITIALIZERS = ("kernel_initializer", "bias_initializer", "gamma_initializer", "beta_initializer")
SAMPLED_DTYPES = ("float32", "bfloat16", "float16")  # float32 samples are too coarse for float64

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
    """Build a Keras layer, such as `Dense`, whose initializers have the usual names.

    Variables have the distribution that the initializers ask for, but are computed on the host
    where that is possible. The layer and its configuration keep their initializers.
    """
    initializers = {name: getattr(layer, name) for name in INITIALIZERS if hasattr(layer, name)}
    for name, initializer in initializers.items():
        setattr(layer, name, _on_host(initializer, skip=_skips.get() and name.startswith("kernel")))
    try:
        layer.build(input_shape)
    finally:
        for name, initializer in initializers.items():
            setattr(layer, name, initializer)


def _on_host(initializer, skip):
    """Return what computes the same on the host, or an initializer that cannot be replaced."""
    zeros, ones = keras.initializers.Zeros, keras.initializers.Ones
    if skip or type(initializer) is zeros:
        return _HostInitializer(zeros(), _zeros)
    if type(initializer) is ones:
        return _HostInitializer(ones(), _ones)
    if (
        type(initializer) is keras.initializers.LecunNormal
        and initializer.get_config() == keras.initializers.LecunNormal().get_config()
    ):  # with a seed of its own, a user expects Keras's values
        return _HostInitializer(initializer, _sampler(initializer.seed))
    return initializer


def _zeros(shape):
    return flat_array(shape, np.zeros).reshape(shape)


def _ones(shape):
    values = _zeros(shape)
    values += 1
    return values


def _sampler(seed):
    def sample(shape):
        fan_in = math.prod(shape[:-1])  # of a kernel of Dense or of a convolution, channels last
        return truncated_normal(shape, fan_in**-0.5, seed)

    return sample


class _HostInitializer(keras.initializers.Initializer):
    """Initializer that computes on the host, unless Keras is tracing or needs another dtype."""

    def __init__(self, initializer, compute):
        self.initializer = initializer
        self.compute = compute

    def __call__(self, shape, dtype=None):
        dtype = keras.backend.standardize_dtype(dtype)
        if dtype not in SAMPLED_DTYPES or not _values_exist():
            return self.initializer(shape, dtype)
        values = ops.convert_to_tensor(self.compute(shape))
        return ops.cast(values, dtype)


def _values_exist():
    """Return whether tensors have values here, which they do not while a function is traced."""
    try:
        ops.convert_to_numpy(ops.convert_to_tensor(np.zeros((), "float32")))
    except Exception:  # of another class on each backend
        return False
    return True
