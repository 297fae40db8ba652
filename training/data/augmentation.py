"""Random changes to training images and labels: the one place that knows keras-cv.

Another library takes its place by another body of `augmentation_layers`.
"""

import tensorflow as tf


def augmentation_layers(augmentation, seed):
    """Return keras-cv layers for a `training.config.Augmentation`, in the order they apply."""
    import keras_cv  # slow to import, so only where something is augmented

    layers = keras_cv.layers
    chosen = []
    if augmentation.shift_fraction:
        shift = augmentation.shift_fraction
        chosen.append(layers.RandomTranslation(shift, shift, fill_mode="constant", seed=seed))
    if augmentation.rotation_degrees:
        turn = augmentation.rotation_degrees / 360
        chosen.append(layers.RandomRotation(turn, fill_mode="constant", seed=seed))
    if augmentation.zoom_fraction:
        zoom = augmentation.zoom_fraction
        chosen.append(layers.RandomZoom(zoom, fill_mode="constant", seed=seed))
    if augmentation.mixup_alpha:
        chosen.append(layers.MixUp(alpha=augmentation.mixup_alpha, seed=seed))
    return chosen


def augment(dataset, augmentation, seed):
    """Apply `augmentation` to a dataset of batches `(images, one-hot labels)`.

    Images stay in [0, 255]; they become float32 if anything is on, and stay as they are if not.
    """
    if not any(vars(augmentation).values()):
        return dataset
    layers = augmentation_layers(augmentation, seed)

    def apply(images, labels):
        batch = {"images": tf.cast(images, tf.float32), "labels": labels}
        for layer in layers:
            batch = layer(batch, training=True)
        return batch["images"], batch["labels"]

    return dataset.map(apply, num_parallel_calls=tf.data.AUTOTUNE)
