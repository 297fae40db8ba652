"""The operations of a Mixer in `keras.ops`, for any backend."""

import keras
from keras import ops


def layer_norm(x, gamma, beta, epsilon):
    """Normalize over the last axis, in at least float32: y = γ (x - mean) / √(var + ε) + β.

    Args:
        x: `(..., width)`.
        gamma: γ, `(width,)`.
        beta: β, `(width,)`.
        epsilon: ε, a Python number.

    Returns:
        y, with the shape and the dtype of `x`.
    """
    return ops.layer_normalization(x, gamma, beta, axis=-1, epsilon=epsilon)


def gelu(x, approximate):
    """Return x Φ(x), where Φ is the distribution function of the standard normal distribution.

    Args:
        x: A tensor.
        approximate: Whether to compute 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) instead.

    Returns:
        A tensor with the shape and the dtype of `x`.
    """
    return keras.activations.gelu(x, approximate=approximate)


def linear(x, kernel, bias):
    """Return x · kernel + bias.

    Args:
        x: `(..., inputs)`.
        kernel: `(inputs, outputs)`, with the dtype of `x`.
        bias: `(outputs,)`, with the dtype of `x`.

    Returns:
        `(..., outputs)`.
    """
    return ops.add(ops.matmul(x, kernel), bias)


def convolve_patches(images, kernel):
    """Convolve with strides of the kernel's size: the product of each patch and the kernel.

    Args:
        images: `(batch, height, width, channels)`. Pixels beyond the last whole patch are ignored.
        kernel: `(patch height, patch width, channels, outputs)`, with the dtype of `images`.

    Returns:
        `(batch, rows of patches, columns of patches, outputs)`.
    """
    strides = list(kernel.shape[:2])
    return ops.conv(images, kernel, strides, padding="valid", data_format="channels_last")


def rows(x):
    """Return `x` in the shape in which `linear` and `gelu` are fastest: `(..., width)`."""
    return x


def ones(x, width, dtype):
    """Return ones in the shape, and in the order in memory, of `linear(x, kernel, bias)`.

    Args:
        x: `(..., inputs)`.
        width: Number of outputs of the kernel.
        dtype: Dtype of the result.

    Returns:
        `(..., width)`.
    """
    return ops.ones((*ops.shape(x)[:-1], width), dtype)


def gradient(function, x):
    """Return the gradient of a scalar with respect to a tensor, and the function's other value.

    Args:
        function: Function of a tensor that returns a scalar tensor and another value.
        x: A floating tensor.

    Returns:
        The gradient, with the shape and the dtype of `x`, and the other value.

    Raises:
        NotImplementedError: On other backends than JAX, TensorFlow and PyTorch: `keras.ops` has no
            gradients.
    """
    raise NotImplementedError(
        "keras_mixer: gradients need one of the backends jax, tensorflow and torch. Received: "
        f"backend {keras.backend.backend()!r}. Set KERAS_BACKEND to one of the three."
    )
