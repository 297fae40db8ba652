"""From a split to batches, by tf.data, under every backend."""

import tensorflow as tf

from training.data import images
from training.data.augmentation import augment_image, mix


def training_batches(source, data, augmentation, seed, start_step=0):
    """Return an endless dataset of shuffled, augmented batches `(images, one-hot labels)`.

    An epoch is `steps_per_epoch` of them. All batches are full, and the seed and the step alone
    decide what is in one, also if the dataset begins at a later `start_step`.
    """

    def prepare(position, image, label):
        example_seed = tf.random.fold_in([seed, 0], position)
        image = images.for_training(image, data, source.channels, example_seed)
        # The first two parts of the seed are the crop's and the flip's.
        image = augment_image(image, augmentation, tf.random.split(example_seed, 3)[2])
        return position, image, label

    def prepare_batch(positions, pixels, labels):
        batch_seed = tf.random.fold_in([seed, 1], positions[0] // data.batch_size)
        one_hot = tf.one_hot(labels, len(source.class_names))
        return mix(pixels, one_hot, augmentation, batch_seed)

    dataset = source.train.shuffled(seed, start_step * data.batch_size)
    dataset = dataset.map(prepare, tf.data.AUTOTUNE)
    dataset = dataset.batch(data.batch_size, drop_remainder=True)
    return dataset.map(prepare_batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(split, data):
    """Return how many full batches a split gives."""
    return len(split) // data.batch_size


def evaluation_batches(split, source, data):
    """Return a dataset of every example once, in order; the last batch may be short."""

    def prepare(_, image, label):
        pixels = images.for_evaluation(image, data, source.channels)
        return pixels, tf.one_hot(label, len(source.class_names))

    dataset = split.in_order().map(prepare, tf.data.AUTOTUNE)
    return dataset.batch(data.batch_size).prefetch(tf.data.AUTOTUNE)
