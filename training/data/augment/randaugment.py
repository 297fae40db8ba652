"""RandAugment as used to train the Mixers (Cubuk et al. 2020, arXiv 1909.13719).

Each layer applies one of sixteen operations, sampled uniformly, with the same magnitude m. Its
unit is that of table 4 of the Mixer paper, from the authors' code (big_vision/pp/autoaugment.py),
in which `level` = m / 10 may exceed 1.
"""

import tensorflow as tf

from training.data.augment import geometry, image_ops

NUM_OPERATIONS = 16
# The authors give pixels for images of 224; other sizes are scaled in proportion.
REFERENCE_SIZE = 224
# The authors' Contrast blends not with the mean gray level but, by mistake, with the number of
# pixels over 256. This is 196 for an image of 224, which we use for every size.
CONTRAST_LEVEL = 196
SAMPLING = {"fill": image_ops.GRAY, "interpolation": "nearest"}


def operations(image, magnitude, sign, center):
    """Return, by name, a function for every operation.

    Args:
        image: uint8 `(height, width, channels)`.
        magnitude: m, a Python number above 0.
        sign: -1 or 1, the direction of the geometric operations.
        center: Row and column of the center of Cutout.
    """
    level = magnitude / 10
    size = image.shape[0] / REFERENCE_SIZE
    factor = 0.1 + 1.8 * level
    degrees, shear, pixels = sign * 30 * level, sign * 0.3 * level, sign * 100 * level * size
    side = 2 * int(40 * level * size)
    return {
        "AutoContrast": lambda: image_ops.autocontrast(image),
        "Equalize": lambda: image_ops.equalize(image),
        "Invert": lambda: image_ops.invert(image),
        "Rotate": lambda: geometry.rotate(image, degrees, **SAMPLING),
        # The authors' code keeps at least 1 bit, since uint8 is shifted by at most 7. With 8
        # bits or more, the image is unchanged.
        "Posterize": lambda: image_ops.posterize(image, min(max(int(4 * level), 1), 8)),
        # With m of 10 or more, no pixel reaches the threshold.
        "Solarize": lambda: image_ops.solarize(image, int(256 * level)),
        "Color": lambda: image_ops.color(image, factor),
        "Contrast": lambda: image_ops.contrast(image, factor, CONTRAST_LEVEL),
        "Brightness": lambda: image_ops.brightness(image, factor),
        "Sharpness": lambda: image_ops.sharpness(image, factor),
        "ShearX": lambda: geometry.shear_x(image, shear, **SAMPLING),
        "ShearY": lambda: geometry.shear_y(image, shear, **SAMPLING),
        "TranslateX": lambda: geometry.translate_x(image, pixels, **SAMPLING),
        "TranslateY": lambda: geometry.translate_y(image, pixels, **SAMPLING),
        "Cutout": lambda: image_ops.cutout(image, center, side),
        "SolarizeAdd": lambda: image_ops.solarize_add(image, int(110 * level)),
    }


def randaugment(image, magnitude, num_layers, seed):
    """Return the image after `num_layers` random operations.

    Args:
        image: uint8 `(height, width, channels)`.
        magnitude: m, a Python number; 0 returns the image.
        num_layers: Number of operations applied in sequence.
        seed: Stateless seed, `(2,)`.
    """
    if magnitude == 0:
        return image
    # All random numbers at once, since sampling takes as long as a cheap operation; and a
    # TensorFlow loop, since tracing every operation once per layer is slow.
    samples = tf.random.stateless_uniform((num_layers, 4), seed)
    return tf.foldl(lambda image, row: _layer(image, magnitude, row), samples, initializer=image)


def _layer(image, magnitude, samples):
    choice = tf.cast(samples[0] * NUM_OPERATIONS, tf.int32)
    sign = tf.where(samples[1] < 0.5, 1.0, -1.0)
    center = tf.cast(samples[2:] * image.shape[0], tf.int32)
    return tf.switch_case(choice, list(operations(image, magnitude, sign, center).values()))
