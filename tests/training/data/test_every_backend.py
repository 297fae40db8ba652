"""The whole pipeline with every augmentation, which runs under every Keras backend."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.augmentation import EVERYTHING
from training.config import Augmentation, Data
from training.data.pipeline import evaluation_batches, training_batches
from training.data.sources import load_source

torch_only = pytest.mark.backend("torch")


def read(dataset, batches):
    """Return the images and labels of the first `batches` of a dataset."""
    images, labels = zip(*dataset.take(batches).as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.long
@pytest.mark.parametrize(
    "crop",
    [
        "inception",
        pytest.param("resize", marks=torch_only),
        pytest.param("pad", marks=torch_only),
    ],
)
def test_a_resumed_run_reads_the_same_batches(crop):
    source = load_source(Data(train_fraction=0.25))  # 5 batches make an epoch
    data = Data(batch_size=64, training_crop=crop, flip=True)
    images, labels = read(training_batches(source, data, EVERYTHING, seed=3), 15)
    late = read(training_batches(source, data, EVERYTHING, seed=3, start_step=11), 4)
    np.testing.assert_array_equal(images[11 * 64 :], late[0])
    np.testing.assert_array_equal(labels[11 * 64 :], late[1])


@pytest.mark.parametrize("augmentation", [Augmentation(), EVERYTHING])
def test_no_python_runs_per_image(augmentation):
    """TensorFlow calls Python with operations that have PyFunc in their names."""
    source = load_source(Data())
    data = Data(batch_size=8, training_crop="inception", flip=True)

    def graph(dataset):
        return tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset)
        ).numpy()

    with_python = tf.data.Dataset.range(3).map(lambda i: tf.py_function(abs, [i], "int64"))
    assert b"PyFunc" in graph(with_python)
    assert b"PyFunc" not in graph(training_batches(source, data, augmentation, 0))
    assert b"PyFunc" not in graph(evaluation_batches(source.test, source, data))
