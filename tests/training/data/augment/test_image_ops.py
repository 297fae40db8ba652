"""Image operations, compared with Pillow, NumPy, SciPy and colorsys."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFilter, ImageOps
from scipy import ndimage

from tests.support import pixels
from tests.support.pixels import GRAY_PHOTO, PHOTO
from training.data.augment import geometry, image_ops

torch_only = pytest.mark.backend("torch")  # operations without layers of keras-cv

PILLOW = Image.fromarray(PHOTO)
FACTORS = [0.0, 0.28, 1.0, 1.9, 2.8]

EVERY_OPERATION = {
    "autocontrast": image_ops.autocontrast,
    "equalize": image_ops.equalize,
    "invert": image_ops.invert,
    "posterize": lambda image: image_ops.posterize(image, 3),
    "solarize": lambda image: image_ops.solarize(image, 100),
    "solarize_add": lambda image: image_ops.solarize_add(image, 60),
    "color": lambda image: image_ops.color(image, 1.9),
    "contrast": lambda image: image_ops.contrast(image, 1.9),
    "brightness": lambda image: image_ops.brightness(image, 1.9),
    "sharpness": lambda image: image_ops.sharpness(image, 1.9),
    "hue": lambda image: image_ops.hue(image, 0.2),
    "rotate": lambda image: geometry.rotate(image, 20, 128, "nearest"),
    "shear_x": lambda image: geometry.shear_x(image, 0.2, 0, "bilinear"),
    "shear_y": lambda image: geometry.shear_y(image, 0.2, 0, "bilinear"),
    "translate_x": lambda image: geometry.translate_x(image, 2, 128, "nearest"),
    "translate_y": lambda image: geometry.translate_y(image, 2, 128, "nearest"),
    "cutout": lambda image: image_ops.cutout(image, (0, 0), 2),
}
DEGENERATE = {
    "one pixel": PHOTO[:1, :1],
    "one row": PHOTO[:1],
    "constant": np.full((8, 9, 3), 77, np.uint8),
    "black": np.zeros((8, 9, 3), np.uint8),
    "white": np.full((8, 9, 3), 255, np.uint8),
    "gray": GRAY_PHOTO[:20, :30],
    "one gray pixel": GRAY_PHOTO[:1, :1],
}


def assert_equal(image, expected):
    assert image.dtype == tf.uint8
    np.testing.assert_array_equal(image, expected)


def assert_within(levels, image, expected):
    assert image.dtype == tf.uint8
    assert np.abs(np.asarray(image, int) - np.asarray(expected, int)).max() <= levels


@pytest.mark.parametrize("name", EVERY_OPERATION)
@pytest.mark.parametrize("kind", DEGENERATE)
def test_shape_and_dtype_of_degenerate_images(name, kind):
    image = DEGENERATE[kind]
    result = EVERY_OPERATION[name](tf.constant(image))
    assert (result.shape, result.dtype) == (image.shape, tf.uint8)


@pytest.mark.parametrize("name", EVERY_OPERATION)
def test_a_pipeline_and_an_eager_call_agree(name):
    """The eager call comes before and after, since both use the cached layers of keras-cv."""
    operation = EVERY_OPERATION[name]
    before = operation(tf.constant(PHOTO))
    (mapped,) = tf.data.Dataset.from_tensors(PHOTO).map(operation)
    assert_equal(mapped, before)
    assert_equal(operation(tf.constant(PHOTO)), before)


@pytest.mark.parametrize("kind", ["constant", "black", "white"])
@pytest.mark.parametrize("name", ["autocontrast", "equalize", "sharpness", "contrast"])
def test_constant_images_are_unchanged(name, kind):
    assert_equal(EVERY_OPERATION[name](tf.constant(DEGENERATE[kind])), DEGENERATE[kind])


def test_one_channel_may_be_constant():
    image = PHOTO.copy()
    image[..., 1] = 40
    for operation in (image_ops.autocontrast, image_ops.equalize):
        result = operation(tf.constant(image)).numpy()
        assert np.all(result[..., 1] == 40)
        assert (result[..., 0].min(), result[..., 0].max()) == (0, 255)


def test_autocontrast():
    dull = PHOTO // 3 + 40
    assert_equal(image_ops.autocontrast(tf.constant(dull)), pixels.autocontrast(dull))
    assert_within(
        1, image_ops.autocontrast(tf.constant(dull)), ImageOps.autocontrast(Image.fromarray(dull))
    )


@torch_only
def test_equalize_matches_pillow():
    bright = np.minimum(PHOTO.astype(int) * 2, 255).astype("uint8")  # the last bin is full
    for image in (PHOTO, PHOTO // 3 + 40, bright, PHOTO[:11, :7]):
        assert_equal(
            image_ops.equalize(tf.constant(image)), ImageOps.equalize(Image.fromarray(image))
        )
    expected = ImageOps.equalize(Image.fromarray(GRAY_PHOTO[..., 0]))
    assert_equal(image_ops.equalize(tf.constant(GRAY_PHOTO))[..., 0], expected)


@torch_only
def test_invert_matches_pillow():
    assert_equal(image_ops.invert(tf.constant(PHOTO)), ImageOps.invert(PILLOW))


@torch_only
@pytest.mark.parametrize("bits", [1, 4, 6, 8])
def test_posterize_matches_pillow(bits):
    for given in (bits, tf.constant(bits)):
        assert_equal(
            image_ops.posterize(tf.constant(PHOTO), given), ImageOps.posterize(PILLOW, bits)
        )


@torch_only
@pytest.mark.parametrize("threshold", [0, 1, 128, 255, 256, 384])
def test_solarize_matches_pillow(threshold):
    for given in (threshold, tf.constant(threshold)):
        result = image_ops.solarize(tf.constant(PHOTO), given)
        assert_equal(result, ImageOps.solarize(PILLOW, threshold))


@torch_only
@pytest.mark.parametrize("addition", [0, 110, 165, 300])
def test_solarize_add(addition):
    expected = np.where(PHOTO < 128, np.minimum(PHOTO.astype(int) + addition, 255), PHOTO)
    assert_equal(image_ops.solarize_add(tf.constant(PHOTO), addition), expected)


@torch_only
@pytest.mark.parametrize("factor", FACTORS)
def test_color(factor):
    result = image_ops.color(tf.constant(PHOTO), factor)
    # Rounding may move the sum of the colors across an integer.
    assert pixels.share_that_differs(result, pixels.blend(pixels.gray(PHOTO), PHOTO, factor)) < 1e-3
    if factor <= 1:
        assert_within(
            1, result, pixels.blend(np.asarray(PILLOW.convert("L"))[..., None], PHOTO, factor)
        )


@torch_only
@pytest.mark.parametrize("factor", FACTORS)
def test_contrast_brightness_and_sharpness(factor):
    image = tf.constant(PHOTO)
    assert_equal(image_ops.brightness(image, factor), pixels.blend(0, PHOTO, factor))
    assert_equal(image_ops.contrast(image, factor, 196), pixels.blend(196, PHOTO, factor))
    assert_equal(
        image_ops.sharpness(image, factor), pixels.blend(pixels.smooth(PHOTO), PHOTO, factor)
    )
    mean = np.asarray(PILLOW.convert("L")).mean()
    assert_within(2, image_ops.contrast(image, factor), pixels.blend(mean, PHOTO, factor))


@torch_only
def test_the_smooth_image_matches_pillow_within_one_level():
    assert_within(
        1, image_ops.sharpness(tf.constant(PHOTO), 0.0), PILLOW.filter(ImageFilter.SMOOTH)
    )


@pytest.mark.parametrize("shift", [-0.5, -0.1, 0.0, 0.05, 0.4])
def test_hue_matches_colorsys_within_one_level(shift):
    sample = PHOTO[::16, ::16]
    expected = np.zeros(sample.shape)
    for pixel in np.ndindex(sample.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(sample[pixel] / 255))
        shifted = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        expected[pixel] = np.round(np.multiply(255, shifted))
    assert_within(1, image_ops.hue(tf.constant(sample), shift), expected)


MATRICES = {
    "rotate": (
        lambda image, *sampling: geometry.rotate(image, 33.0, *sampling),
        pixels.rotation(33.0, (96, 128)),
    ),
    "shear_x": (
        lambda image, *sampling: geometry.shear_x(image, -0.31, *sampling),
        np.array([[1, -0.31, 0], [0, 1, 0]]),
    ),
    "shear_y": (
        lambda image, *sampling: geometry.shear_y(image, 0.31, *sampling),
        np.array([[1, 0, 0], [0.31, 1, 0]]),
    ),
    "translate_x": (
        lambda image, *sampling: geometry.translate_x(image, 10.3, *sampling),
        np.array([[1, 0, -10.3], [0, 1, 0]]),
    ),
    "translate_y": (
        lambda image, *sampling: geometry.translate_y(image, -20.7, *sampling),
        np.array([[1, 0, 0], [0, 1, 20.7]]),
    ),
}


@torch_only
@pytest.mark.parametrize("name", MATRICES)
def test_nearest_geometry(name):
    operation, matrix = MATRICES[name]
    image = PHOTO[:96, :128]
    result = operation(tf.constant(image), 128, "nearest")
    # Rounding may choose either of two equally near pixels.
    assert pixels.share_that_differs(result, pixels.nearest(image, matrix, 128)) < 1e-3


@torch_only
@pytest.mark.parametrize("name", MATRICES)
def test_bilinear_geometry_matches_scipy_within_one_level(name):
    operation, matrix = MATRICES[name]
    image = PHOTO[:96, :128]
    # SciPy has rows first.
    rows_first = np.array([[matrix[1, 1], matrix[1, 0]], [matrix[0, 1], matrix[0, 0]]])
    expected = [
        ndimage.affine_transform(
            channel.astype(float),
            rows_first,
            matrix[1::-1, 2],
            order=1,
            mode="grid-constant",
            cval=50,
        )
        for channel in np.moveaxis(image, -1, 0)
    ]
    assert_within(
        1, operation(tf.constant(image), 50, "bilinear"), np.round(np.stack(expected, axis=-1))
    )


@torch_only
@pytest.mark.parametrize(
    "center, side", [((50, 60), 20), ((0, 0), 30), ((95, 127), 9), ((3, 90), 0)]
)
def test_cutout(center, side):
    image = PHOTO[:96, :128]
    expected = pixels.covered(image, center[0] - side // 2, center[1] - side // 2, side, side)
    assert_equal(image_ops.cutout(tf.constant(image), tf.constant(center), side), expected)
