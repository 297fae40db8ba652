"""Adapting token-mixing weights to an image size other than the trained one.

A grid is the number of patches (down, across); tokens are numbered row by row.

**Block-diagonal** (the paper's appendix C) needs a grid that is an integer multiple of the trained
one in height and in width. The large image is divided into parts of the trained size, and a copy
of the trained MLP mixes the tokens of each part. With K parts, the hidden layer becomes K times
as wide. The tokens of a part are not consecutive in the large image, so each copy is written to
the rows and columns of its own tokens.

**Interpolated** (ours, not the paper's) works for any grid. The large map of tokens is resized to
the trained grid before the MLP, and the output is resized back after it. Both are linear and are
folded into the weights: the map of every hidden unit is resized and scaled so that a constant
input gives the same response as before.
"""

import numpy as np

RESOLUTIONS = ("block_diagonal", "interpolate")


def check(owner, trained, wanted, resolution):
    """Raise ValueError unless weights of the grid `trained` can be adapted to `wanted`."""
    if resolution not in RESOLUTIONS:
        raise ValueError(
            f"{owner}: `resolution` must be one of {RESOLUTIONS}. "
            f"Received: resolution={resolution!r}. Leave it out for multiples of the trained size."
        )
    divides = not (wanted[0] % trained[0] or wanted[1] % trained[1])
    if resolution == "block_diagonal" and not divides:
        raise ValueError(
            f"{owner}: `input_shape` must be an integer multiple of the size that the weights were "
            f"trained at, {trained[0]} × {trained[1]} patches, in height and in width. "
            f"Received: images of {wanted[0]} × {wanted[1]} patches. Choose a multiple, or pass "
            "resolution='interpolate', which is our method and not the paper's."
        )


def num_parts(trained, wanted, resolution):
    """Return K, the factor by which block-diagonal weights widen the hidden layer."""
    if resolution == "interpolate":
        return 1
    return (wanted[0] // trained[0]) * (wanted[1] // trained[1])


def adapt(name, array, trained, wanted, resolution):
    """Return one token-mixing array, adapted to the grid `wanted`.

    Args:
        name: `Dense_0/kernel` (S, D_S), `Dense_0/bias` (D_S,), `Dense_1/kernel` (D_S, S) or
            `Dense_1/bias` (S,).
        array: The trained one.
        trained, wanted: Grids.
        resolution: `"block_diagonal"` or `"interpolate"`.
    """
    if trained == wanted:
        return array
    if resolution == "interpolate":
        return _interpolated(name, array, trained, wanted)
    return _block_diagonal(name, array, trained, wanted)


def _block_diagonal(name, array, trained, wanted):
    parts = _tokens_of_parts(trained, wanted)  # (K, S)
    if name == "Dense_0/bias":
        return np.tile(array, len(parts))
    if name == "Dense_1/bias":
        adapted = np.empty(parts.size, array.dtype)
        adapted[parts] = array
        return adapted
    tokens_mlp_dim = array.shape[1 if name == "Dense_0/kernel" else 0]
    adapted = np.zeros((parts.size, len(parts) * tokens_mlp_dim), array.dtype)
    if name == "Dense_1/kernel":
        array = array.T
    for k, tokens in enumerate(parts):
        adapted[tokens, k * tokens_mlp_dim : (k + 1) * tokens_mlp_dim] = array
    return adapted.T if name == "Dense_1/kernel" else adapted


def _tokens_of_parts(trained, wanted):
    """Return the token numbers of each part, (K, S), in the order of the trained grid."""
    (height, width), (down, across) = trained, np.divide(wanted, trained).astype(int)
    tokens = np.arange(wanted[0] * wanted[1]).reshape(down, height, across, width)
    return tokens.swapaxes(1, 2).reshape(down * across, height * width)


def _interpolated(name, array, trained, wanted):
    if name == "Dense_0/bias":
        return array
    exact = array.astype(np.float64)
    if name == "Dense_0/kernel":
        adapted = _resize_matrix(wanted, trained).T @ exact
    elif name == "Dense_1/kernel":
        adapted = exact @ _resize_matrix(trained, wanted).T
    else:
        adapted = _resize_matrix(trained, wanted) @ exact
    return adapted.astype(array.dtype)


def _resize_matrix(source, target):
    """Return the matrix that resizes a map over one grid to another, (tokens, tokens)."""
    return np.kron(_resize_axis(source[0], target[0]), _resize_axis(source[1], target[1]))


def _resize_axis(source, target):
    """Return the (target, source) matrix of linear interpolation, antialiased when shrinking.

    Its rows sum to one, so that a constant map stays the same.
    """
    scale = source / target
    centers = (np.arange(target) + 0.5) * scale - 0.5
    distances = np.abs(np.arange(source) - centers[:, None]) / max(scale, 1)
    weights = np.maximum(1 - distances, 0)
    return weights / weights.sum(axis=1, keepdims=True)
