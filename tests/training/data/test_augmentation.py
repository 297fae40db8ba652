import numpy as np
import pytest
import tensorflow as tf

from training.config import Augmentation
from training.data.augmentation import augment, mixup

IMAGES = np.zeros((16, 8, 8, 1), "uint8")
IMAGES[:, 2:6, 3:5] = 255
LABELS = np.eye(4, dtype="float32")[np.arange(16) % 4]


def augmented(seed=0, **fields):
    dataset = tf.data.Dataset.from_tensors((tf.constant(0, tf.int64), IMAGES, LABELS))
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
    images = np.zeros((500, 8, 8, 1), "uint8")
    images[:, 2:6, 3:5] = 255
    step, labels = tf.constant(0, tf.int64), np.ones((500, 1), "float32")
    dataset = tf.data.Dataset.from_tensors((step, images, labels))
    ((shifted, _),) = augment(dataset, Augmentation(shift_fraction=0.25), seed=0)
    lit = shifted.numpy()[..., 0] > 127  # up to two pixels each way
    assert {rows.argmax() for rows in lit.any(axis=2)} == {0, 1, 2, 3, 4}
    assert {columns.argmax() for columns in lit.any(axis=1)} == {1, 2, 3, 4, 5}


def test_mixup_mixes_images_and_labels_alike():
    images = np.broadcast_to(np.arange(16)[:, None, None, None], (16, 8, 8, 1)).astype("uint8")
    labels = np.eye(16, dtype="float32")
    dataset = tf.data.Dataset.from_tensors((tf.constant(0, tf.int64), images, labels))
    ((mixed, soft),) = augment(dataset, Augmentation(mixup_alpha=1.0), seed=0)
    mixed, soft = mixed.numpy(), soft.numpy()
    share = soft[0, 0]
    assert 0.5 <= share < 1
    np.testing.assert_allclose(
        soft, share * labels + (1 - share) * np.roll(labels, 1, axis=0), atol=1e-6
    )
    np.testing.assert_allclose(mixed[:, 0, 0, 0], soft @ np.arange(16), rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.02, 0.2, 1.0, 4.0])
def test_the_shares_of_mixup_follow_the_beta_distribution(alpha):
    """E max(a, 1 - a) of a ~ Beta(p, p), by a plain sample of it."""
    image, labels = tf.zeros((2, 1, 1, 1)), tf.eye(2)
    shares = [float(mixup(image, labels, alpha, (0, i))[1][0, 0]) for i in range(1000)]
    sample = np.random.default_rng(0).beta(alpha, alpha, 100_000)
    expected = np.maximum(sample, 1 - sample)
    assert np.mean(shares) == pytest.approx(expected.mean(), abs=4 * expected.std() / 1000**0.5)
    assert np.std(shares) == pytest.approx(expected.std(), rel=0.3)


def test_the_seed_and_the_step_alone_decide():
    def at(step, seed=0):
        dataset = tf.data.Dataset.from_tensors((tf.constant(step, tf.int64), IMAGES, LABELS))
        everything = Augmentation(0.2, 30, 0.3, 0.4)
        ((images, _),) = augment(dataset, everything, seed)
        return images.numpy()

    np.testing.assert_array_equal(at(7), at(7))
    assert not np.array_equal(at(7), at(8))
    assert not np.array_equal(at(7), at(7, seed=1))
