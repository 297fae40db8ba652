"""RandAugment as the Mixers were trained with it (Cubuk et al. 2020, arXiv 1909.13719).

Each layer does one of sixteen operations, drawn uniformly, at one magnitude m for all: the unit
of table 4 of the Mixer paper, from the code that its authors ran (big_vision/pp/autoaugment.py),
where `level` = m / 10 may exceed 1.
"""

import tensorflow as tf

from training.data.augment import geometry, image_ops

NUM_OPERATIONS = 16
# The authors counted pixels of images of 224; other sizes get the same share.
COUNTED_AT = 224
# The authors' Contrast blends not with the mean grey but, by a slip, with the number of pixels
# over 256: 196 for an image of 224, which we keep for every size.
CONTRAST_LEVEL = 196
SAMPLING = {"fill": image_ops.GREY, "interpolation": "nearest"}


def operations(image, magnitude, sign, centre):
    """Return the name of every operation and a function that does it.

    Args:
        image: uint8 `(height, width, channels)`.
        magnitude: m, a Python number above 0.
        sign: -1 or 1, which way the geometric operations go.
        centre: Row and column that Cutout covers.
    """
    level = magnitude / 10
    size = image.shape[0] / COUNTED_AT
    factor = 0.1 + 1.8 * level
    degrees, shear, pixels = sign * 30 * level, sign * 0.3 * level, sign * 100 * level * size
    side = 2 * int(40 * level * size)
    return {
        "AutoContrast": lambda: image_ops.autocontrast(image),
        "Equalize": lambda: image_ops.equalize(image),
        "Invert": lambda: image_ops.invert(image),
        "Rotate": lambda: geometry.rotate(image, degrees, **SAMPLING),
        # Below 1 bit the authors' code keeps 1 as well: uint8 shifts by 7 at the most. From 8
        # bits on it changes nothing.
        "Posterize": lambda: image_ops.posterize(image, min(max(int(4 * level), 1), 8)),
        # From m = 10 on no pixel reaches the threshold.
        "Solarize": lambda: image_ops.solarize(image, int(256 * level)),
        "Color": lambda: image_ops.color(image, factor),
        "Contrast": lambda: image_ops.contrast(image, factor, CONTRAST_LEVEL),
        "Brightness": lambda: image_ops.brightness(image, factor),
        "Sharpness": lambda: image_ops.sharpness(image, factor),
        "ShearX": lambda: geometry.shear_x(image, shear, **SAMPLING),
        "ShearY": lambda: geometry.shear_y(image, shear, **SAMPLING),
        "TranslateX": lambda: geometry.translate_x(image, pixels, **SAMPLING),
        "TranslateY": lambda: geometry.translate_y(image, pixels, **SAMPLING),
        "Cutout": lambda: image_ops.cutout(image, centre, side),
        "SolarizeAdd": lambda: image_ops.solarize_add(image, int(110 * level)),
    }


def randaugment(image, magnitude, num_layers, seed):
    """Return the image after `num_layers` random operations.

    Args:
        image: uint8 `(height, width, channels)`.
        magnitude: m, a Python number; 0 returns the image.
        num_layers: How many operations, one after the other.
        seed: Of a stateless draw, `(2,)`.
    """
    if magnitude == 0:
        return image
    # All at once, since a draw takes as long as a cheap operation; and a loop of TensorFlow, since
    # tracing every operation once per layer takes long.
    draws = tf.random.stateless_uniform((num_layers, 4), seed)
    return tf.foldl(
        lambda image, layer_draws: _layer(image, magnitude, layer_draws), draws, initializer=image
    )


def _layer(image, magnitude, draws):
    choice = tf.cast(draws[0] * NUM_OPERATIONS, tf.int32)
    sign = tf.where(draws[1] < 0.5, 1.0, -1.0)
    centre = tf.cast(draws[2:] * image.shape[0], tf.int32)
    return tf.switch_case(choice, list(operations(image, magnitude, sign, centre).values()))
