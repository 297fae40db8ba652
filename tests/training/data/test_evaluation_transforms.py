"""The evaluation transforms of photographs, compared with NumPy: matrices of weights."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from training.config import Data
from training.data.decode import Encoded
from training.data.pipeline import evaluation_batches
from training.data.source import Source
from training.data.splits import IndexedSplit

pytestmark = pytest.mark.backend("torch")  # tf.data does this under every backend

PHOTOS = load_sample_images().images  # two of 427 × 640
SIZES = [(427, 640), (426, 299), (225, 640), (101, 57), (17, 33), (1, 1), (3, 400)]


def area(old, new):
    """Each new pixel is the mean of the area that it covers."""
    edges = np.arange(new + 1) * old / new
    left, right = edges[:-1, None], edges[1:, None]
    pixel = np.arange(old)
    return np.clip(np.minimum(right, pixel + 1) - np.maximum(left, pixel), 0, None)


def linear(old, new):
    """Each new pixel is interpolated from two old ones; pixel centers are at halves."""
    center = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.clip(1 - np.abs(center[:, None] - np.arange(old)), 0, None)


def filtered(kernel, radius):
    def weights(old, new):
        """The kernel is widened by the reduction, so that no pixel is skipped."""
        scale = max(old / new, 1)
        center = (np.arange(new) + 0.5) * old / new - 0.5
        distance = np.abs(center[:, None] - np.arange(old)) / scale
        return np.where(distance < radius, kernel(distance), 0)

    return weights


def cubic(x):
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, far)


def resized(image, size, weights, rounds_between):
    rows, columns = (weights(old, new) for old, new in zip(image.shape, size, strict=False))
    rows, columns = (w / w.sum(axis=1, keepdims=True) for w in (rows, columns))
    image = columns @ image.astype(float)  # (height, new width, channels)
    if rounds_between:
        image = np.clip(np.round(image), 0, 255)
    image = np.clip(np.tensordot(rows, image, 1), 0, 255)
    return np.floor(image + 1e-3) if weights is area else np.round(image)  # the authors truncate


def shorter_side(shape, goal):
    factor = goal / min(shape[:2])
    return round(shape[0] * factor), round(shape[1] * factor)


def shorter_side_down(shape, goal):
    """torchvision rounds the longer side down."""
    return tuple(goal * n // min(shape[:2]) for n in shape[:2])


# The size before the crop, the weights, and whether pixels are rounded between the two passes.
TRANSFORMS = {
    "resmall-crop": (lambda shape: shorter_side(shape, 256), area, False),
    "resize-crop": (lambda shape: (256, 256), area, False),
    "resize": (lambda shape: (224, 224), linear, False),
    "timm-bicubic": (lambda shape: shorter_side_down(shape, 256), filtered(cubic, 2), True),
    "timm-bilinear": (
        lambda shape: shorter_side_down(shape, 256),
        filtered(lambda x: 1 - x, 1),
        True,
    ),
}


def expected(image, name):
    size, weights, rounds_between = TRANSFORMS[name]
    image = resized(image, size(image.shape), weights, rounds_between)
    if name.startswith("timm"):  # half a pixel is rounded to even
        top, left = (round((n - 224) / 2) for n in image.shape[:2])
    else:
        top, left = ((n - 224) // 2 for n in image.shape[:2])
    return image[top : top + 224, left : left + 224]


def as_split(photos):
    buffers = [io.BytesIO() for _ in photos]
    for photo, buffer in zip(photos, buffers, strict=True):
        Image.fromarray(photo).save(buffer, "PNG")
    files = tf.constant([buffer.getvalue() for buffer in buffers])
    return IndexedSplit(
        np.zeros(len(photos), int), lambda index: Encoded(files[index], tf.constant(1))
    )


@pytest.mark.parametrize("name", TRANSFORMS)
def test_photographs_match_within_one_gray_level(name):
    photos = [PHOTOS[i % 2][:height, :width] for i, (height, width) in enumerate(SIZES)]
    split = as_split(photos)
    source = Source(("a", "b"), 3, split, split, split)
    data = Data(image_size=224, batch_size=len(photos), evaluation_transform=name)
    ((images, _, _),) = evaluation_batches(split, source, data)
    assert images.dtype == tf.uint8
    assert images.shape == (len(photos), 224, 224, 3)
    for image, photo in zip(images.numpy(), photos, strict=True):
        assert np.abs(image - expected(photo, name)).max() <= 1
