"""A photograph, and NumPy implementations of image operations."""

import numpy as np
from sklearn.datasets import load_sample_images

PHOTO = np.ascontiguousarray(load_sample_images().images[0][100:324, 100:324])
GRAY_PHOTO = PHOTO[..., :1]


def blend(degenerate, image, factor):
    degenerate, image = np.float32(degenerate), np.float32(image)
    blended = degenerate + np.float32(factor) * (image - degenerate)
    return np.clip(blended, 0, 255).astype("uint8")


def autocontrast(image):
    """Stretch each channel to [0, 255]; none may be constant."""
    pixels = image.astype("float32")
    low, high = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
    scale = np.float32(255) / (high - low)
    return np.clip(pixels * scale - low * scale, 0, 255).astype("uint8")


def gray(image):
    weights = np.array([0.2989, 0.587, 0.114], "float32") / 255
    return (image @ weights * 255.5).astype("uint8")[..., None]


def smooth(image):
    """Smooth the image except for its border, truncated to integers."""
    pixels = image.astype(int)
    height, width = image.shape[:2]
    total = 4 * pixels[1:-1, 1:-1]
    for row in range(3):
        for column in range(3):
            total = total + pixels[row : height - 2 + row, column : width - 2 + column]
    result = image.copy()
    result[1:-1, 1:-1] = total // 13
    return result


def rotation(degrees, shape):
    """Return the matrix from (x, y, 1) of the result to that of the image, about the center."""
    x, y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    to_origin = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    rotate = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    return np.linalg.inv(to_origin) @ rotate @ to_origin


def nearest(image, matrix, fill):
    """Sample the nearest pixels, in float32, with halves rounded away from zero.

    The result of many shears depends on this rounding.
    """
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype("float32")
    (xx, xy, x0), (yx, yy, y0) = np.float32(matrix[:2])
    x, y = xx * x + xy * y + x0, yx * x + yy * y + y0
    x, y = (np.copysign(np.floor(np.abs(axis) + np.float32(0.5)), axis) for axis in (x, y))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    sampled = image[np.where(inside, y, 0).astype(int), np.where(inside, x, 0).astype(int)]
    return np.where(inside[..., None], sampled, np.uint8(fill))


def covered(image, top, left, height, width):
    """Cover a rectangle with gray; it may extend beyond the image."""
    result = image.copy()
    result[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 128
    return result


def share_that_differs(image, other):
    """Return the share of the values that differ between two images."""
    return np.mean(np.asarray(image) != other)
