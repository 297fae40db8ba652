"""Deterministic operations on the pixels of one image: the only module that uses keras-cv.

Every function takes and returns uint8 `(height, width, channels)` of static shape with 1 or 3
channels. Conversions to uint8 truncate, except for hue, which rounds. Parameters may be Python
numbers or scalar tensors.

Where keras-cv does exactly what RandAugment's authors do, its layers are used, with their
deterministic method `augment_images`; their random methods use generators with state, which would
make runs irreproducible. Operations in which keras-cv differs or is slow are implemented here,
each with the reason.
"""

import functools

import tensorflow as tf

GRAY = 128


@functools.cache
def _layer(name, **arguments):
    """Return a cached layer of keras-cv, created outside the graph that is being traced."""
    import keras_cv  # imported when needed, since it is slow to import

    with tf.init_scope():
        return getattr(keras_cv.layers, name)(dtype="float32", **arguments)


def autocontrast(image):
    """Stretch each channel to [0, 255]; leave constant channels unchanged."""
    layer = _layer("AutoContrast", value_range=(0, 255))
    # Each channel as an image: 0.4 instead of 1.5 ms for 224 pixels, since the layer then reduces
    # along contiguous memory and scales each image by a scalar.
    planes = tf.transpose(image, (2, 0, 1))[..., None]  # (channels, height, width, 1)
    planes = tf.cast(layer.augment_images(tf.cast(planes, tf.float32)), tf.uint8)
    return tf.transpose(planes[..., 0], (1, 2, 0))  # (height, width, channels)


def equalize(image):
    """Spread each channel's histogram evenly, as Pillow does.

    keras-cv's layer computes the step from the smallest bin instead of the brightest one.
    """
    height, width, channels = image.shape
    # Rows of width * channels, since broadcasting over the channels alone is three times slower.
    rows = tf.cast(tf.reshape(image, (height, width * channels)), tf.int32)
    values = rows + tf.tile(256 * tf.range(channels), [width])
    counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=256 * channels)
    histogram = tf.reshape(counts, (channels, 256))
    brightest = tf.cast(tf.reduce_max(image, axis=(0, 1)), tf.int32)
    step = height * width - tf.gather(histogram, brightest, batch_dims=1)
    step = step[:, None] // 255  # (channels, 1)
    below = tf.cumsum(histogram, axis=1, exclusive=True)
    table = (below + step // 2) // tf.maximum(step, 1)
    table = tf.where(step == 0, tf.range(256), tf.minimum(table, 255))
    table = tf.reshape(tf.cast(table, tf.uint8), [-1])
    return tf.reshape(tf.gather(table, values), image.shape)


def invert(image):
    return 255 - image


def posterize(image, bits):
    """Keep the highest `bits` of 8. (keras-cv's layer does not take a tensor.)"""
    dropped = tf.cast(8 - bits, tf.uint8)
    return tf.bitwise.left_shift(tf.bitwise.right_shift(image, dropped), dropped)


def solarize(image, threshold):
    """Invert the pixels that are at least `threshold`."""
    # With bitwise operations, since tf.where takes three times as long; the same below.
    inverted = tf.cast(tf.cast(image, tf.int32) >= threshold, tf.uint8)
    return tf.bitwise.bitwise_xor(image, 255 * inverted)


def solarize_add(image, addition, threshold=128):
    """Add to the pixels below `threshold`, saturating at 255."""
    addition = tf.minimum(255 - image, tf.cast(tf.minimum(addition, 255), tf.uint8))
    return image + addition * tf.cast(image < threshold, tf.uint8)


def _blend(degenerate, image, factor):
    """Interpolate from `degenerate` to `image` by `factor`; extrapolate above 1."""
    degenerate, image = tf.cast(degenerate, tf.float32), tf.cast(image, tf.float32)
    blended = degenerate + factor * (image - degenerate)
    return tf.cast(tf.clip_by_value(blended, 0.0, 255.0), tf.uint8)


def _gray(image):
    """Return the gray image of one channel, truncated to integers."""
    return image if image.shape[-1] == 1 else tf.image.rgb_to_grayscale(image)


def color(image, factor):
    """Blend with the gray image of integers. (keras-cv's layer keeps fractions.)"""
    channels = image.shape[-1]
    return image if channels == 1 else _blend(tf.repeat(_gray(image), channels, -1), image, factor)


def contrast(image, factor, level=None):
    """Blend with a constant image of `level`, or of the mean gray level."""
    if level is None:
        level = tf.reduce_mean(tf.cast(_gray(image), tf.float32))
    return _blend(level, image, factor)


def brightness(image, factor):
    """Blend with a black image."""
    return _blend(0, image, factor)


def hue(image, shift):
    """Shift the hue by a share of the color circle, -1 to 1."""
    if image.shape[-1] == 1:
        return image
    layer = _layer("RandomHue", factor=1.0, value_range=(0, 255))
    shifted = layer.augment_images(tf.cast(image, tf.float32)[None], tf.reshape(shift, [1]))
    return tf.ensure_shape(tf.cast(tf.round(shifted[0]), tf.uint8), image.shape)


def sharpness(image, factor):
    """Blend with the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13.

    The border is not smoothed, and the smoothed image is truncated to integers, as in the
    authors' code. (keras-cv's layer is slower and keeps fractions, a difference of two levels with
    a factor of 2.8.)
    """
    if min(image.shape[:2]) < 3:
        return image
    pixels = tf.cast(image, tf.float32)
    inner = pixels[1:-1, 1:-1]
    rows = pixels[:-2] + pixels[1:-1] + pixels[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * inner
    smooth = tf.floor((total + 0.5) / 13)  # the total is an integer: + 0.5 is safe from rounding
    inner = _blend(smooth, inner, factor)
    middle = tf.concat([image[1:-1, :1], inner, image[1:-1, -1:]], axis=1)
    return tf.concat([image[:1], middle, image[-1:]], axis=0)


def rectangle(shape, top, left, height, width):
    """Return the mask of a rectangle, bool `(rows, columns * channels)`, clipped to the image.

    The columns and channels are one axis, since tf.where with a mask of shape (rows, columns,
    channels) takes four times as long.
    """
    rows, columns = tf.range(shape[0]), tf.repeat(tf.range(shape[1]), shape[2])
    inside_rows = (rows >= top) & (rows < top + height)
    inside_columns = (columns >= left) & (columns < left + width)
    return inside_rows[:, None] & inside_columns


def cover(image, top, left, height, width):
    """Fill a rectangle with gray."""
    inside = rectangle(image.shape, top, left, height, width)
    covered = tf.where(inside, tf.constant(GRAY, tf.uint8), tf.reshape(image, inside.shape))
    return tf.reshape(covered, image.shape)


def cutout(image, center, side):
    """Cover a square with gray; `center` is (row, column)."""
    return cover(image, center[0] - side // 2, center[1] - side // 2, side, side)
