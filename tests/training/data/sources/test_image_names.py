"""The name of an image says where it is in the dataset."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.support.models import random_pixels
from tests.support.splits import read_examples
from tests.support.tfds import build_tfds
from training.config import Data
from training.data.class_matching import match_classes
from training.data.sources import load_source
from training.data.splits import FileSlice, StreamedSplit

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend


def require_names(split, find):
    """Require that `find` finds the image of each example by the name of the example."""
    images, _ = read_examples(split)
    assert len(images) == len(split) > 0
    for i, image in enumerate(images):
        assert bytes(image) == bytes(find(split.name(i)))
    assert len({split.name(i) for i in range(len(split))}) == len(split)


def test_digits():
    digits = np.round(load_digits().images * (255 / 16)).astype("uint8")[..., None]

    def find(name):
        return digits[int(re.fullmatch(r"images\[(\d+)\]", name)[1])]

    require_names(load_source(Data()).test, find)


@pytest.mark.parametrize("test_fraction", [0.3, 1.0])
@pytest.mark.parametrize("held_out", [True, False])
def test_arrays(tmp_path, test_fraction, held_out):
    arrays = {"x_train": random_pixels((40, 4, 4, 3)), "y_train": np.arange(40) % 2}
    if not held_out:
        arrays |= {"x_test": random_pixels((10, 4, 4, 3), seed=1), "y_test": np.arange(10) % 2}
    np.savez(tmp_path / "set.npz", **arrays)
    source = f"arrays:{tmp_path / 'set.npz'}"
    fractions = {"test_fraction": test_fraction, "validation_fraction": 1 - test_fraction}
    fractions["validation_fraction"] /= 2
    loaded = load_source(Data(source=source, **fractions))

    def find(name):
        array, index = re.fullmatch(r"(x_\w+)\[(\d+)\]", name).groups()
        assert array == ("x_train" if held_out or split is not loaded.test else "x_test")
        return arrays[array][int(index)]

    for split in (loaded.train, loaded.validation, loaded.test):
        if len(split):
            require_names(split, find)
    assert len(loaded.test) == (10 if not held_out else 40 * test_fraction)


@pytest.fixture
def photos(tmp_path):
    for i, image in enumerate(random_pixels((30, 4, 4, 3))):
        path = tmp_path / "photos" / ("cat", "dog", "emu")[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "photos"


def contents(name):
    return Path(name).read_bytes()


def test_folders(photos):
    data = Data(source=f"folder:{photos}", test_fraction=0.4, validation_fraction=0.2)
    source = load_source(data)
    for split in (source.train, source.validation, source.test):
        require_names(split, contents)


def test_a_share_of_the_training_images(photos):
    source = load_source(Data(source=f"folder:{photos}", train_fraction=0.5))
    require_names(source.train, contents)


def test_matching_classes_keeps_names(photos):
    source = load_source(
        Data(source=f"folder:{photos}", test_fraction=1.0, validation_fraction=0.0)
    )
    matched, _ = match_classes(source, ("fox", "emu", "dog", "cat"))
    require_names(matched.test, contents)
    stream = StreamedSplit(1, lambda shard: (1, [FileSlice("x", 0, -1)]), None, "image {}".format)
    assert stream.name(7) == "image 7"


@pytest.mark.long
def test_tensorflow_datasets(tmp_path):
    """An image has the number that it has in `tfds.load(NAME, split=SPLIT)`, of many files too."""
    import tensorflow_datasets as tfds

    images = random_pixels((500, 4, 4, 1))
    labels = tfds.features.ClassLabel(num_classes=2)
    examples = {"test": [(image, i % 2) for i, image in enumerate(images)]}
    build_tfds(tmp_path, "many_files", labels, examples, num_shards=20, image_shape=(4, 4, 1))
    skip = {"image": tfds.decode.SkipDecoding()}
    for expression in ("test", "test[10%:70%]"):
        theirs = tfds.load("many_files", data_dir=tmp_path, split=expression, decoders=skip)
        theirs = [example["image"] for example in theirs.as_numpy_iterator()]
        data = {"train_split": "none", "test_split": expression, "data_dir": str(tmp_path)}
        split = load_source(Data(source="tfds:many_files", **data)).test
        require_names(split, lambda name, theirs=theirs: theirs[int(name)])
