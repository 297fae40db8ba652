"""Matching of the classes of a dataset with those of a model."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.splits import read_examples
from training.data.class_matching import match_classes
from training.data.source import Source
from training.data.splits import FileSlice, IndexedSplit, StreamedSplit, in_memory

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend

NOTHING = IndexedSplit(np.zeros(0, int))


def indexed(labels):
    return in_memory(np.zeros((len(labels), 2, 2, 1), "uint8"), np.array(labels))


def streamed(tmp_path, labels):
    path = str(tmp_path / "labels.tfrecord")
    with tf.io.TFRecordWriter(path) as file:
        for label in labels:
            file.write(tf.io.serialize_tensor(tf.constant(label)).numpy())

    def parse(record):
        dtype = tf.float32 if isinstance(labels[0], list) else tf.int64
        label = tf.io.parse_tensor(record, dtype)
        shape = (3,) if dtype == tf.float32 else ()
        return tf.zeros((2, 2, 1), tf.uint8), tf.ensure_shape(label, shape)

    return StreamedSplit(len(labels), lambda shard: (len(labels), [FileSlice(path, 0, -1)]), parse)


def source(names, test, **fields):
    return Source(names, 1, indexed([0] * 3), NOTHING, test, **fields)


def test_the_same_classes_are_unchanged():
    given = source(("a", "b"), indexed([0, 1]))
    assert match_classes(given, ["a", "b"]) == (given, [])


def test_labels_are_those_of_the_same_names():
    given = source(("b", "d", "a"), indexed([0, 1, 2, 0]))
    matched, unknown = match_classes(given, ("a", "b", "c", "d"))
    assert unknown == [] and matched.class_names == ("a", "b", "c", "d")
    assert read_examples(matched.test)[1].tolist() == [1, 3, 0, 1]
    assert len(matched.train) == 0


def test_a_stream_is_relabelled(tmp_path):
    given = source(("b", "d", "a"), streamed(tmp_path, [np.int64(i) for i in (0, 1, 2, 0)]))
    matched, _ = match_classes(given, ("a", "b", "c", "d"))
    assert read_examples(matched.test)[1].tolist() == [1, 3, 0, 1]


def test_labels_of_several_classes_are_relabelled(tmp_path):
    split = streamed(tmp_path, [[1.0, 0, 0], [0.0, 1, 1], [0.0, 0, 0]])
    given = source(("b", "d", "a"), split, multi_label=True)
    matched, _ = match_classes(given, ("a", "b", "c", "d"))
    np.testing.assert_array_equal(
        read_examples(matched.test)[1], [[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
    )


def test_accents_have_two_forms():
    given = source(("cafe\u0301", "a"), indexed([0, 1]))
    matched, _ = match_classes(given, ("a", "caf\u00e9"))
    assert read_examples(matched.test)[1].tolist() == [1, 0]


def test_unknown_classes_with_examples_are_returned(tmp_path):
    names = ("a", "x", "y")
    assert match_classes(source(names, indexed([0, 1])), ("a", "b")) == (None, ["x"])
    assert match_classes(source(names, indexed([0, 0])), ("a", "b"))[1] == []
    split = streamed(tmp_path, [np.int64(0)])  # whose labels are not known in advance
    assert match_classes(source(names, split), ("a", "b")) == (None, ["x", "y"])


def test_a_name_that_the_model_has_twice_is_unknown():
    """As `crane`, the bird and the machine, of ImageNet."""
    given = source(("crane", "a"), indexed([0, 1]))
    assert match_classes(given, ("crane", "a", "crane")) == (None, ["crane"])
    assert match_classes(given, ("a", "b", "b", "crane"))[1] == []
