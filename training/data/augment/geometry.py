"""Affine transforms of one image, uint8 `(height, width, channels)` of static shape.

All take `fill`, the gray level outside the image, and `interpolation`: "nearest", or "bilinear",
which rounds. Parameters may be Python numbers or scalar tensors.
"""

import math

import tensorflow as tf


def affine(image, matrix, fill, interpolation):
    """Sample the image at `matrix @ (x, y, 1)` for every pixel (x, y) of the result.

    This is the TensorFlow operation that the layers of keras-cv call; these take no matrix. The
    matrix is six numbers, row by row; x counts columns and y counts rows.
    """
    bilinear = interpolation == "bilinear"
    pixels = tf.cast(image, tf.float32) if bilinear else image
    sampled = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[None],
        transforms=tf.stack([[*(tf.cast(number, tf.float32) for number in matrix), 0.0, 0.0]]),
        output_shape=image.shape[:2],
        fill_value=float(fill),
        interpolation=interpolation.upper(),
        fill_mode="CONSTANT",
    )[0]
    sampled = tf.ensure_shape(sampled, image.shape)
    return tf.cast(tf.round(sampled), tf.uint8) if bilinear else sampled


def rotate(image, degrees, fill, interpolation, zoom=1.0, shift_x=0.0, shift_y=0.0):
    """Shift right and down by pixels, then rotate about the center and zoom out."""
    height, width, _ = image.shape
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    radians = tf.cast(degrees, tf.float32) * (math.pi / 180)
    cosine, sine = zoom * tf.cos(radians), zoom * tf.sin(radians)
    begin_x = center_x - (cosine * center_x - sine * center_y) - shift_x
    begin_y = center_y - (sine * center_x + cosine * center_y) - shift_y
    matrix = (cosine, -sine, begin_x, sine, cosine, begin_y)
    return affine(image, matrix, fill, interpolation)


def shear_x(image, share, fill, interpolation):
    return affine(image, (1, share, 0, 0, 1, 0), fill, interpolation)


def shear_y(image, share, fill, interpolation):
    return affine(image, (1, 0, 0, share, 1, 0), fill, interpolation)


def translate_x(image, pixels, fill, interpolation):
    """Move to the right."""
    return affine(image, (1, 0, -pixels, 0, 1, 0), fill, interpolation)


def translate_y(image, pixels, fill, interpolation):
    """Move down."""
    return affine(image, (1, 0, 0, 0, 1, -pixels), fill, interpolation)
