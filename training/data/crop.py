"""Resizing and cropping of an example's image to the size of the model, inside tf.data.

The results are uint8 `(image_size, image_size, channels)`: the model scales its input itself, and
bytes need a quarter of the bandwidth of floats on their way to an accelerator.
"""

import tensorflow as tf

from keras_mixer.preprocessing import prepare_image
from training.data.decode import UPRIGHT, Encoded, decode, decode_jpeg_window

# Inception's crop (Szegedy et al. 2015), with which the Mixers were trained.
CROP_AREA = (0.05, 1.0)  # share of the image
CROP_ASPECT = (3 / 4, 4 / 3)  # width / height
PADDING = 8  # the pad crop pads each side with an eighth of the size: 4 for 32


def prepare_evaluation_image(image, data, channels):
    """Return an image transformed with `data.evaluation_transform`, which is deterministic."""
    prepared = prepare_image(decode(image, channels), data.evaluation_transform, data.image_size)
    return prepared[..., :channels]  # the three channels of a gray image are equal


def prepare_training_image(image, data, channels, seed):
    """Return an image cropped with `data.training_crop` and flipped if `data.flip` says so.

    Args:
        image: `Encoded`, or uint8 `(height, width, channels)`.
        data: The `training.config.Data`.
        channels: 1 or 3.
        seed: Stateless seed, `(2,)`.
    """
    crop_seed, flip_seed = tf.unstack(tf.random.split(seed))
    size = data.image_size
    pixels = TRAINING_CROPS[data.training_crop](image, size, channels, crop_seed)
    if data.flip:
        pixels = tf.image.stateless_random_flip_left_right(pixels, flip_seed)
    return tf.ensure_shape(pixels, (size, size, channels))


def _squash(image, size, channels, seed):
    return _resize(decode(image, channels), size)


def _pad_crop(image, size, channels, seed):
    pixels = _resize(decode(image, channels), size)
    pixels = tf.pad(pixels, [[size // PADDING] * 2] * 2 + [[0, 0]])
    return tf.image.stateless_random_crop(pixels, (size, size, channels), seed)


def _inception_crop(image, size, channels, seed):
    """Return a random crop, resized to `size`; of an upright JPEG, only the crop is decoded."""

    def from_jpeg():
        window = _random_window(tf.io.extract_jpeg_shape(image.file), seed)
        return decode_jpeg_window(image.file, window, channels)

    def from_other():
        pixels = decode(image, channels)
        return _cut(pixels, _random_window(tf.shape(pixels), seed))

    if not isinstance(image, Encoded):
        return _resize(from_other(), size)
    is_upright_jpeg = tf.io.is_jpeg(image.file) & (image.orientation == UPRIGHT)
    return _resize(tf.cond(is_upright_jpeg, from_jpeg, from_other), size)


# A function of the image, the size, the channels and a stateless seed for each name that
# `training.config.Data.training_crop` takes.
TRAINING_CROPS = {"resize": _squash, "inception": _inception_crop, "pad": _pad_crop}


def _random_window(shape, seed):
    """Return [top, left, height, width] in pixels."""
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=seed,
        min_object_covered=0.0,
        area_range=CROP_AREA,
        aspect_ratio_range=CROP_ASPECT,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], extent[:2]], axis=0)


def _cut(pixels, window):
    top, left, height, width = tf.unstack(window)
    return pixels[top : top + height, left : left + width]


def _resize(pixels, size):
    if pixels.shape[:2] == (size, size):
        return pixels
    # Bilinear without antialiasing, as in the authors' code. From float32, which TensorFlow
    # resizes with vector instructions: the same values in 250 µs, the cast included, instead of
    # 400 µs from uint8. No value leaves [0, 255], so the 170 µs of a saturate_cast are saved.
    resized = tf.image.resize(tf.cast(pixels, tf.float32), (size, size))
    return tf.cast(tf.round(resized), tf.uint8)
