"""One part of a labelled set: read once in its order, or endlessly in random orders.

Both give `(position, image, label)`. The position counts the examples that were drawn, from 0
on; whatever is random about an example is derived from the run's seed and its position, so that
a run that starts in the middle sees what one that came that way would see. An image is uint8
pixels, (height, width, channels), or the bytes of an encoded file.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

ENDLESS = tf.int64.max
BUFFER_EXAMPLES = 10_000  # of encoded images, a few hundred kilobytes each at the most


@dataclasses.dataclass(frozen=True)
class IndexedSplit:
    """Examples that can be read by number: in memory, or one file each.

    Args:
        num_examples: How many there are.
        load: Function of an int64 scalar tensor that returns `(image, label)`.
    """

    num_examples: int
    load: Callable

    def __len__(self):
        return self.num_examples

    def in_order(self):
        """Return a dataset of every example once."""
        return tf.data.Dataset.range(self.num_examples).map(
            lambda index: (index, *self.load(index)), tf.data.AUTOTUNE
        )

    def shuffled(self, seed, start=0):
        """Return an endless dataset that begins at position `start`.

        Each pass over the examples is a random permutation of its own. No buffer is needed:
        where a position lies in its permutation is computed.
        """
        last = tf.constant(self.num_examples - 1, tf.int64)

        def at(position):
            epoch = tf.cast(position // self.num_examples, tf.uint32)
            index = tf.random.experimental.index_shuffle(
                position % self.num_examples, tf.stack([tf.constant(seed, tf.uint32), epoch]), last
            )
            return (position, *self.load(index))

        return tf.data.Dataset.range(start, ENDLESS).map(at, tf.data.AUTOTUNE)


def in_memory(images, labels):
    """Return the `IndexedSplit` of NumPy arrays: uint8 images, and integers."""
    with tf.device("CPU"):
        images, labels = tf.constant(images), tf.constant(labels, tf.int64)
    return IndexedSplit(len(labels), lambda index: (images[index], labels[index]))


@dataclasses.dataclass(frozen=True)
class StreamedSplit:
    """Examples that can be read in a row only.

    Args:
        num_examples: How many there are.
        open_stream: Function of an integer seed, or None for the files' own order, that returns
            a dataset of `(image, label)`. With a seed, each iteration shuffles the files anew.
    """

    num_examples: int
    open_stream: Callable

    def __len__(self):
        return self.num_examples

    def in_order(self):
        """Return a dataset of every example once."""
        return self.open_stream(None).enumerate().map(_flat)

    def shuffled(self, seed, start=0):
        """Return an endless dataset that begins at position `start`; what is before it is read."""
        dataset = self.open_stream(seed)
        buffer = min(self.num_examples, BUFFER_EXAMPLES)
        dataset = dataset.shuffle(buffer, seed=seed, reshuffle_each_iteration=True)
        return dataset.repeat().enumerate().skip(start).map(_flat)


def _flat(position, example):
    return (position, *example)
