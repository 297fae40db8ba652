"""From an example's image, encoded or not, to pixels of the model's size, inside tf.data.

All return uint8 `(image_size, image_size, channels)`: the model scales its input itself, and
bytes are a quarter of what floats would be on their way to an accelerator.
"""

import tensorflow as tf

from keras_mixer.preprocessing import prepare_image
from training.data.splits import UPRIGHT, Encoded

# Inception's crop (Szegedy et al. 2015), as the Mixers were trained.
CROP_AREA = (0.05, 1.0)  # share of the image
CROP_ASPECT = (3 / 4, 4 / 3)  # width to height
PADDING = 8  # a pad-crop pads each side by an eighth of the size: 4 for 32


def decode(image, channels):
    """Return uint8 pixels, (height, width, channels) and upright, of `Encoded` or of pixels."""
    if not isinstance(image, Encoded):
        return image
    pixels = tf.io.decode_image(image.file, channels=channels, expand_animations=False)
    pixels = tf.cond(
        image.orientation == UPRIGHT, lambda: pixels, lambda: _turn(pixels, image.orientation)
    )
    return tf.ensure_shape(pixels, (None, None, channels))


def _turn(pixels, orientation):
    """Return pixels as EXIF's tag Orientation, 1 to 8, says that they are to be seen."""
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    from_right = tf.reduce_any(orientation == [2, 3, 6, 7])
    from_below = tf.reduce_any(orientation == [3, 4, 7, 8])
    pixels = tf.cond(from_right, lambda: tf.reverse(pixels, [1]), lambda: pixels)
    return tf.cond(from_below, lambda: tf.reverse(pixels, [0]), lambda: pixels)


def for_evaluation(image, data, channels):
    """Return an image as `data.evaluation_transform` makes it, which every call repeats."""
    prepared = prepare_image(decode(image, channels), data.evaluation_transform, data.image_size)
    return prepared[..., :channels]  # of a grey image all three are alike


def for_training(image, data, channels, seed):
    """Return an image as `data.training_crop` and `data.flip` make it of a stateless seed."""
    crop_seed, flip_seed = tf.unstack(tf.random.split(seed))
    size = data.image_size
    if data.training_crop == "inception":
        pixels = _inception_crop(image, size, channels, crop_seed)
    elif data.training_crop == "pad":
        pixels = _resize(decode(image, channels), size)
        pixels = tf.pad(pixels, [[size // PADDING] * 2] * 2 + [[0, 0]])
        pixels = tf.image.stateless_random_crop(pixels, (size, size, channels), crop_seed)
    else:
        pixels = _resize(decode(image, channels), size)
    if data.flip:
        pixels = tf.image.stateless_random_flip_left_right(pixels, flip_seed)
    return tf.ensure_shape(pixels, (size, size, channels))


def _inception_crop(image, size, channels, seed):
    """Return a random part of the image; of a JPEG, only that part is decoded."""

    def from_jpeg():
        window = _random_window(tf.io.extract_jpeg_shape(image.file), seed)
        return tf.io.decode_and_crop_jpeg(image.file, window, channels=channels)

    def from_other():
        pixels = decode(image, channels)
        return _cut(pixels, _random_window(tf.shape(pixels), seed))

    if not isinstance(image, Encoded):
        return _resize(from_other(), size)
    is_upright_jpeg = tf.io.is_jpeg(image.file) & (image.orientation == UPRIGHT)
    return _resize(tf.cond(is_upright_jpeg, from_jpeg, from_other), size)


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
    # Bilinear without antialiasing, as the authors' code does it. From float32, where TensorFlow
    # resizes by vector instructions: the same values in 250 µs, with the cast, for 400 µs from
    # uint8. None is outside of [0, 255], and a saturate_cast would take 170 µs longer.
    resized = tf.image.resize(tf.cast(pixels, tf.float32), (size, size))
    return tf.cast(tf.round(resized), tf.uint8)
