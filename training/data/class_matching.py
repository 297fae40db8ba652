"""Matching of the classes of a dataset with those of a model, by name."""

import collections
import dataclasses
import unicodedata

import numpy as np
import tensorflow as tf

from training.data.splits import IndexedSplit


def match_classes(source, class_names):
    """Return a dataset whose test labels are classes of a model, and the names it does not know.

    The classes of the dataset may be fewer, and in another order.

    Args:
        source: A `training.data.source.Source`.
        class_names: Names of the model's classes, in the order of its logits.

    Returns:
        The `Source` with `class_names` and only a test split; and the names of those classes of
        the dataset that `class_names` does not have, or has twice. In a split with random access,
        only classes with examples count. The source is None if there are such names.
    """
    if tuple(source.class_names) == tuple(class_names):
        return source, []
    theirs, ours = ([_normalize(n) for n in names] for names in (source.class_names, class_names))
    occurrences = collections.Counter(ours)
    known = {name: i for i, name in enumerate(ours) if occurrences[name] == 1}
    indices = np.array([known.get(name, -1) for name in theirs], np.int64)
    counted = np.ones(len(theirs), bool)
    if isinstance(source.test, IndexedSplit):
        counted = np.bincount(source.test.labels, minlength=len(theirs)) > 0
    unknown = np.flatnonzero((indices < 0) & counted)
    if len(unknown):
        return None, [source.class_names[i] for i in unknown]
    empty = IndexedSplit(np.zeros(0, int))
    test = _relabel(source.test, indices, len(ours), source.multi_label)
    return (
        dataclasses.replace(
            source, class_names=tuple(class_names), train=empty, validation=empty, test=test
        ),
        [],
    )


def _normalize(name):
    return unicodedata.normalize("NFC", name)  # macOS decomposes accents


def _relabel(split, indices, num_classes, multi_label):
    """Return a split in which class i of the dataset is class `indices[i]` of the model."""
    if isinstance(split, IndexedSplit):
        return dataclasses.replace(split, labels=indices[split.labels])
    parse = split.parse

    def parse_and_relabel(record):
        image, label = parse(record)
        if multi_label:
            label = tf.scatter_nd(indices[:, None], label, (num_classes,))
        else:
            label = tf.gather(tf.constant(indices), label)
        return image, label

    return dataclasses.replace(split, parse=parse_and_relabel)
