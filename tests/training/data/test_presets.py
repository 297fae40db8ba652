"""Presets: named datasets with their splits."""

import pytest

from tests.support.splits import assert_refused
from training.config import Data
from training.data.presets import PRESETS, expand_preset
from training.data.sources import digits, load_source, tfds

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend


@pytest.fixture
def requests(monkeypatch):
    """Requests to TensorFlow Datasets: source, and training, validation and test splits."""
    requests = []

    def load(data):
        requests.append((data.source, data.train_split, data.validation_split, data.test_split))
        return digits.load(Data())

    monkeypatch.setattr(tfds, "load", load)
    return requests


@pytest.mark.parametrize(
    "name, expected",
    [
        ("imagenet", ("imagenet2012", "train[:99%]", "train[99%:]", "validation")),
        ("imagenet-real", ("imagenet2012_real", "none", "none", "validation")),
        ("cifar10", ("cifar10", "train[:98%]", "train[98%:]", "test")),
        ("cifar100", ("cifar100", "train[:98%]", "train[98%:]", "test")),
        ("pets", ("oxford_iiit_pet", "train[:90%]", "train[90%:]", "test")),
        ("flowers102", ("oxford_flowers102", "train[:90%]", "train[90%:]", "test")),
        ("fewshot-imagenet", ("imagenet2012", "train[:65000]", "none", "validation")),
        ("fewshot-caltech101", ("caltech101", "train", "none", "test")),
        ("fewshot-cars196", ("cars196", "train", "none", "test")),
        ("fewshot-cifar100", ("cifar100", "train", "none", "test")),
        ("fewshot-dtd", ("dtd", "train", "none", "test")),
        ("fewshot-pets", ("oxford_iiit_pet", "train", "none", "test")),
        ("fewshot-uc-merced", ("uc_merced", "train[:1000]", "none", "train[1000:]")),
    ],
)
def test_splits(name, expected, requests):
    load_source(Data(source=name))
    dataset, *splits = expected
    assert requests == [(f"tfds:{dataset}", *splits)]


def test_the_datasets_exist():
    import tensorflow_datasets

    datasets = {preset.dataset for preset in PRESETS.values()}
    assert datasets <= set(tensorflow_datasets.list_builders())


def test_the_number_of_classes_is_that_of_the_dataset(tmp_path):
    import tensorflow_datasets

    for name, preset in PRESETS.items():
        builder = tensorflow_datasets.builder_cls(preset.dataset)(data_dir=tmp_path)
        features = dict(builder.info.features)
        label = features.get("label") or features["real_label"].feature
        assert preset.classes == label.num_classes, name


def test_other_sources_are_unchanged():
    data = Data(source="tfds:cifar10", test_split="test[:10]")
    assert expand_preset(data) == data


def test_given_splits_replace_those_of_the_preset(requests):
    load_source(Data(source="pets", train_split="train"))
    load_source(Data(source="pets", validation_split="train[80%:]"))
    load_source(Data(source="pets", test_split="test[:10]"))
    assert requests == [
        ("tfds:oxford_iiit_pet", "train", "", "test"),
        ("tfds:oxford_iiit_pet", "train[:90%]", "train[80%:]", "test"),
        ("tfds:oxford_iiit_pet", "train[:90%]", "train[90%:]", "test[:10]"),
    ]


def test_manual_downloads_are_named(tmp_path):
    assert_refused("ILSVRC2012_img_train.tar", source="imagenet", data_dir=str(tmp_path))
