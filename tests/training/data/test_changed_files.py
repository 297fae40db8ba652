"""Messages about files that change while they are read."""

import numpy as np
import pytest
import tensorflow as tf

from training.data.changed_files import changed_files_as_user_errors
from training.data.source import Source
from training.data.splits import IndexedSplit
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend

EMPTY = IndexedSplit(np.zeros(0, int))
SOURCE = Source(("a", "b"), 1, EMPTY, EMPTY, EMPTY)


def read(path):
    dataset = tf.data.Dataset.from_tensors(str(path)).map(tf.io.read_file)
    return list(dataset)


def test_a_file_of_the_cache(tmp_path):
    path = tmp_path / "train-0123" / "0" / "7"
    with pytest.raises(UserError, match=f"(?s)\n  {path}: No such file or .*--cache-dir. Go on."):
        with changed_files_as_user_errors(SOURCE, "Go on."):
            read(path)


def test_a_damaged_record(tmp_path):
    (tmp_path / "damaged.tfrecord").write_bytes(b"not a record at all" * 9)
    with pytest.raises(UserError, match="corrupted record at 0.*in the files of the dataset"):
        with changed_files_as_user_errors(SOURCE, "Go on."):
            list(tf.data.TFRecordDataset(str(tmp_path / "damaged.tfrecord")))


def test_other_errors_are_unchanged():
    with pytest.raises(tf.errors.InvalidArgumentError):
        with changed_files_as_user_errors(SOURCE, "Go on."):
            tf.reshape(tf.zeros(3), (2,))
