"""`--train-fraction`: a share of the training images of each class."""

import dataclasses
import itertools

import numpy as np
import pytest

from tests.support.splits import assert_refused, images_of, read_examples
from training.config import Data
from training.data.sources import load_source

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend


def load(train_fraction):
    return load_source(Data(train_fraction=train_fraction))  # of digits


@pytest.fixture(scope="module")
def full():
    return load(1.0)


def test_a_smaller_share_is_a_part_of_a_larger_one(full):
    splits = [full.train, *(load(share).train for share in (0.5, 0.1, 0.01))]
    assert [len(split) for split in splits[:2]] == [1293, pytest.approx(1293 / 2, abs=5)]
    images = [images_of(split) for split in splits]
    for larger, smaller in itertools.pairwise(images):
        assert smaller < larger


@pytest.mark.parametrize("share", [0.5, 0.1, 0.001])
def test_every_class_keeps_its_share_and_at_least_one_image(full, share):
    train = load(share).train
    expected = [max(1, round(share * count)) for count in np.bincount(full.train.labels)]
    assert np.bincount(train.labels).tolist() == expected


def test_images_keep_their_labels(full):
    known = {
        image.tobytes(): label for image, label in zip(*read_examples(full.train), strict=True)
    }
    images, labels = read_examples(load(0.1).train)
    assert [known[image.tobytes()] for image in images] == labels.tolist()


def test_validation_and_test_images_stay(full):
    some = load(0.1)
    for split in ("validation", "test"):
        assert images_of(getattr(some, split)) == images_of(getattr(full, split))


def test_shuffled_images_are_those_of_the_share():
    train = load(0.05).train
    examples = train.shuffled(seed=0, batch_size=8).take(len(train)).as_numpy_iterator()
    assert {image.tobytes() for _, image, _ in examples} == images_of(train)


def test_without_training_images_there_is_nothing_to_reduce(tmp_path):
    """As when a run is evaluated on other images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "test.npz", x_test=images, y_test=np.arange(6) % 3)
    data = Data(source=f"arrays:{tmp_path / 'test.npz'}", test_fraction=1.0)
    for share in (1.0, 0.5):
        source = load_source(dataclasses.replace(data, train_fraction=share))
        assert (len(source.train), len(source.test)) == (0, 6)


def test_tensorflow_datasets_have_split_expressions_instead():
    message = (
        "--train-fraction must be 1 with a source from TensorFlow Datasets. Received: 0.1 with "
        r"--source cifar10. Pass a part of a split instead: --train-split 'train\[:10%\]'."
    )
    assert_refused(message, source="cifar10", train_fraction=0.1)
