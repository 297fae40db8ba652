"""Random changes to training images and labels: the one place that knows keras-cv.

Another library takes its place by another body of `geometric_layers`.
"""

import tensorflow as tf


def geometric_layers(augmentation, seed):
    """Return keras-cv layers for a `training.config.Augmentation`, in the order they apply."""
    import keras_cv  # slow to import, so only where something is augmented

    layers = keras_cv.layers
    chosen = []
    # Each its own seed, from 1 on: keras-cv takes 0 for none.
    if augmentation.shift_fraction:
        shift = augmentation.shift_fraction
        chosen.append(
            layers.RandomTranslation(shift, shift, fill_mode="constant", seed=3 * seed + 1)
        )
    if augmentation.rotation_degrees:
        turn = augmentation.rotation_degrees / 360
        chosen.append(layers.RandomRotation(turn, fill_mode="constant", seed=3 * seed + 2))
    if augmentation.zoom_fraction:
        zoom = augmentation.zoom_fraction
        chosen.append(layers.RandomZoom(zoom, fill_mode="constant", seed=3 * seed + 3))
    return chosen


def mixup(images, labels, alpha, generator):
    """Mix every example with its neighbour in the batch (Zhang et al. 2018, arXiv 1710.09412).

    As in the code that trained the published Mixers: one share `a ~ Beta(alpha, alpha)` for the
    batch, the larger of `a` and `1 - a` for the example itself, and the same share for pixels
    and labels. (keras-cv's MixUp draws from an unseeded source, so no run could be repeated.)

    Args:
        images: float32 `(batch, height, width, channels)`.
        labels: float32 `(batch, classes)`.
        alpha: Parameter of the Beta distribution.
        generator: A `tf.random.Generator`.
    """
    # Beta(p, p) is X / (X + Y) for X, Y ~ Gamma(p); in float64, since both may be minute.
    seed = generator.make_seeds(1)[:, 0]
    gammas = tf.random.stateless_gamma([2], seed=seed, alpha=alpha, dtype=tf.float64)
    share = tf.cast(gammas[0] / tf.reduce_sum(gammas), tf.float32)
    share = tf.maximum(share, 1 - share)

    def mix(batch):
        return share * batch + (1 - share) * tf.roll(batch, 1, axis=0)

    return mix(images), mix(labels)


def augment(dataset, augmentation, seed):
    """Apply `augmentation` to a dataset of batches `(images, one-hot labels)`.

    Images stay in [0, 255]; they become float32 if anything is on, and stay as they are if not.
    """
    if not any(vars(augmentation).values()):
        return dataset
    layers = geometric_layers(augmentation, seed)
    generator = tf.random.Generator.from_seed(seed)

    def apply(images, labels):
        images = tf.cast(images, tf.float32)
        for layer in layers:
            images = layer(images, training=True)
        if augmentation.mixup_alpha:
            images, labels = mixup(images, labels, augmentation.mixup_alpha, generator)
        return images, labels

    return dataset.map(apply)  # one batch at a time: in parallel they would race for the draws
