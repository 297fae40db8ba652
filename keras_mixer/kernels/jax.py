"""Gradients in closed form, for JAX.

From the gradient that JAX derives for layer normalization, XLA compiles a step that computes the
gradient of the residual stream again for each norm, so that a step on a CPU takes time quadratic in
the number of blocks. The closed form also saves less: the input in its own dtype, and two numbers
per token. That of the GELU saves its input only.

The price is forward-mode differentiation (`jax.jvp`, `jax.jacfwd`), which JAX does not have for
functions with a gradient of their own. Reverse mode can be nested.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from keras_mixer.kernels.reference import convolve_patches, linear, ones, rows

__all__ = ["convolve_patches", "gelu", "gradient", "layer_norm", "linear", "ones", "rows"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(x, gamma, beta, epsilon):
    """See `keras_mixer.kernels.reference.layer_norm`."""
    return _layer_norm_forward(x, gamma, beta, epsilon)[0]


def _layer_norm_forward(x, gamma, beta, epsilon):
    wide = _at_least_float32(x)
    mean = jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(wide - mean), axis=-1, keepdims=True)
    rstd = lax.rsqrt(variance + epsilon)
    y = (wide - mean) * rstd * gamma + beta
    return y.astype(x.dtype), (x, mean, rstd, gamma, beta)


def _layer_norm_backward(epsilon, saved, dy):
    # With n = (x - mean) / std, the derivative of n by x is (I - 1/C - n nᵀ/C) / std, where C is
    # the width: x changes the mean and the standard deviation, too.
    x, mean, rstd, gamma, beta = saved
    normalized = (_at_least_float32(x) - mean) * rstd
    dy = _at_least_float32(dy)
    tokens = tuple(range(x.ndim - 1))
    dgamma = jnp.sum(dy * normalized, axis=tokens)
    dbeta = jnp.sum(dy, axis=tokens)
    dn = dy * gamma
    along_ones = jnp.mean(dn, axis=-1, keepdims=True)
    along_n = jnp.mean(dn * normalized, axis=-1, keepdims=True)
    dx = (dn - along_ones - normalized * along_n) * rstd
    return dx.astype(x.dtype), dgamma.astype(gamma.dtype), dbeta.astype(beta.dtype)


layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def gelu(x, approximate):
    """See `keras_mixer.kernels.reference.gelu`."""
    return jax.nn.gelu(x, approximate=approximate)


def _gelu_forward(x, approximate):
    return gelu(x, approximate), x


def _gelu_backward(approximate, x, dy):
    if approximate:
        tanh = jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
        probability = 0.5 * (1 + tanh)
        density = 0.5 * (1 - tanh * tanh) * (math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x))
    else:
        probability = 0.5 * lax.erfc(-x / math.sqrt(2))
        density = jnp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return (dy * (probability + x * density),)


gelu.defvjp(_gelu_forward, _gelu_backward)


def gradient(function, x):
    """See `keras_mixer.kernels.reference.gradient`."""
    return jax.grad(function, has_aux=True)(x)


def _at_least_float32(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
