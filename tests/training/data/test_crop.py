"""Random crops and flips, by their statistics over many draws."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from training.config import Data
from training.data import crop
from training.data.splits import Encoded

pytestmark = pytest.mark.backend("tensorflow")  # tf.data alone does this

DRAWS = 2000


def encoded(pixels, kind, orientation=1):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=100)
    return Encoded(tf.constant(buffer.getvalue()), tf.constant(orientation))


def windows(shape):
    seeds = tf.stack([tf.range(DRAWS), tf.zeros(DRAWS, tf.int32)], axis=1)
    return tf.map_fn(lambda seed: crop._random_window(tf.constant(shape), seed), seeds).numpy()


def test_areas_and_aspects_of_the_inception_crop():
    top, left, height, width = windows([400, 500, 3]).T
    assert np.all((top >= 0) & (left >= 0) & (top + height <= 400) & (left + width <= 500))
    area, aspect = height * width / 200_000, width / height
    assert 0.045 < area.min() < 0.08 and area.max() > 0.9
    assert 0.73 < aspect.min() < 0.78 and 1.3 < aspect.max() < 1.36
    # The aspect is uniform, and so is the height between those of the least and largest area.
    rng = np.random.default_rng(0)
    ratio = rng.uniform(3 / 4, 4 / 3, 100_000)
    least, largest = (np.sqrt(share * 200_000 / ratio) for share in (0.05, 1.0))
    drawn = rng.uniform(least, np.minimum(np.minimum(largest, 400), 500 / ratio))
    for share in (10, 50, 90):
        assert np.percentile(aspect, share) == pytest.approx(np.percentile(ratio, share), abs=0.03)
        assert np.percentile(height, share) == pytest.approx(np.percentile(drawn, share), rel=0.06)


def test_half_of_the_images_are_mirrored():
    data = Data(image_size=8, flip=True)
    image = tf.constant(np.arange(64, dtype=np.uint8).reshape(8, 8, 1))
    seeds = tf.stack([tf.range(DRAWS), tf.ones(DRAWS, tf.int32)], axis=1)
    drawn = tf.map_fn(
        lambda seed: crop.for_training(image, data, 1, seed), seeds, fn_output_signature=tf.uint8
    ).numpy()
    mirrored = drawn[:, 0, 0, 0] == 7
    np.testing.assert_array_equal(drawn[mirrored][0], image[:, ::-1])
    assert mirrored.mean() == pytest.approx(0.5, abs=4 * 0.5 / DRAWS**0.5)


def test_pad_crop_moves_the_image_by_at_most_an_eighth():
    data = Data(image_size=16, training_crop="pad")
    pixels = np.zeros((16, 16, 1), np.uint8)
    pixels[8, 8] = 255
    seeds = tf.stack([tf.range(500), tf.ones(500, tf.int32)], axis=1)
    drawn = tf.map_fn(
        lambda seed: crop.for_training(tf.constant(pixels), data, 1, seed),
        seeds,
        fn_output_signature=tf.uint8,
    ).numpy()
    rows, columns = (np.where(drawn.any(axis=(axis, 3)))[1] for axis in (2, 1))
    assert set(rows) == set(columns) == set(range(6, 11))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("crop", ["resize", "inception", "pad"])
def test_encoded_images_of_every_kind(kind, crop):
    pixels = np.full((40, 60, 3), 200, np.uint8)
    data = Data(image_size=16, training_crop=crop)
    image = encoded(pixels, kind)
    result = crop.for_training(image, data, 3, (0, 1))
    assert (result.shape, result.dtype) == ((16, 16, 3), tf.uint8)
    inner = result.numpy()[4:-4, 4:-4].astype(int)
    assert np.abs(inner - 200).max() <= 3
    for channels in (1, 3) if kind in ("JPEG", "PNG") else (3,):
        prepared = tf.function(crop.for_evaluation)(image, data, channels)
        assert prepared.shape == (16, 16, channels)


def test_the_part_of_a_jpeg_is_that_of_the_whole_image():
    """Decoding the part alone gives the pixels that decoding all and cutting gives."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (10, 15, 3)).astype("uint8"))
    pixels = np.asarray(small.resize((150, 100), Image.Resampling.BICUBIC))
    image = encoded(pixels, "JPEG")
    whole = crop.decode(image, 3)
    for i in range(5):
        fused = crop._inception_crop(image, 32, 3, (i, 0))
        cut = crop._inception_crop(whole, 32, 3, (i, 0))
        assert np.abs(fused.numpy().astype(int) - cut.numpy()).max() <= 12
        assert np.abs(fused.numpy().astype(int) - cut.numpy()).mean() < 1


@pytest.mark.parametrize("shape", [(37, 61, 3), (224, 300, 3), (50, 20, 1)])
def test_resizing_from_floats_is_resizing_from_bytes_with_nothing_out_of_range(shape):
    pixels = np.random.default_rng(0).choice([0, 1, 127, 254, 255], shape).astype("uint8")
    exact = tf.image.resize(pixels, (100, 100)).numpy()
    np.testing.assert_array_equal(crop._resize(tf.constant(pixels), 100), exact.round())
    white = tf.fill(shape, tf.constant(255, tf.uint8))
    assert np.all(crop._resize(white, 100).numpy() == 255)


@pytest.mark.parametrize("crop", ["resize", "inception", "pad"])
def test_one_pixel_is_enough(crop):
    data = Data(image_size=8, training_crop=crop, flip=True)
    pixels = np.full((1, 1, 3), 200, np.uint8)
    for image in (tf.constant(pixels), encoded(pixels, "JPEG"), encoded(pixels, "PNG")):
        for prepared in (
            tf.function(crop.for_training)(image, data, 3, (0, 1)),
            tf.function(crop.for_evaluation)(image, data, 3),
        ):
            assert np.abs(prepared[2:-2, 2:-2].numpy().astype(int) - 200).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(orientation):
    """By Pillow's own reading of the tag."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype("uint8")
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    upright = tf.function(crop.decode)(encoded(pixels, "PNG", orientation), 3)
    np.testing.assert_array_equal(upright, expected)


def test_crops_of_turned_photos_are_upright():
    """The left half of the file is black; turned by a quarter, that is the upper half."""
    pixels = np.full((200, 200, 3), 255, np.uint8)
    pixels[:, :100] = 0
    photo = encoded(pixels, "JPEG", orientation=6)
    data = Data(image_size=32, training_crop="inception")
    draw = tf.function(lambda seed: crop.for_training(photo, data, 3, (seed, 0)))
    for seed in range(20):
        rows = draw(tf.constant(seed)).numpy()[..., 0].mean(axis=1)
        assert np.all(np.diff(rows) >= -1)  # never darker further down
