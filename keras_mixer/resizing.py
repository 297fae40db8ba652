"""Resizing that equals TensorFlow's and Pillow's bit for bit, without either of them.

Sizes are (height, width) in pixels. `xp` is NumPy or TensorFlow.
"""

import numpy as np

# A resize is a weighted sum along each axis in turn. With s = old / new, output pixel i covers
# the input from i s to (i + 1) s, with its center at c = (i + 1/2) s; input pixel j covers j to
# j + 1, with its center at j + 1/2. The weight of j in i is
#
# area       the length of the overlap of i and j, divided by s
# bilinear   1 - |j + 1/2 - c| for the two nearest j
# antialias  f((j + 1/2 - c) / max(s, 1)), divided by its sum over j, where f is a triangle of
#            radius 1, or the cubic of Keys (1981) with a = -1/2, of radius 2
#
# For bitwise equality, the first two use float32 and TensorFlow's order of operations. Pillow
# computes in integers with 22 binary places, which float64 holds exactly, in any order.


def cast(xp, x, dtype):
    """Cast `x` with NumPy or TensorFlow."""
    return x.astype(dtype) if xp is np else xp.cast(x, dtype)


def resize_like_tensorflow(image, method, size, resized, start, crop):
    """Resize without antialiasing; return the `crop` pixels that begin at `start`, uint8."""
    taps = _area_taps if method == "area" else _bilinear_taps
    rows, columns = (
        taps(old, new, begin, length)
        for old, new, begin, length in zip(size, resized, start, crop, strict=True)
    )
    if method == "bilinear":
        image = _interpolate(_interpolate(image, 1, *columns), 0, *rows)
        return np.rint(image).astype("uint8")
    image = _weighted_sum(_weighted_sum(image, 1, *columns), 0, *rows)
    cell_height, cell_width = size.astype("float32") / resized.astype("float32")
    image *= np.float32(1 / float(cell_height * cell_width))
    return np.minimum(image, 255).astype("uint8")  # big_vision casts, which rounds down


def resize_like_pillow(xp, image, method, size, resized, start, crop):
    """Resize with antialiasing; return the `crop` pixels that begin at `start`, uint8."""
    radius, f = {"bilinear": (1, _triangle), "bicubic": (2, _cubic)}[method]
    image = cast(xp, image, "float64")
    for axis in (1, 0):
        i = np.arange(crop[axis])[:, None] + cast(xp, start[axis], "float64")
        j = cast(xp, (np.arange if xp is np else xp.range)(size[axis]), "float64")
        s = size[axis] / resized[axis]
        c, widening = (i + 0.5) * s, xp.maximum(s, 1.0)
        first, last = (xp.floor(c + side * radius * widening + 0.5) for side in (-1, 1))
        weight = f(xp, (j + 0.5 - c) / widening)
        weight = xp.where((first <= j) & (j < last), weight, 0.0)  # (new, old)
        weight = weight / xp.einsum("ij->i", weight)[:, None] * 2**22
        weight = xp.sign(weight) * xp.floor(xp.abs(weight) + 0.5)
        # (old height, old width, 3), (width, old height, 3), (height, width, 3)
        image = xp.tensordot(weight, image, ((1,), (1,)))
        image = xp.minimum(xp.maximum(xp.floor(image / 2**22 + 0.5), 0.0), 255.0)
    return cast(xp, image, "uint8")


def _triangle(xp, x):
    return xp.maximum(1 - xp.abs(x), 0.0)


def _cubic(xp, x):
    x = xp.abs(x)
    return xp.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2)


def _area_taps(old, new, begin, number):
    """Return the input pixels that overlap and the lengths, both of shape `(number, taps)`."""
    s = np.float32(old) / np.float32(new)
    i = np.arange(begin, begin + number, dtype="float32")[:, None]
    left, right = i * s, (i + 1) * s
    first = np.floor(left)
    j = first + np.arange((np.ceil(right) - first).max(), dtype="float32")
    length = np.maximum(np.minimum(j + 1, right) - np.maximum(j, left), 0)
    length = np.where((j < left) & (j + 1 > right), s, length)  # i lies inside j
    return np.minimum(j, old - 1).astype(int), length


def _bilinear_taps(old, new, begin, number):
    """Return the two nearest input pixels and their weights, both of shape `(number, 2)`."""
    s = np.float32(old) / np.float32(new)
    c = (
        np.arange(begin, begin + number, dtype="float32")[:, None] + np.float32(0.5)
    ) * s - np.float32(0.5)
    j = np.floor(c) + np.arange(2, dtype="float32")
    return np.clip(j, 0, old - 1).astype(int), 1 - np.abs(j - c)


def _weighted_sum(image, axis, at, weight):
    weight = weight.reshape(*weight.shape, *(1,) * (2 - axis))  # (new, taps, 1) or one 1 more
    return sum(image.take(at[:, k], axis) * weight[:, k] for k in range(at.shape[1]))


def _interpolate(image, axis, at, weight):
    near, far = (np.float32(image.take(at[:, k], axis)) for k in (0, 1))
    return near + (far - near) * weight[:, 1].reshape(-1, *(1,) * (2 - axis))
