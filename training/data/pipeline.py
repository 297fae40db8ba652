"""From a split to batches, by tf.data, under every backend."""

import tensorflow as tf

from training.data.augmentation import augment


def training_batches(split, num_classes, data, augmentation, seed):
    """Return an endless dataset of shuffled, augmented batches `(images, one-hot labels)`.

    An epoch is `steps_per_epoch` of them. All batches are full: what an epoch leaves over takes
    its turn in the order of another.
    """
    dataset = _examples(split)
    dataset = dataset.shuffle(len(split), seed=seed, reshuffle_each_iteration=True)
    dataset = dataset.batch(data.batch_size, drop_remainder=True)
    dataset = dataset.repeat()
    dataset = dataset.map(_prepare(num_classes, data.image_size))
    dataset = augment(dataset, augmentation, seed)
    return dataset.prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(split, data):
    """Return how many full batches a split gives."""
    return len(split) // data.batch_size


def evaluation_batches(split, num_classes, data):
    """Return a dataset of every example once, in order; the last batch may be short."""
    dataset = _examples(split).batch(data.batch_size)
    dataset = dataset.map(_prepare(num_classes, data.image_size))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _examples(split):
    return tf.data.Dataset.from_tensor_slices((split.images, split.labels))


def _prepare(num_classes, image_size):
    """Return the function of a batch that resizes where needed and makes labels one-hot."""
    size = (image_size, image_size)

    def prepare(images, labels):
        if tuple(images.shape[1:3]) != size:
            images = tf.image.resize(images, size)  # (batch, image_size, image_size, channels)
        return images, tf.one_hot(labels, num_classes)

    return prepare
