"""Splits of a dataset: read once in order, or endlessly in random orders.

Both give `(position, image, label)`. The position counts the examples that were read, from 0.
Everything random about an example is derived from the run's seed and the position, so that a
resumed run sees what an uninterrupted run sees. An image is uint8 pixels, (height, width,
channels), or `training.data.decode.Encoded`. A label is the index of a class or, in a multi-label
dataset, a float32 vector with ones for the classes of the image.

With several hosts, each reads its `Shard`.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from training.data.shard import Shard
from training.errors import UserError

ENDLESS = tf.int64.max
PARALLEL_FILES = 16
BUFFER_EXAMPLES = 10_000  # encoded images, each a few hundred kilobytes at most
ALL_EXAMPLES = Shard()  # of a single host


def local_batch_size(batch_size, shard):
    """Return how many images of each batch one host reads."""
    if batch_size % shard.count:
        raise UserError(
            f"--batch-size must be a multiple of the number of hosts, {shard.count}. Received: "
            f"{batch_size}. Pass {shard.count * max(batch_size // shard.count, 1)}."
        )
    return batch_size // shard.count


def local_counts(start_step, batch_size, shard):
    """Return an endless dataset that counts the examples of one host, beginning at a step."""
    return tf.data.Dataset.range(start_step * local_batch_size(batch_size, shard), ENDLESS)


def global_position(count, batch_size, shard):
    """Return the global position of a host's `count`-th example.

    Each step has `batch_size` positions, of which every host reads a contiguous range.
    """
    local = local_batch_size(batch_size, shard)
    step, offset = count // local, count % local
    return step * batch_size + shard.index * local + offset


def _unchanged(position, image, label):
    return position, image, label


@dataclasses.dataclass(frozen=True)
class IndexedSplit:
    """Examples with random access: in memory, or one file each.

    Args:
        labels: The class of every example, integers.
        load: Function from an index, an int64 scalar tensor, to the image of this example.
        name: Function from an index, an integer, to the name of this example for people.
    """

    labels: np.ndarray
    load: Callable | None = None
    name: Callable = str

    def __len__(self):
        return len(self.labels)

    def fraction(self, share):
        """Return the split with a share of the examples of each class, at least one.

        A smaller share is a part of a larger one.
        """
        if not len(self):
            return self
        assert self.load is not None, "a split without examples"
        order = np.random.default_rng(0).permutation(len(self))
        parts = [order[self.labels[order] == label] for label in np.unique(self.labels)]
        kept = np.sort(np.concatenate([p[: max(1, round(share * len(p)))] for p in parts]))
        load: Callable = self.load
        name: Callable = self.name
        with tf.device("CPU"):
            indices = tf.constant(kept, tf.int64)
        return IndexedSplit(
            self.labels[kept],
            lambda index: load(indices[index]),
            lambda index: name(int(kept[index])),
        )

    def in_order(self, shard=ALL_EXAMPLES):
        """Return a dataset of every example once; with several hosts, of every `count`-th."""
        example = self._example_function()
        indices = tf.data.Dataset.range(shard.index, len(self), shard.count)
        return indices.map(lambda index: (index, *example(index)), tf.data.AUTOTUNE)

    def shuffled(self, seed, batch_size, start_step=0, shard=ALL_EXAMPLES, prepare=_unchanged):
        """Return an endless dataset that begins with the examples of step `start_step`.

        Each epoch is a random permutation of the examples. No shuffle buffer is needed: the index
        at a position of a permutation is computed.

        Args:
            seed: The run's seed.
            batch_size: Global batch size.
            start_step: The first step.
            shard: The shard of this host.
            prepare: Function of the position, the image and the label. It runs in the same map,
                since a second map made each JPEG 9 % slower.
        """
        example = self._example_function()
        last = tf.constant(len(self) - 1, tf.int64)

        def example_at(count):
            position = global_position(count, batch_size, shard)
            epoch = tf.cast(position // len(self), tf.uint32)
            index = tf.random.experimental.index_shuffle(
                position % len(self), tf.stack([tf.constant(seed, tf.uint32), epoch]), last
            )
            return prepare(position, *example(index))

        return local_counts(start_step, batch_size, shard).map(example_at, tf.data.AUTOTUNE)

    def _example_function(self):
        """Return a function from an index to `(image, label)`."""
        with tf.device("CPU"):
            labels = tf.constant(self.labels, tf.int64)  # once, not in the graph of every map
        load = self.load
        assert load is not None, "a split without examples"
        return lambda index: (load(index), labels[index])


def in_memory(images, labels, name=str):
    """Return the `IndexedSplit` of NumPy arrays: uint8 images and integer labels."""
    with tf.device("CPU"):
        images = tf.constant(images)
    return IndexedSplit(labels, lambda index: images[index], name)


class FileSlice(NamedTuple):
    """Consecutive examples in a TFRecord file."""

    path: str
    skip: int
    take: int  # -1 for all that are left


@dataclasses.dataclass(frozen=True)
class StreamedSplit:
    """Examples in files without random access.

    Args:
        num_examples: Number of examples.
        shard_files: Function from a `Shard` to the number of its examples and the `FileSlice`s
            that contain them. The shards are disjoint, and together they are the split.
        parse: Function from a record, a string tensor, to `(image, label)`.
        name: Function from the index of an example in `in_order()` to its name for people.
    """

    num_examples: int
    shard_files: Callable
    parse: Callable
    name: Callable = str

    def __len__(self):
        return self.num_examples

    def in_order(self, shard=ALL_EXAMPLES):
        """Return a dataset of every example of the shard once."""
        _, slices = self.shard_files(shard)
        files = tf.data.Dataset.from_tensor_slices(_as_columns(slices))
        examples = self._read(files).enumerate()
        return examples.map(lambda position, example: (position, *example))

    def shuffled(self, seed, batch_size, start_step=0, shard=ALL_EXAMPLES, prepare=_unchanged):
        """Return an endless dataset that begins with the examples of step `start_step`.

        In each epoch the files are read in a random order, several at a time, and their examples
        go through a shuffle buffer. The examples of the epoch before the start are read and
        discarded. Arguments are those of `IndexedSplit.shuffled`.
        """
        num_examples, slices = self.shard_files(shard)
        columns = _as_columns(slices)
        first_epoch, skipped = divmod(
            start_step * local_batch_size(batch_size, shard), num_examples
        )

        def read_epoch(epoch):
            # The epoch is a tensor, so that the graph is the same wherever a run starts.
            epoch_seed = tf.random.fold_in([seed, 2], epoch)
            order_seed, buffer_seed = tf.unstack(tf.random.split(epoch_seed))
            order = tf.random.experimental.stateless_shuffle(tf.range(len(slices)), order_seed)
            shuffled_columns = tuple(tf.gather(column, order) for column in columns)
            files = tf.data.Dataset.from_tensor_slices(shuffled_columns)
            # Set this graph's seed, so that the global seed does not affect the shuffle.
            tf.random.set_seed(1)
            full_range = {"minval": None, "maxval": None, "dtype": tf.int64}
            dataset = self._read(files).shuffle(
                min(num_examples, BUFFER_EXAMPLES),
                seed=tf.random.stateless_uniform((), buffer_seed, **full_range),
            )
            return dataset.skip(skipped * tf.cast(epoch == first_epoch, tf.int64))

        dataset = tf.data.Dataset.range(first_epoch, ENDLESS).flat_map(read_epoch)

        def example_at(count, example):
            return prepare(global_position(count, batch_size, shard), *example)

        counts = local_counts(start_step, batch_size, shard)
        return tf.data.Dataset.zip(counts, dataset).map(example_at, tf.data.AUTOTUNE)

    def _read(self, files):
        records = files.interleave(
            lambda path, skip, take: tf.data.TFRecordDataset(path).skip(skip).take(take),
            cycle_length=PARALLEL_FILES,
            block_length=PARALLEL_FILES,
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return records.map(self.parse, tf.data.AUTOTUNE)


def _as_columns(slices):
    paths, skips, takes = zip(*slices, strict=True)
    return tf.constant(paths), tf.constant(skips, tf.int64), tf.constant(takes, tf.int64)
