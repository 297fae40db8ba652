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


def mixup(images, labels, alpha, seed):
    """Mix every example with its neighbour in the batch (Zhang et al. 2018, arXiv 1710.09412).

    As in the code that trained the published Mixers: one share `a ~ Beta(alpha, alpha)` for the
    batch, the larger of `a` and `1 - a` for the example itself, and the same share for pixels
    and labels. (keras-cv's MixUp draws from an unseeded source, so no run could be repeated.)

    Args:
        images: float32 `(batch, height, width, channels)`.
        labels: float32 `(batch, classes)`.
        alpha: Parameter of the Beta distribution.
        seed: Of a stateless draw, int32 `(2,)`.
    """
    # Beta(p, p) is X / (X + Y) for X, Y ~ Gamma(p); in float64, since both may be minute.
    gammas = tf.random.stateless_gamma([2], seed=seed, alpha=alpha, dtype=tf.float64)
    share = tf.cast(gammas[0] / tf.reduce_sum(gammas), tf.float32)
    share = tf.maximum(share, 1 - share)

    def mix(batch):
        return share * batch + (1 - share) * tf.roll(batch, 1, axis=0)

    return mix(images), mix(labels)


def augment(dataset, augmentation, seed):
    """Apply `augmentation` to a dataset of batches `(step, images, one-hot labels)`.

    What is drawn for a batch depends on the seed and its step alone. Images stay in [0, 255];
    they become float32 if anything is on, and stay as they are if not.

    Returns:
        A dataset of `(images, labels)`.
    """
    if not any(vars(augmentation).values()):
        return dataset.map(lambda step, images, labels: (images, labels))
    layers = geometric_layers(augmentation, seed)

    def apply(step, images, labels):
        seeds = tf.random.split(tf.random.fold_in([seed, 1], step), len(layers) + 1)
        images = tf.cast(images, tf.float32)
        for layer, layer_seed in zip(layers, tf.unstack(seeds[1:]), strict=True):
            _restart(layer, layer_seed)
            images = layer(images, training=True)
        if augmentation.mixup_alpha:
            images, labels = mixup(images, labels, augmentation.mixup_alpha, seeds[0])
        return images, labels

    return dataset.map(apply)  # one batch at a time, since the layers' generators are shared


def _restart(layer, seed):
    """Let a keras-cv layer draw what belongs to `seed`, wherever its own generator stands."""
    generator = layer._random_generator
    key = tf.cast(seed, generator.state.dtype)
    generator.reset(tf.concat([key, tf.zeros_like(generator.state)[2:]], axis=0))
