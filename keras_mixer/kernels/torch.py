"""Products without copies and a GELU in few passes, for PyTorch."""

import functools
import math

import torch
from keras import ops
from torch.nn import functional

from keras_mixer.kernels.reference import layer_norm, rows
from keras_mixer.kernels.reference import ones as reference_ones

__all__ = ["convolve_patches", "gelu", "gradient", "layer_norm", "linear", "ones", "rows"]

FEWEST_ROWS = 384  # with fewer, oneDNN takes longer to reorder the kernel than it saves


def linear(x, kernel, bias):
    """See `keras_mixer.kernels.reference.linear`.

    A transposed tensor is a view, which PyTorch would copy to multiply it from the right. It is
    multiplied from the left instead, and the result is a transposed tensor again.
    """
    if _is_transposed(x):
        from_left = kernel.mT.expand(x.shape[0], -1, -1)  # (batch, outputs, inputs), a view
        return torch.baddbmm(bias[:, None], from_left, x.mT).mT
    return _product(x, kernel, bias)


def convolve_patches(images, kernel):
    """See `keras_mixer.kernels.reference.convolve_patches`.

    For a convolution, PyTorch would copy images and kernel to another order of their axes.
    """
    height, width, channels, outputs = kernel.shape
    rows, columns = images.shape[1] // height, images.shape[2] // width
    x = images[:, : rows * height, : columns * width]
    x = x.reshape(-1, rows, height, columns, width, channels).transpose(2, 3)
    x = x.reshape(-1, rows, columns, height * width * channels)
    return _product(x, kernel.reshape(-1, outputs))


def _product(x, kernel, bias=None):
    """Return x · kernel + bias: `(..., inputs)` by `(inputs, outputs)`."""
    is_slow = x.device.type == "cpu" and x.dtype == torch.float32 and _mkl_is_slow()
    is_slow = is_slow and not torch.compiler.is_compiling()  # compiled and exported: a product
    if not is_slow or (rows := x.shape[:-1].numel()) < FEWEST_ROWS:
        return functional.linear(x, kernel.mT, bias)
    pixels = x.reshape(1, rows, 1, -1).permute(0, 3, 1, 2)  # (1, inputs, rows, 1), channels last
    y = functional.conv2d(pixels, kernel.mT[:, :, None, None], bias)
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


@functools.cache
def _mkl_is_slow():
    """Return whether convolutions, by oneDNN, are faster than products, by MKL.

    On CPUs of AMD, MKL leaves AVX-512 unused. A convolution with a kernel of one pixel is the same
    product.
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    cpu: dict = getattr(torch.cpu, "get_capabilities", dict)()  # older versions cannot say
    return cpu.get("cpu_name", "").startswith("AMD") and cpu.get("avx512_f", False)


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


def gradient(function, x):
    """See `keras_mixer.kernels.reference.gradient`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y, other = function(x)
        (dx,) = torch.autograd.grad(y, x)
    return dx, other
