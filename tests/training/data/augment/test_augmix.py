"""AugMix: its operations, and the statistics of many samples."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from scipy import ndimage

from tests.support import pixels
from tests.support.pixels import GRAY_PHOTO, PHOTO
from training.data.augment import augmix

# TensorFlow augments under every backend.
pytestmark = [pytest.mark.backend("torch"), pytest.mark.long]

SAMPLES = 4000
SMALL = PHOTO[:60, :60]
PILLOW = Image.fromarray(SMALL)


def bilinear(matrix):
    rows_first = np.array([[matrix[1, 1], matrix[1, 0]], [matrix[0, 1], matrix[0, 0]]])
    channels = [
        ndimage.affine_transform(
            channel.astype(float), rows_first, matrix[1::-1, 2], order=1, mode="grid-constant"
        )
        for channel in np.moveaxis(SMALL, -1, 0)
    ]
    return np.round(np.stack(channels, axis=-1))


# With level 0.3, the largest of severity 3, and sign -1.
EXPECTED = {
    "AutoContrast": lambda: pixels.autocontrast(SMALL),
    "Equalize": lambda: np.asarray(ImageOps.equalize(PILLOW)),
    "Posterize": lambda: SMALL & 0b11100000,
    "Rotate": lambda: bilinear(pixels.rotation(-9, SMALL.shape)),
    "Solarize": lambda: np.asarray(ImageOps.solarize(PILLOW, 180)),
    "ShearX": lambda: bilinear(np.array([[1, -0.09, 0], [0, 1, 0]])),
    "ShearY": lambda: bilinear(np.array([[1, 0, 0], [-0.09, 1, 0]])),
    "TranslateX": lambda: bilinear(np.array([[1, 0, 6], [0, 1, 0]])),
    "TranslateY": lambda: bilinear(np.array([[1, 0, 0], [0, 1, 6]])),
}


def mapped(function, *slices):
    dataset = tf.data.Dataset.from_tensor_slices(slices).map(function, tf.data.AUTOTUNE)
    return np.stack(list(dataset.as_numpy_iterator()))


def seeds(count):
    return np.stack([np.arange(count), np.full(count, 3)], axis=1)


@pytest.mark.parametrize("name", EXPECTED)
def test_operations_match_numpy_and_scipy_within_one_level(name):
    operations = augmix.operations(tf.constant(SMALL), tf.constant(0.3), tf.constant(-1.0))
    assert list(operations) == list(EXPECTED)
    assert len(operations) == augmix.NUM_OPERATIONS
    result = operations[name]()
    assert result.dtype == tf.uint8
    assert np.abs(result.numpy().astype(int) - EXPECTED[name]()).max() <= 1


def test_posterize_keeps_one_bit_at_the_largest_level():
    result = augmix.operations(tf.constant(SMALL), tf.constant(1.0), 1.0)["Posterize"]()
    np.testing.assert_array_equal(result, SMALL & 0b10000000)


def test_operations_levels_and_signs_are_uniform(monkeypatch):
    def recorded(image, level, sign):
        return {
            i: lambda i=i: tf.stack([float(i), level, sign]) for i in range(augmix.NUM_OPERATIONS)
        }

    monkeypatch.setattr(augmix, "operations", recorded)

    def operation(seed):
        samples = tf.random.stateless_uniform((3,), seed)
        return augmix._operation(tf.zeros(3), 3.0, samples, active=True)

    choices, levels, signs = mapped(operation, seeds(SAMPLES)).T
    rates = np.bincount(choices.astype(int)) / SAMPLES
    assert len(rates) == 9
    np.testing.assert_allclose(rates, 1 / 9, atol=4 * (1 / 9 / SAMPLES) ** 0.5)
    assert np.mean(signs == 1) == pytest.approx(0.5, abs=4 * 0.5 / SAMPLES**0.5)
    assert set(signs) == {-1, 1}
    expected = np.quantile([0.01, 0.3], np.linspace(0, 1, 11))  # uniform
    np.testing.assert_allclose(np.quantile(levels, np.linspace(0, 1, 11)), expected, atol=0.01)


def test_chains_are_one_to_three_operations_long(monkeypatch):
    monkeypatch.setattr(
        augmix, "operations", lambda image, *_: dict.fromkeys(range(9), lambda: image + 1)
    )
    image = tf.zeros((1, 1, 1), tf.uint8)

    def depth(seed):
        samples = tf.random.stateless_uniform((1 + 3 * augmix.MAX_DEPTH,), seed)
        return augmix._chain(image, 3.0, samples)

    rates = np.bincount(mapped(depth, seeds(SAMPLES)).ravel()) / SAMPLES
    assert rates[0] == 0 and len(rates) == 4
    np.testing.assert_allclose(rates[1:], 1 / 3, atol=4 * (2 / 9 / SAMPLES) ** 0.5)


def test_shares_follow_beta_and_dirichlet(monkeypatch):
    """Compare quantiles with a sample from NumPy; the chains turn a black image white."""
    rng = np.random.default_rng(0)
    image = tf.zeros((1, 1, 1), tf.uint8)

    def mixed(seed):
        return augmix.augmix(image, 3.0, seed)

    quantiles = np.linspace(0.05, 0.95, 10)
    share = rng.random(200_000)
    one = tf.constant(255, tf.uint8, (1, 1, 1))
    monkeypatch.setattr(augmix, "_chain", lambda *_: one)
    np.testing.assert_allclose(
        np.quantile(mapped(mixed, seeds(2000)) / 255, quantiles),
        np.quantile(1 - share, quantiles),
        atol=0.04,
    )
    # Each chain turns white with probability 1/3, which shows the weights.
    monkeypatch.setattr(
        augmix,
        "_chain",
        lambda image, severity, samples: one * tf.cast(samples[0] < 1 / 3, tf.uint8),
    )
    white = rng.random((200_000, 3)) < 1 / 3
    expected = (1 - share) * (white * rng.dirichlet([1, 1, 1], 200_000)).sum(axis=1)
    np.testing.assert_allclose(
        np.quantile(mapped(mixed, seeds(2000)) / 255, quantiles),
        np.quantile(expected, quantiles),
        atol=0.04,
    )


@pytest.mark.parametrize("image", [SMALL, GRAY_PHOTO[:32, :32]])
def test_the_seed_determines_the_image(image):
    def mixed(seed):
        return augmix.augmix(tf.constant(image), 3.0, seed)

    images = mapped(mixed, seeds(40))
    assert (images.shape, images.dtype) == ((40, *image.shape), np.uint8)
    np.testing.assert_array_equal(images, mapped(mixed, seeds(40)))
    np.testing.assert_array_equal(images[30:], mapped(mixed, seeds(40)[30:]))
    assert len(np.unique(images.reshape(40, -1), axis=0)) == 40
    # The result is a mixture with the image, so the mean is close to it.
    assert np.abs(images.mean(axis=0) - image).mean() < 40
