"""One part of a labelled set: read once in its order, or endlessly in random orders.

Both give `(position, image, label)`. The position counts the examples that were drawn, from 0
on; whatever is random about an example is derived from the run's seed and its position, so that
a run that starts in the middle sees what one that came that way would see. An image is uint8
pixels, (height, width, channels), or `Encoded`; a label is the number of its class, or for
images of several classes a float32 vector with ones for these.

On several hosts each reads its part, by its `Shard` among them.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from training.data.shard import Shard
from training.errors import UserError

ENDLESS = tf.int64.max
FILES_AT_ONCE = 16
BUFFER_EXAMPLES = 10_000  # of encoded images, a few hundred kilobytes each at the most


ALL_EXAMPLES = Shard()  # all examples on one host


def local_batch_size(batch_size, shard):
    """Return how many images of each batch a host reads."""
    if batch_size % shard.count:
        raise UserError(
            f"--batch-size must be a multiple of the number of hosts, {shard.count}. Received: "
            f"{batch_size}. Pass a multiple."
        )
    return batch_size // shard.count


def counts_from(start_step, batch_size, shard):
    """Return an endless dataset that counts what a host reads, from that of `start_step` on."""
    return tf.data.Dataset.range(start_step * local_batch_size(batch_size, shard), ENDLESS)


def position_of(count, batch_size, shard):
    """Return the position of what a host reads as its `count`-th example.

    Of the positions of each step, `batch_size` of all hosts together, it takes its part in a row.
    """
    local = local_batch_size(batch_size, shard)
    step, place = count // local, count % local
    return step * batch_size + shard.index * local + place


def _unchanged(position, image, label):
    return position, image, label


@dataclasses.dataclass(frozen=True)
class IndexedSplit:
    """Examples that can be read by number: in memory, or one file each.

    Args:
        labels: The class of every example, integers.
        load: Function of an int64 scalar tensor that returns that example's image.
    """

    labels: np.ndarray
    load: Callable | None = None

    def __len__(self):
        return len(self.labels)

    def in_order(self, shard=ALL_EXAMPLES):
        """Return a dataset of every example once; on several hosts, of every `count`-th."""
        example = self._by_number()
        numbers = tf.data.Dataset.range(shard.index, len(self), shard.count)
        return numbers.map(lambda index: (index, *example(index)), tf.data.AUTOTUNE)

    def shuffled(self, seed, batch_size, start_step=0, shard=ALL_EXAMPLES, prepare=_unchanged):
        """Return an endless dataset that begins with the examples of step `start_step`.

        Each pass over the examples is a random permutation of its own. No buffer is needed:
        where a position lies in its permutation is computed. `prepare` is a function of the
        position, the image and the label, done in the same map: with one more, a JPEG took
        9 % longer.
        """
        example = self._by_number()
        last = tf.constant(len(self) - 1, tf.int64)

        def at(count):
            position = position_of(count, batch_size, shard)
            epoch = tf.cast(position // len(self), tf.uint32)
            index = tf.random.experimental.index_shuffle(
                position % len(self), tf.stack([tf.constant(seed, tf.uint32), epoch]), last
            )
            return prepare(position, *example(index))

        return counts_from(start_step, batch_size, shard).map(at, tf.data.AUTOTUNE)

    def _by_number(self):
        with tf.device("CPU"):
            labels = tf.constant(self.labels, tf.int64)  # once, not in the graph of every map
        load = self.load
        assert load is not None, "a split without examples"
        return lambda index: (load(index), labels[index])


def in_memory(images, labels):
    """Return the `IndexedSplit` of NumPy arrays: uint8 images, and integers."""
    with tf.device("CPU"):
        images = tf.constant(images)
    return IndexedSplit(labels, lambda index: images[index])


class FilePart(NamedTuple):
    """Examples in a row of a TFRecord file."""

    path: str
    skip: int
    take: int  # -1 for all that are left


@dataclasses.dataclass(frozen=True)
class StreamedSplit:
    """Examples in files that can be read in a row only.

    Args:
        num_examples: How many there are.
        parts: Function of a `Shard` that returns the number of its examples, and the `FilePart`s
            that hold them. The shards are disjoint, and together whole.
        parse: Function of a record, a string tensor, that returns `(image, label)`.
    """

    num_examples: int
    parts: Callable
    parse: Callable

    def __len__(self):
        return self.num_examples

    def in_order(self, shard=ALL_EXAMPLES):
        """Return a dataset of every example of the shard once."""
        _, parts = self.parts(shard)
        files = tf.data.Dataset.from_tensor_slices(_columns(parts))
        examples = self._read(files).enumerate()
        return examples.map(lambda position, example: (position, *example))

    def shuffled(self, seed, batch_size, start_step=0, shard=ALL_EXAMPLES, prepare=_unchanged):
        """Return an endless dataset that begins with the examples of step `start_step`.

        In each pass over the examples the files come in a random order, and the examples of some
        of them through a buffer. What comes before the start in its pass is read and thrown away.
        `prepare` is that of `IndexedSplit`.
        """
        num_examples, parts = self.parts(shard)
        columns = _columns(parts)
        first_pass, skipped = divmod(start_step * local_batch_size(batch_size, shard), num_examples)

        def one_pass(number):
            # The number of the pass is a tensor, so that a run may start in any of them at once.
            pass_seed = tf.random.fold_in([seed, 2], number)
            order_seed, buffer_seed = tf.unstack(tf.random.split(pass_seed))
            order = tf.random.experimental.stateless_shuffle(tf.range(len(parts)), order_seed)
            shuffled_columns = tuple(tf.gather(column, order) for column in columns)
            files = tf.data.Dataset.from_tensor_slices(shuffled_columns)
            # Of this function's graph alone: the program's own seed is to decide nothing.
            tf.random.set_seed(1)
            any_number = {"minval": None, "maxval": None, "dtype": tf.int64}
            dataset = self._read(files).shuffle(
                min(num_examples, BUFFER_EXAMPLES),
                seed=tf.random.stateless_uniform((), buffer_seed, **any_number),
            )
            return dataset.skip(skipped * tf.cast(number == first_pass, tf.int64))

        dataset = tf.data.Dataset.range(first_pass, ENDLESS).flat_map(one_pass)

        def at(count, example):
            return prepare(position_of(count, batch_size, shard), *example)

        counts = counts_from(start_step, batch_size, shard)
        return tf.data.Dataset.zip(counts, dataset).map(at, tf.data.AUTOTUNE)

    def _read(self, files):
        records = files.interleave(
            lambda path, skip, take: tf.data.TFRecordDataset(path).skip(skip).take(take),
            cycle_length=FILES_AT_ONCE,
            block_length=FILES_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return records.map(self.parse, tf.data.AUTOTUNE)


def _columns(parts):
    paths, skips, takes = zip(*parts, strict=True)
    return tf.constant(paths), tf.constant(skips, tf.int64), tf.constant(takes, tf.int64)
