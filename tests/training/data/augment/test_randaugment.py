"""RandAugment: its operations at published magnitudes, and the statistics of many samples."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tests.support import pixels
from tests.support.pixels import GRAY_PHOTO, PHOTO
from training.data.augment import randaugment
from training.data.augment.randaugment import NUM_OPERATIONS

# TensorFlow augments under every backend.
pytestmark = [pytest.mark.backend("torch"), pytest.mark.long]

SAMPLES = 6000
CENTER = (200, 7)
PILLOW = Image.fromarray(PHOTO)

# name: (magnitude, sign) → the image, of size 224, with the published numbers
EXPECTED = {
    "AutoContrast": lambda m, sign: pixels.autocontrast(PHOTO),
    "Equalize": lambda m, sign: np.asarray(ImageOps.equalize(PILLOW)),
    "Invert": lambda m, sign: 255 - PHOTO,
    "Rotate": lambda m, sign: pixels.nearest(
        PHOTO, pixels.rotation(sign * {10: 30, 15: 45}[m], PHOTO.shape), 128
    ),
    "Posterize": lambda m, sign: PHOTO & {10: 0b11110000, 15: 0b11111100}[m],
    "Solarize": lambda m, sign: PHOTO,
    "Color": lambda m, sign: pixels.blend(pixels.gray(PHOTO), PHOTO, {10: 1.9, 15: 2.8}[m]),
    "Contrast": lambda m, sign: pixels.blend(196, PHOTO, {10: 1.9, 15: 2.8}[m]),
    "Brightness": lambda m, sign: pixels.blend(0, PHOTO, {10: 1.9, 15: 2.8}[m]),
    "Sharpness": lambda m, sign: pixels.blend(pixels.smooth(PHOTO), PHOTO, {10: 1.9, 15: 2.8}[m]),
    "ShearX": lambda m, sign: pixels.nearest(
        PHOTO, np.array([[1, sign * {10: 0.3, 15: 0.45}[m], 0], [0, 1, 0]]), 128
    ),
    "ShearY": lambda m, sign: pixels.nearest(
        PHOTO, np.array([[1, 0, 0], [sign * {10: 0.3, 15: 0.45}[m], 1, 0]]), 128
    ),
    "TranslateX": lambda m, sign: pixels.nearest(
        PHOTO, np.array([[1, 0, -sign * {10: 100, 15: 150}[m]], [0, 1, 0]]), 128
    ),
    "TranslateY": lambda m, sign: pixels.nearest(
        PHOTO, np.array([[1, 0, 0], [0, 1, -sign * {10: 100, 15: 150}[m]]]), 128
    ),
    "Cutout": lambda m, sign: pixels.covered(
        PHOTO, *{10: (160, -33, 80, 80), 15: (140, -53, 120, 120)}[m]
    ),
    "SolarizeAdd": lambda m, sign: np.where(
        PHOTO < 128, np.minimum(PHOTO.astype(int) + {10: 110, 15: 165}[m], 255), PHOTO
    ),
}
# Operations in which rounding may change a value; all others agree exactly.
ROUNDED = ("Rotate", "Color", "ShearX", "ShearY")


def augment_with_seeds(seeds, magnitude=10.0, num_layers=1, image=PHOTO[:32, :32]):
    dataset = tf.data.Dataset.from_tensor_slices(seeds).map(
        lambda seed: randaugment.randaugment(tf.constant(image), magnitude, num_layers, seed),
        tf.data.AUTOTUNE,
    )
    return np.stack(list(dataset.as_numpy_iterator()))


def many_seeds():
    return np.stack([np.arange(SAMPLES), np.full(SAMPLES, 5)], axis=1)


def test_there_are_sixteen_operations():
    operations = randaugment.operations(tf.constant(PHOTO), 10, 1.0, CENTER)
    assert list(operations) == list(EXPECTED)
    assert len(operations) == NUM_OPERATIONS


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("magnitude", [10, 15])
@pytest.mark.parametrize("name", EXPECTED)
def test_operations_match_numpy(name, magnitude, sign):
    operations = randaugment.operations(tf.constant(PHOTO), magnitude, tf.constant(sign), CENTER)
    result = operations[name]()
    assert result.dtype == tf.uint8
    differs = pixels.share_that_differs(result, EXPECTED[name](magnitude, sign))
    assert differs < 5e-3 if name in ROUNDED else differs == 0


def test_small_and_large_magnitudes():
    def at(name, magnitude):
        image = tf.constant(PHOTO)
        return randaugment.operations(image, magnitude, 1.0, CENTER)[name]().numpy()

    np.testing.assert_array_equal(at("Posterize", 1), PHOTO & 0b10000000)
    np.testing.assert_array_equal(at("Posterize", 30), PHOTO)
    np.testing.assert_array_equal(at("Solarize", 5), np.where(PHOTO < 128, PHOTO, 255 - PHOTO))
    np.testing.assert_array_equal(at("SolarizeAdd", 30), np.where(PHOTO < 128, 255, PHOTO))
    np.testing.assert_array_equal(at("TranslateX", 30), np.full_like(PHOTO, 128))


def test_lengths_scale_with_the_image():
    """An image of a quarter of 224 moves by a quarter of the pixels."""
    operations = randaugment.operations(tf.constant(PHOTO[:56, :56]), 10, 1.0, (28, 28))
    moved = operations["TranslateX"]().numpy()
    np.testing.assert_array_equal(moved[:, 25:], PHOTO[:56, :31])
    assert np.all(moved[:, :25] == 128)
    np.testing.assert_array_equal(
        operations["Cutout"](), pixels.covered(PHOTO[:56, :56], 18, 18, 20, 20)
    )


def test_operations_signs_and_centers_are_uniform(monkeypatch):
    def record(image, magnitude, sign, center):
        rest = tf.one_hot(0, 29, dtype=tf.int32) * tf.cast(sign > 0, tf.int32)
        return {
            i: lambda i=i: tf.concat([[i], center, rest], axis=0) for i in range(NUM_OPERATIONS)
        }

    monkeypatch.setattr(randaugment, "operations", record)
    records = augment_with_seeds(many_seeds(), image=np.zeros(32, np.int32))
    choices, rows, columns, signs = records[:, :4].T
    for values, count in [(choices, NUM_OPERATIONS), (signs, 2), (rows, 32), (columns, 32)]:
        rates = np.bincount(values, minlength=count) / SAMPLES
        assert len(rates) == count
        np.testing.assert_allclose(rates, 1 / count, atol=4 * (1 / count / SAMPLES) ** 0.5)
    # They are independent.
    correlations = np.corrcoef([choices, signs, rows, columns]) - np.eye(4)
    assert np.abs(correlations).max() < 4 / SAMPLES**0.5


def test_layers_sample_independently(monkeypatch):
    """Each layer appends a digit, and all pairs of digits are equally frequent."""
    monkeypatch.setattr(
        randaugment,
        "operations",
        lambda image, *_: {
            i: lambda i=i: 16 * image + tf.constant(i, tf.uint8) for i in range(NUM_OPERATIONS)
        },
    )
    pairs = augment_with_seeds(
        many_seeds(), num_layers=2, image=np.zeros((1, 1, 1), np.uint8)
    ).ravel()
    rates = np.bincount(pairs, minlength=256) / SAMPLES
    np.testing.assert_allclose(rates, 1 / 256, atol=4.5 * (1 / 256 / SAMPLES) ** 0.5)


def test_magnitude_zero_is_the_identity():
    np.testing.assert_array_equal(augment_with_seeds([(0, 1)], magnitude=0)[0], PHOTO[:32, :32])


@pytest.mark.parametrize("image", [PHOTO[:32, :32], GRAY_PHOTO[:32, :32]])
def test_the_seed_determines_the_image(image):
    seeds = [(i, 0) for i in range(40)]
    images = augment_with_seeds(seeds, 15.0, 2, image)
    np.testing.assert_array_equal(images, augment_with_seeds(seeds, 15.0, 2, image))
    np.testing.assert_array_equal(images[30:], augment_with_seeds(seeds[30:], 15.0, 2, image))
    assert len(np.unique(images.reshape(40, -1), axis=0)) > 30
