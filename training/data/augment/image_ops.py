"""Changes to the pixels of one image where they are: the one place that knows keras-cv.

Another library takes its place by other bodies. Every function is deterministic and takes and
returns uint8 `(height, width, channels)` with 1 or 3 channels, of static shape; conversions to
uint8 cut fractions off, but for hue, which rounds. Parameters may be Python numbers or scalar
tensors.

keras-cv's layers do what they do exactly as RandAugment's authors did, by their deterministic
halves (`augment_images`); their random halves draw from generators with a state, so that no run
could be repeated. What they do otherwise, or too slowly, is ours, each with its reason.
"""

import functools

import tensorflow as tf

GREY = 128


@functools.cache
def _layer(name, **arguments):
    """Return a layer of keras-cv, made outside of whatever graph is being traced."""
    import keras_cv  # slow to import, so only where a layer of it is needed

    with tf.init_scope():
        return getattr(keras_cv.layers, name)(dtype="float32", **arguments)


def autocontrast(image):
    """Stretch each channel to [0, 255]; leave a constant one as it is."""
    layer = _layer("AutoContrast", value_range=(0, 255))
    # Channels as images of their own: for 224 pixels 0.4 ms, not 1.5, as the layer then looks for
    # extremes along the memory, and scales by one number for each image.
    planes = tf.transpose(image, (2, 0, 1))[..., None]  # (channels, height, width, 1)
    planes = tf.cast(layer.augment_images(tf.cast(planes, tf.float32)), tf.uint8)
    return tf.transpose(planes[..., 0], (1, 2, 0))  # (height, width, channels)


def equalize(image):
    """Spread each channel's histogram evenly, as Pillow does.

    keras-cv's layer takes the smallest bin for the brightest one when it computes the step.
    """
    height, width, channels = image.shape
    # In rows of width * channels: broadcasting over the channels alone is three times as slow.
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
    """Keep the highest `bits` of 8. (keras-cv's layer cannot take them from a tensor.)"""
    dropped = tf.cast(8 - bits, tf.uint8)
    return tf.bitwise.left_shift(tf.bitwise.right_shift(image, dropped), dropped)


def solarize(image, threshold):
    """Invert the pixels that are at least `threshold`."""
    # By exclusive or, since a choice by tf.where takes three times as long; likewise below.
    inverted = tf.cast(tf.cast(image, tf.int32) >= threshold, tf.uint8)
    return tf.bitwise.bitwise_xor(image, 255 * inverted)


def solarize_add(image, addition, threshold=128):
    """Add to the pixels that are below `threshold`, up to 255."""
    addition = tf.minimum(255 - image, tf.cast(tf.minimum(addition, 255), tf.uint8))
    return image + addition * tf.cast(image < threshold, tf.uint8)


def _blend(degenerate, image, factor):
    """Go from `degenerate` towards `image` by `factor`, beyond it if that is above 1."""
    degenerate, image = tf.cast(degenerate, tf.float32), tf.cast(image, tf.float32)
    blended = degenerate + factor * (image - degenerate)
    return tf.cast(tf.clip_by_value(blended, 0.0, 255.0), tf.uint8)


def _grey(image):
    """Return the grey image, in whole levels, of one channel."""
    return image if image.shape[-1] == 1 else tf.image.rgb_to_grayscale(image)


def color(image, factor):
    """Blend with the grey image, which is of whole levels. (keras-cv's layer keeps fractions.)"""
    channels = image.shape[-1]
    return image if channels == 1 else _blend(tf.repeat(_grey(image), channels, -1), image, factor)


def contrast(image, factor, level=None):
    """Blend with a constant image: of `level`, or of the mean grey level."""
    if level is None:
        level = tf.reduce_mean(tf.cast(_grey(image), tf.float32))
    return _blend(level, image, factor)


def brightness(image, factor):
    """Blend with a black image."""
    return _blend(0, image, factor)


def hue(image, turn):
    """Turn the hue by a share of the colour circle, -1 to 1."""
    if image.shape[-1] == 1:
        return image
    layer = _layer("RandomHue", factor=1.0, value_range=(0, 255))
    turned = layer.augment_images(tf.cast(image, tf.float32)[None], tf.reshape(turn, [1]))
    return tf.ensure_shape(tf.cast(tf.round(turned[0]), tf.uint8), image.shape)


def sharpness(image, factor):
    """Blend with the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13.

    The border is not smoothed, and the smoothed image is of whole levels, as the authors' is.
    (keras-cv's layer keeps fractions, which a factor of 2.8 makes two levels, and takes longer.)
    """
    if min(image.shape[:2]) < 3:
        return image
    pixels = tf.cast(image, tf.float32)
    inner = pixels[1:-1, 1:-1]
    rows = pixels[:-2] + pixels[1:-1] + pixels[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * inner
    smooth = tf.floor((total + 0.5) / 13)  # the total is whole: half a level keeps it off an edge
    inner = _blend(smooth, inner, factor)
    middle = tf.concat([image[1:-1, :1], inner, image[1:-1, -1:]], axis=1)
    return tf.concat([image[:1], middle, image[-1:]], axis=0)


def rectangle(shape, top, left, height, width):
    """Return what lies inside, bool `(rows, columns * channels)`; parts may be out of the image.

    In rows of all channels, since a choice by it among images of shape (rows, columns, channels)
    takes four times as long.
    """
    rows, columns = tf.range(shape[0]), tf.repeat(tf.range(shape[1]), shape[2])
    inside_rows = (rows >= top) & (rows < top + height)
    inside_columns = (columns >= left) & (columns < left + width)
    return inside_rows[:, None] & inside_columns


def cover(image, top, left, height, width):
    """Fill a rectangle with grey."""
    inside = rectangle(image.shape, top, left, height, width)
    covered = tf.where(inside, tf.constant(GREY, tf.uint8), tf.reshape(image, inside.shape))
    return tf.reshape(covered, image.shape)


def cutout(image, centre, side):
    """Cover a square with grey; `centre` is (row, column)."""
    return cover(image, centre[0] - side // 2, centre[1] - side // 2, side, side)
