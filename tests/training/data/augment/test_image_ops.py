import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFilter, ImageOps
from scipy import ndimage

from tests.support import pixels
from tests.support.pixels import GREY_PHOTO, PHOTO
from training.data.augment import geometry, image_ops

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
    "grey": GREY_PHOTO[:20, :30],
    "one grey pixel": GREY_PHOTO[:1, :1],
}


def same(image, expected):
    assert image.dtype == tf.uint8
    np.testing.assert_array_equal(image, expected)


def within(levels, image, expected):
    assert image.dtype == tf.uint8
    assert np.abs(np.asarray(image, int) - np.asarray(expected, int)).max() <= levels


@pytest.mark.parametrize("name", EVERY_OPERATION)
@pytest.mark.parametrize("kind", DEGENERATE)
def test_shape_and_type_of_degenerate_images(name, kind):
    image = DEGENERATE[kind]
    result = EVERY_OPERATION[name](tf.constant(image))
    assert (result.shape, result.dtype) == (image.shape, tf.uint8)


@pytest.mark.parametrize("name", EVERY_OPERATION)
def test_a_pipeline_gives_what_a_call_gives(name):
    """Before and after, so that what is kept of keras-cv serves both."""
    operation = EVERY_OPERATION[name]
    before = operation(tf.constant(PHOTO))
    (mapped,) = tf.data.Dataset.from_tensors(PHOTO).map(operation)
    same(mapped, before)
    same(operation(tf.constant(PHOTO)), before)


@pytest.mark.parametrize("kind", ["constant", "black", "white"])
@pytest.mark.parametrize("name", ["autocontrast", "equalize", "sharpness", "contrast"])
def test_constant_images_stay_as_they_are(name, kind):
    same(EVERY_OPERATION[name](tf.constant(DEGENERATE[kind])), DEGENERATE[kind])


def test_one_channel_may_be_constant():
    image = PHOTO.copy()
    image[..., 1] = 40
    for operation in (image_ops.autocontrast, image_ops.equalize):
        result = operation(tf.constant(image)).numpy()
        assert np.all(result[..., 1] == 40)
        assert (result[..., 0].min(), result[..., 0].max()) == (0, 255)


def test_autocontrast():
    dull = PHOTO // 3 + 40
    same(image_ops.autocontrast(tf.constant(dull)), pixels.autocontrast(dull))
    within(
        1, image_ops.autocontrast(tf.constant(dull)), ImageOps.autocontrast(Image.fromarray(dull))
    )


def test_equalize_is_pillow_s():
    bright = np.minimum(PHOTO.astype(int) * 2, 255).astype("uint8")  # the last bin is full
    for image in (PHOTO, PHOTO // 3 + 40, bright, PHOTO[:11, :7]):
        same(image_ops.equalize(tf.constant(image)), ImageOps.equalize(Image.fromarray(image)))
    expected = ImageOps.equalize(Image.fromarray(GREY_PHOTO[..., 0]))
    same(image_ops.equalize(tf.constant(GREY_PHOTO))[..., 0], expected)


def test_invert_is_pillow_s():
    same(image_ops.invert(tf.constant(PHOTO)), ImageOps.invert(PILLOW))


@pytest.mark.parametrize("bits", [1, 4, 6, 8])
def test_posterize_is_pillow_s(bits):
    for given in (bits, tf.constant(bits)):
        same(image_ops.posterize(tf.constant(PHOTO), given), ImageOps.posterize(PILLOW, bits))


@pytest.mark.parametrize("threshold", [0, 1, 128, 255, 256, 384])
def test_solarize_is_pillow_s(threshold):
    for given in (threshold, tf.constant(threshold)):
        result = image_ops.solarize(tf.constant(PHOTO), given)
        same(result, ImageOps.solarize(PILLOW, threshold))


@pytest.mark.parametrize("addition", [0, 110, 165, 300])
def test_solarize_add(addition):
    expected = np.where(PHOTO < 128, np.minimum(PHOTO.astype(int) + addition, 255), PHOTO)
    same(image_ops.solarize_add(tf.constant(PHOTO), addition), expected)


@pytest.mark.parametrize("factor", FACTORS)
def test_color(factor):
    result = image_ops.color(tf.constant(PHOTO), factor)
    # The sum of the colours may fall on either side of a whole level, by rounding.
    assert pixels.share_that_differs(result, pixels.blend(pixels.grey(PHOTO), PHOTO, factor)) < 1e-3
    if factor <= 1:
        within(1, result, pixels.blend(np.asarray(PILLOW.convert("L"))[..., None], PHOTO, factor))


@pytest.mark.parametrize("factor", FACTORS)
def test_contrast_brightness_and_sharpness(factor):
    image = tf.constant(PHOTO)
    same(image_ops.brightness(image, factor), pixels.blend(0, PHOTO, factor))
    same(image_ops.contrast(image, factor, 196), pixels.blend(196, PHOTO, factor))
    same(image_ops.sharpness(image, factor), pixels.blend(pixels.smooth(PHOTO), PHOTO, factor))
    mean = np.asarray(PILLOW.convert("L")).mean()
    within(2, image_ops.contrast(image, factor), pixels.blend(mean, PHOTO, factor))


def test_the_smooth_image_is_pillow_s_within_one_level():
    within(1, image_ops.sharpness(tf.constant(PHOTO), 0.0), PILLOW.filter(ImageFilter.SMOOTH))


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.05, 0.4])
def test_hue_by_colorsys_within_one_level(turn):
    sample = PHOTO[::16, ::16]
    expected = np.zeros(sample.shape)
    for place in np.ndindex(sample.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(sample[place] / 255))
        turned = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        expected[place] = np.round(np.multiply(255, turned))
    within(1, image_ops.hue(tf.constant(sample), turn), expected)


MATRICES = {
    "rotate": (
        lambda image, *how: geometry.rotate(image, 33.0, *how),
        pixels.rotation(33.0, (96, 128)),
    ),
    "shear_x": (
        lambda image, *how: geometry.shear_x(image, -0.31, *how),
        np.array([[1, -0.31, 0], [0, 1, 0]]),
    ),
    "shear_y": (
        lambda image, *how: geometry.shear_y(image, 0.31, *how),
        np.array([[1, 0, 0], [0.31, 1, 0]]),
    ),
    "translate_x": (
        lambda image, *how: geometry.translate_x(image, 10.3, *how),
        np.array([[1, 0, -10.3], [0, 1, 0]]),
    ),
    "translate_y": (
        lambda image, *how: geometry.translate_y(image, -20.7, *how),
        np.array([[1, 0, 0], [0, 1, 20.7]]),
    ),
}


@pytest.mark.parametrize("name", MATRICES)
def test_nearest_geometry(name):
    operation, matrix = MATRICES[name]
    image = PHOTO[:96, :128]
    result = operation(tf.constant(image), 128, "nearest")
    # A sample between two pixels may fall on either, by rounding.
    assert pixels.share_that_differs(result, pixels.nearest(image, matrix, 128)) < 1e-3


@pytest.mark.parametrize("name", MATRICES)
def test_bilinear_geometry_by_scipy_within_one_level(name):
    operation, matrix = MATRICES[name]
    image = PHOTO[:96, :128]
    # SciPy counts rows first.
    turned = np.array([[matrix[1, 1], matrix[1, 0]], [matrix[0, 1], matrix[0, 0]]])
    expected = [
        ndimage.affine_transform(
            channel.astype(float), turned, matrix[1::-1, 2], order=1, mode="grid-constant", cval=50
        )
        for channel in np.moveaxis(image, -1, 0)
    ]
    within(1, operation(tf.constant(image), 50, "bilinear"), np.round(np.stack(expected, axis=-1)))


@pytest.mark.parametrize(
    "centre, side", [((50, 60), 20), ((0, 0), 30), ((95, 127), 9), ((3, 90), 0)]
)
def test_cutout(centre, side):
    image = PHOTO[:96, :128]
    expected = pixels.covered(image, centre[0] - side // 2, centre[1] - side // 2, side, side)
    same(image_ops.cutout(tf.constant(image), tf.constant(centre), side), expected)
