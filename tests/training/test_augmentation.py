import numpy as np
import pytest
import tensorflow as tf

from training.config import Augmentation
from training.data.augmentation import augment

IMAGES = np.zeros((16, 8, 8, 1), "uint8")
IMAGES[:, 2:6, 3:5] = 255
LABELS = np.eye(4, dtype="float32")[np.arange(16) % 4]


def augmented(seed=0, **fields):
    dataset = tf.data.Dataset.from_tensors((IMAGES, LABELS))
    ((images, labels),) = augment(dataset, Augmentation(**fields), seed)
    return images.numpy(), labels.numpy()


def test_nothing_on_changes_nothing():
    images, labels = augmented()
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    "fields", [{"shift_fraction": 0.2}, {"rotation_degrees": 30}, {"zoom_fraction": 0.3}]
)
def test_geometry_changes_images_within_their_range_and_leaves_labels(fields):
    images, labels = augmented(**fields)
    assert images.dtype == np.float32
    assert images.shape == IMAGES.shape
    assert images.min() >= 0 and images.max() <= 255
    assert len(np.unique(images.reshape(16, -1), axis=0)) > 8  # each image in its own way
    np.testing.assert_array_equal(labels, LABELS)


def test_shifts_are_as_large_as_they_say():
    images, _ = augmented(shift_fraction=0.25)  # up to two pixels, along each axis
    rows, columns = images.any(axis=(2, 3)), images.any(axis=(1, 3))
    assert not rows[:, 0].all() and rows.any(axis=1).all()
    assert columns.argmax(axis=1).min() >= 1 and columns.argmax(axis=1).max() <= 5
    assert rows.argmax(axis=1).max() <= 4


def test_mixup_mixes_images_and_labels_alike():
    images = np.broadcast_to(np.arange(16)[:, None, None, None], (16, 8, 8, 1)).astype("uint8")
    labels = np.eye(16, dtype="float32")
    dataset = tf.data.Dataset.from_tensors((images, labels))
    ((mixed, soft),) = augment(dataset, Augmentation(mixup_alpha=1.0), seed=0)
    mixed, soft = mixed.numpy(), soft.numpy()
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], soft @ np.arange(16), rtol=1e-5)
    assert ((soft > 0).sum(axis=1) == 2).sum() > 8
