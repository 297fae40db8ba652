"""Batches of a split: tf.data pipelines for training and evaluation, on every backend."""

import math

import tensorflow as tf

from training.data import crop
from training.data.augment.augmentation import augment_image, mix
from training.data.splits import ALL_EXAMPLES, local_batch_size
from training.errors import UserError


def training_batches(source, data, augmentation, seed, start_step=0, shard=ALL_EXAMPLES):
    """Return an endless dataset of shuffled, augmented batches `(images, one-hot labels)`.

    All batches are full. The seed and the step alone determine a batch, even if the dataset
    begins at a later `start_step`. With several hosts, each reads `batch_size / hosts` examples
    of every batch, and mixes among these.

    Args:
        source: The `training.data.source.Source`.
        data: The `training.config.Data`.
        augmentation: The `training.config.Augmentation`.
        seed: The run's seed.
        start_step: The first step.
        shard: The shard of this host.
    """

    def prepare(position, image, label):
        example_seed = tf.random.fold_in([seed, 0], position)
        image = crop.prepare_training_image(image, data, source.channels, example_seed)
        # The first two of the three seeds are those of the crop and the flip.
        image = augment_image(image, augmentation, tf.random.split(example_seed, 3)[2])
        return image, _as_vector(label, source)

    def mix_batch(step, batch):
        images, labels = batch
        return mix(images, labels, augmentation, tf.random.fold_in([seed, 1], step))

    dataset = source.train.shuffled(seed, data.batch_size, start_step, shard, prepare)
    dataset = dataset.batch(local_batch_size(data.batch_size, shard), drop_remainder=True)
    dataset = dataset.enumerate(start_step).map(mix_batch, tf.data.AUTOTUNE)
    return _set_deterministic(dataset.prefetch(tf.data.AUTOTUNE), data.deterministic)


def steps_per_epoch(split, data):
    """Return the number of full batches in a split.

    Raises:
        UserError: If there is none.
    """
    if len(split) < data.batch_size:
        raise UserError(
            f"--batch-size must be at most the number of training images, {len(split)}. "
            f"Received: {data.batch_size}. Pass --batch-size {max(len(split), 1)} or less."
        )
    return len(split) // data.batch_size


def evaluation_batches(split, source, data, shard=ALL_EXAMPLES, start_batch=0):
    """Return a dataset of `(images, labels, weights)` with every example once, in order.

    All batches are full, and all hosts have the same number of batches: the last ones are padded
    with black images of weight 0. The other examples have equal weights a little above 1, so that
    the weighted mean over all images, which Keras computes, is the mean over the examples.
    Examples without a label have weight 0, too.

    Args:
        split: A split of the source.
        source: The `training.data.source.Source`.
        data: The `training.config.Data`.
        shard: The shard of this host.
        start_batch: The first batch; those before are not read again where that is possible.
    """
    batch_size = local_batch_size(data.batch_size, shard)
    batches = math.ceil(len(split) / data.batch_size)
    weight = batches * data.batch_size / max(len(split), 1)

    def prepare(_, image, label):
        pixels = crop.prepare_evaluation_image(image, data, source.channels)
        label = _as_vector(label, source)
        return pixels, label, weight * tf.cast(tf.reduce_any(label > 0), tf.float32)

    examples = split.in_order(shard).skip(start_batch * batch_size)
    dataset = examples.map(prepare, tf.data.AUTOTUNE)
    padding = tf.data.Dataset.from_tensors(
        tuple(tf.zeros(spec.shape, spec.dtype) for spec in dataset.element_spec)
    )
    dataset = dataset.concatenate(padding.repeat()).take((batches - start_batch) * batch_size)
    return dataset.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def _as_vector(label, source):
    if label.shape.rank == 1:
        return label  # multi-label
    return tf.one_hot(label, len(source.class_names))


def _set_deterministic(dataset, deterministic):
    options = tf.data.Options()
    options.deterministic = deterministic
    return dataset.with_options(options)
