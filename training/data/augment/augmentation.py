"""Random augmentation of training images and batches, with stateless seeds.

The augmentation of an example or a batch depends only on its seed, so that maps can run in
parallel and a resumed run sees what an uninterrupted run sees.
"""

import math

import tensorflow as tf

from training.data.augment import geometry, image_ops
from training.data.augment.augmix import augmix
from training.data.augment.randaugment import randaugment

# Random Erasing's rectangles (Zhong et al. 2020, arXiv 1708.04896).
ERASED_AREA = (0.02, 0.33)  # share of the image
ERASED_ASPECT = (0.3, 3.3)  # height to width, log-uniform


def augment_image(image, augmentation, seed):
    """Apply the augmentations of single images that are on.

    Args:
        image: uint8 `(image_size, image_size, channels)`.
        augmentation: The configuration.
        seed: Stateless seed, `(2,)`.

    Returns:
        An image of the same shape and dtype.
    """
    seeds = tf.unstack(tf.random.split(seed, 6))
    if augmentation.shift_fraction or augmentation.rotation_degrees or augmentation.zoom_fraction:
        image = _transform(image, augmentation, seeds[0])
    magnitude, num_layers = augmentation.randaugment_magnitude, augmentation.randaugment_layers
    image = randaugment(image, magnitude, num_layers, seeds[1])
    if augmentation.augmix_severity:
        image = augmix(image, augmentation.augmix_severity, seeds[2])
    image = _jitter(image, augmentation.color_jitter, augmentation.hue_jitter, seeds[3])
    if augmentation.cutout_fraction:
        side = round(augmentation.cutout_fraction * image.shape[0])
        center = tf.random.stateless_uniform((2,), seeds[4], 0, image.shape[0], tf.int32)
        image = image_ops.cutout(image, center, side)
    if augmentation.erasing_probability:
        image = _erase(image, augmentation.erasing_probability, seeds[5])
    return image


def _transform(image, augmentation, seed):
    """Shift, rotate and zoom in one affine transform, so that pixels are interpolated once."""
    samples = tf.unstack(tf.random.stateless_uniform((4,), seed, -1.0, 1.0))
    largest_shift = augmentation.shift_fraction * image.shape[0]
    return geometry.rotate(
        image,
        degrees=augmentation.rotation_degrees * samples[0],
        zoom=1 + augmentation.zoom_fraction * samples[1],
        shift_x=largest_shift * samples[2],
        shift_y=largest_shift * samples[3],
        fill=0,
        interpolation="bilinear",
    )


def _jitter(image, color_jitter, hue_jitter, seed):
    samples = tf.unstack(tf.random.stateless_uniform((4,), seed, -1.0, 1.0))
    if color_jitter:
        image = image_ops.brightness(image, 1 + color_jitter * samples[0])
        image = image_ops.contrast(image, 1 + color_jitter * samples[1])
        image = image_ops.color(image, 1 + color_jitter * samples[2])
    if hue_jitter:
        image = image_ops.hue(image, hue_jitter * samples[3])
    return image


def _erase(image, probability, seed):
    """Cover a random rectangle with gray.

    The paper samples rectangles until one lies inside the image. Here, a rectangle is cut to the
    image: only the longest of the largest exceed it, by at most a twentieth of its side.
    """
    height, width, _ = image.shape
    shape_seed, top_seed, left_seed = tf.unstack(tf.random.split(seed, 3))
    hit, area, aspect = tf.unstack(tf.random.stateless_uniform((3,), shape_seed))
    area = ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * area
    lowest, highest = map(math.log, ERASED_ASPECT)
    aspect = tf.exp(lowest + (highest - lowest) * aspect)
    rows = _pixels(tf.sqrt(area * aspect), height)
    columns = _pixels(tf.sqrt(area / aspect), width)
    top = tf.random.stateless_uniform((), top_seed, 0, height - rows + 1, tf.int32)
    left = tf.random.stateless_uniform((), left_seed, 0, width - columns + 1, tf.int32)
    rows = tf.where(hit < probability, rows, 0)
    return image_ops.cover(image, top, left, rows, columns)


def _pixels(share, length):
    return tf.clip_by_value(tf.cast(tf.round(share * length), tf.int32), 1, length)


def mix(images, labels, augmentation, seed):
    """Apply mixup or CutMix to a batch.

    If both are on, each batch gets one of them, with probability 1/2 each.

    Args:
        images: uint8 `(batch, height, width, channels)`.
        labels: float32 `(batch, classes)`.
        augmentation: The configuration.
        seed: Stateless seed, `(2,)`.

    Returns:
        Images, float32 if mixup is on and else uint8, and labels.
    """
    mixup_alpha, cutmix_alpha = augmentation.mixup_alpha, augmentation.cutmix_alpha
    if not (mixup_alpha or cutmix_alpha):
        return images, labels
    choice_seed, mix_seed = tf.unstack(tf.random.split(seed))
    hit, choice = tf.unstack(tf.random.stateless_uniform((2,), choice_seed))
    if mixup_alpha:
        images = tf.cast(images, tf.float32)

    def mixed():
        if not cutmix_alpha:
            return mixup(images, labels, mixup_alpha, mix_seed)
        if not mixup_alpha:
            return cutmix(images, labels, cutmix_alpha, mix_seed)
        return tf.cond(
            choice < 0.5,
            lambda: mixup(images, labels, mixup_alpha, mix_seed),
            lambda: cutmix(images, labels, cutmix_alpha, mix_seed),
        )

    return tf.cond(hit < augmentation.mix_probability, mixed, lambda: (images, labels))


def mixup(images, labels, alpha, seed):
    """Mix every example with the previous one in the batch (Zhang et al. 2018, arXiv 1710.09412).

    As in the code that trained the published Mixers, one `a ~ Beta(alpha, alpha)` is sampled per
    batch, the example keeps the larger of `a` and `1 - a`, and pixels and labels are mixed alike.

    Args:
        images: float32 `(batch, height, width, channels)`.
        labels: float32 `(batch, classes)`.
        alpha: Parameter of the Beta distribution.
        seed: Stateless seed, `(2,)`.
    """
    share = _beta(alpha, seed)
    share = tf.maximum(share, 1 - share)
    return _mix_with_previous(images, share), _mix_with_previous(labels, share)


def cutmix(images, labels, alpha, seed):
    """Paste a box of the previous example into every example (Yun et al. 2019, arXiv 1905.04899).

    The example keeps `a ~ Beta(alpha, alpha)` of its area; the box is the same for the batch. The
    labels are mixed by the area of the box inside the image. Arguments are those of `mixup`, but
    images may be uint8; the result has their dtype.
    """
    _, height, width, channels = images.shape
    share_seed, row_seed, column_seed = tf.unstack(tf.random.split(seed, 3))
    side = tf.sqrt(1 - _beta(alpha, share_seed))
    rows, columns = tf.cast(side * height, tf.int32), tf.cast(side * width, tf.int32)
    top = tf.random.stateless_uniform((), row_seed, 0, height, tf.int32) - rows // 2
    left = tf.random.stateless_uniform((), column_seed, 0, width, tf.int32) - columns // 2
    box = image_ops.rectangle((height, width, channels), top, left, rows, columns)
    share = 1 - tf.reduce_mean(tf.cast(box, tf.float32))
    rows = tf.reshape(images, (-1, *box.shape))
    rows = tf.where(box, tf.roll(rows, 1, axis=0), rows)
    return tf.reshape(rows, (-1, height, width, channels)), _mix_with_previous(labels, share)


def _beta(alpha, seed):
    """Sample from Beta(p, p) as X / (X + Y), X, Y ~ Gamma(p), in float64: both may be tiny."""
    gammas = tf.random.stateless_gamma([2], seed=seed, alpha=alpha, dtype=tf.float64)
    return tf.cast(gammas[0] / tf.reduce_sum(gammas), tf.float32)


def _mix_with_previous(batch, share):
    """Keep `share` of every example and take the rest from the previous one."""
    return share * batch + (1 - share) * tf.roll(batch, 1, axis=0)
