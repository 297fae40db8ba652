"""Fused products, for PyTorch."""

import torch
from torch.nn import functional

from keras_mixer.kernels.reference import gelu, layer_norm, rows

__all__ = ["gelu", "layer_norm", "linear", "rows"]


def linear(x, kernel, bias):
    """See `keras_mixer.kernels.reference.linear`.

    A transposed tensor is a view, which PyTorch would copy to multiply it from the right. It is
    multiplied from the left instead, and the result is a transposed tensor again.
    """
    if x.ndim == 3 and x.mT.is_contiguous() and not x.is_contiguous():
        from_left = kernel.mT.expand(x.shape[0], -1, -1)  # (batch, outputs, inputs), a view
        return torch.baddbmm(bias[:, None], from_left, x.mT).mT
    return functional.linear(x, kernel.mT, bias)
