"""Random crops and flips: the statistics of many samples, and all kinds of files."""

import typing

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support.image_files import encode
from training.config import Data
from training.data import crop
from training.data.decode import Encoded, decode

pytestmark = pytest.mark.backend("torch")  # tf.data crops under every backend

SAMPLES = 2000


def encoded(pixels, kind, orientation=1):
    contents = encode(Image.fromarray(pixels), kind, subsampling=2)
    return Encoded(tf.constant(contents), tf.constant(orientation))


def map_seeds(function, count):
    """Return the results of a function for many seeds."""
    seeds = np.stack([np.arange(count), np.ones(count, int)], axis=1)
    dataset = tf.data.Dataset.from_tensor_slices(seeds).map(function, tf.data.AUTOTUNE)
    return np.stack(list(dataset.as_numpy_iterator()))


def sample_crops(pixels, data, count):
    """Return one image as cropped with many seeds."""
    image = tf.constant(pixels)
    return map_seeds(
        lambda seed: crop.prepare_training_image(image, data, pixels.shape[-1], seed), count
    )


def test_every_crop_of_the_configuration_is_implemented():
    names = typing.get_args(typing.get_type_hints(Data)["training_crop"])
    assert set(names) == set(crop.TRAINING_CROPS)


def test_areas_and_aspects_of_the_inception_crop():
    shape = tf.constant([400, 500, 3])
    windows = map_seeds(lambda seed: crop._random_window(shape, seed), SAMPLES)
    top, left, height, width = windows.T
    assert np.all((top >= 0) & (left >= 0) & (top + height <= 400) & (left + width <= 500))
    area, aspect = height * width / 200_000, width / height
    assert 0.045 < area.min() < 0.08 and area.max() > 0.9
    assert 0.73 < aspect.min() < 0.78 and 1.3 < aspect.max() < 1.36
    # The aspect is uniform, and so is the height between those of the least and largest area.
    rng = np.random.default_rng(0)
    ratio = rng.uniform(3 / 4, 4 / 3, 100_000)
    least, largest = (np.sqrt(share * 200_000 / ratio) for share in (0.05, 1.0))
    expected = rng.uniform(least, np.minimum(np.minimum(largest, 400), 500 / ratio))
    for share in (10, 50, 90):
        assert np.percentile(aspect, share) == pytest.approx(np.percentile(ratio, share), abs=0.03)
        height_quantile = np.percentile(expected, share)
        assert np.percentile(height, share) == pytest.approx(height_quantile, rel=0.06)


def test_half_of_the_images_are_flipped():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    images = sample_crops(pixels, Data(image_size=8, flip=True), SAMPLES)
    flipped = images[:, 0, 0, 0] == 7
    np.testing.assert_array_equal(images[flipped][0], pixels[:, ::-1])
    assert flipped.mean() == pytest.approx(0.5, abs=4 * 0.5 / SAMPLES**0.5)


def test_the_pad_crop_moves_the_image_by_at_most_an_eighth():
    pixels = np.zeros((16, 16, 1), np.uint8)
    pixels[8, 8] = 255
    images = sample_crops(pixels, Data(image_size=16, training_crop="pad"), 500)
    rows, columns = (np.where(images.any(axis=(axis, 3)))[1] for axis in (2, 1))
    assert set(rows) == set(columns) == set(range(6, 11))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("name", crop.TRAINING_CROPS)
def test_files_of_every_format_and_crop(kind, name):
    pixels = np.full((40, 60, 3), 200, np.uint8)
    data = Data(image_size=16, training_crop=name)
    image = encoded(pixels, kind)
    for channels in (1, 3):
        result = crop.prepare_training_image(image, data, channels, (0, 1))
        assert (result.shape, result.dtype) == ((16, 16, channels), tf.uint8)
        inner = result.numpy()[4:-4, 4:-4].astype(int)
        assert np.abs(inner - 200).max() <= 3
        prepared = tf.function(crop.prepare_evaluation_image)(image, data, channels)
        assert prepared.shape == (16, 16, channels)


def test_the_fused_crop_of_a_jpeg_is_the_crop_of_the_whole_image():
    """Decoding only the window gives the pixels of decoding the image and cutting the window."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (10, 15, 3)).astype("uint8"))
    pixels = np.asarray(small.resize((150, 100), Image.Resampling.BICUBIC))
    image = encoded(pixels, "JPEG")
    whole = decode(image, 3)
    for i in range(5):
        fused = crop._inception_crop(image, 32, 3, (i, 0))
        cut = crop._inception_crop(whole, 32, 3, (i, 0))
        assert np.abs(fused.numpy().astype(int) - cut.numpy()).max() <= 12
        assert np.abs(fused.numpy().astype(int) - cut.numpy()).mean() < 1


@pytest.mark.parametrize("shape", [(37, 61, 3), (224, 300, 3), (50, 20, 1)])
def test_resizing_from_floats_equals_resizing_from_bytes_and_stays_in_range(shape):
    pixels = np.random.default_rng(0).choice([0, 1, 127, 254, 255], shape).astype("uint8")
    exact = tf.image.resize(pixels, (100, 100)).numpy()
    np.testing.assert_array_equal(crop._resize(tf.constant(pixels), 100), exact.round())
    white = tf.fill(shape, tf.constant(255, tf.uint8))
    assert np.all(crop._resize(white, 100).numpy() == 255)


@pytest.mark.parametrize("name", crop.TRAINING_CROPS)
def test_images_of_one_pixel(name):
    data = Data(image_size=8, training_crop=name, flip=True)
    pixels = np.full((1, 1, 3), 200, np.uint8)
    for image in (tf.constant(pixels), encoded(pixels, "JPEG"), encoded(pixels, "PNG")):
        for prepared in (
            tf.function(crop.prepare_training_image)(image, data, 3, (0, 1)),
            tf.function(crop.prepare_evaluation_image)(image, data, 3),
        ):
            assert np.abs(prepared[2:-2, 2:-2].numpy().astype(int) - 200).max() <= 2


def test_crops_of_rotated_photos_are_upright():
    """The left half of the file is black; displayed, this is the upper half."""
    pixels = np.full((200, 200, 3), 255, np.uint8)
    pixels[:, :100] = 0
    photo = encoded(pixels, "JPEG", orientation=6)
    data = Data(image_size=32, training_crop="inception")
    sample = tf.function(lambda seed: crop.prepare_training_image(photo, data, 3, (seed, 0)))
    for seed in range(20):
        rows = sample(tf.constant(seed)).numpy()[..., 0].mean(axis=1)
        assert np.all(np.diff(rows) >= -1)  # never darker further down
