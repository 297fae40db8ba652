"""Products without copies and a GELU in few passes, for PyTorch."""

import math

import torch
from keras import ops
from torch.nn import functional

from keras_mixer.kernels.reference import layer_norm, rows
from keras_mixer.kernels.reference import ones as reference_ones

__all__ = ["gelu", "layer_norm", "linear", "ones", "rows"]


def linear(x, kernel, bias):
    """See `keras_mixer.kernels.reference.linear`.

    A transposed tensor is a view, which PyTorch would copy to multiply it from the right. It is
    multiplied from the left instead, and the result is a transposed tensor again.
    """
    if _is_transposed(x):
        from_left = kernel.mT.expand(x.shape[0], -1, -1)  # (batch, outputs, inputs), a view
        return torch.baddbmm(bias[:, None], from_left, x.mT).mT
    return functional.linear(x, kernel.mT, bias)


def ones(x, width, dtype):
    """See `keras_mixer.kernels.reference.ones`."""
    if _is_transposed(x):
        return ops.ones((x.shape[0], width, x.shape[1]), dtype).mT
    return reference_ones(x, width, dtype)


def _is_transposed(x):
    return x.ndim == 3 and x.mT.is_contiguous() and not x.is_contiguous()


def gelu(x, approximate):
    """See `keras_mixer.kernels.reference.gelu`."""
    is_slow = approximate and x.device.type == "cpu" and x.dtype == torch.float32
    if is_slow and not torch.compiler.is_compiling():  # compiled and exported: one operation
        return _ApproximateGelu.apply(x)
    return functional.gelu(x, approximate="tanh" if approximate else "none")


class _ApproximateGelu(torch.autograd.Function):
    """The tanh approximation by the sigmoid, since 0.5 (1 + tanh(z)) = sigmoid(2z).

    On CPUs, PyTorch's own takes twice the time: its tanh is slow, its sigmoid is not. Its gradient
    is fast.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        linear = torch.tensor(2 * math.sqrt(2 / math.pi))
        y = torch.addcmul(linear, x, x, value=0.044715 * linear.item())
        return y.mul_(x).sigmoid_().mul_(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        (x,) = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return torch.ops.aten.gelu_backward(dy, x, approximate="tanh")

    @staticmethod
    def jvp(ctx, dx):
        (x,) = ctx.saved_tensors
        return torch.ops.aten.gelu_backward(dx, x, approximate="tanh")
