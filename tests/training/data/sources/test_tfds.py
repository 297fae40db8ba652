"""TensorFlow Datasets as a source."""

import time

import keras
import numpy as np
import pytest

from tests.support.splits import assert_refused, images_of, read_examples
from tests.support.tfds import build_tfds
from training.config import Augmentation, Data
from training.data.cache import cached
from training.data.pipeline import evaluation_batches, training_batches
from training.data.shard import Shard
from training.data.sources import load_source

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Datasets of TensorFlow Datasets on disk, with the digits."""
    import tensorflow_datasets as tfds
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("tfds")
    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype("uint8")[..., None]
    labeled = list(zip(images, map(int, bunch.target), strict=True))
    ten_classes = tfds.features.ClassLabel(names=list("0123456789"))
    splits = {"train": labeled[:1000], "test": labeled[1000:1203]}
    build_tfds(folder, "one_file", ten_classes, {"test": labeled[:50]}, num_shards=1)
    build_tfds(folder, "tiny_digits", ten_classes, splits)
    secret = {"train": labeled[:20], "test": [(image, -1) for image in images[:20]]}
    build_tfds(folder, "secret_digits", ten_classes, secret)
    examples = [(images[i], [i % 10, (i + 1) % 10] if i % 3 else []) for i in range(30)]
    classes = tfds.features.Sequence(ten_classes)
    build_tfds(folder, "multi_label_digits", classes, {"validation": examples})
    return str(folder)


def test_splits(data_dir):
    data = Data(
        source="tfds:tiny_digits",
        data_dir=data_dir,
        train_split="train[:90%]",
        validation_split="train[90%:]",
    )
    source = load_source(data)
    assert source.class_names == tuple("0123456789")
    assert source.channels == 1
    splits = (source.train, source.validation, source.test)
    assert [len(split) for split in splits] == [900, 100, 203]
    for split in splits:
        images, labels = read_examples(split)
        assert len(images) == len(split)
        assert len(set(labels)) == 10
        assert all(isinstance(image, bytes) for image in images)  # still encoded
    assert not images_of(source.train) & images_of(source.validation)


@pytest.mark.long
def test_the_order_is_random_and_reproducible_and_each_epoch_is_complete(data_dir):
    data = Data(source="tfds:tiny_digits", data_dir=data_dir)
    source = load_source(data)

    def read(seed, start=0, number=2000):
        dataset = source.train.shuffled(seed, batch_size=1, start_step=start).take(number)
        return [(p, image.file) for p, image, _ in dataset.as_numpy_iterator()]

    first = read(0)
    assert [position for position, _ in first] == list(range(2000))
    assert {image for _, image in first[:1000]} == images_of(source.train)
    assert [i for _, i in first[:1000]] != [i for _, i in first[1000:]]
    assert read(0) == first
    assert read(1)[:50] != first[:50]
    assert read(0, start=1500, number=20) == first[1500:1520]


def test_one_file_is_shuffled_anew_in_each_epoch(data_dir):
    data = Data(source="tfds:one_file", data_dir=data_dir, train_split="test")
    dataset = load_source(data).train.shuffled(0, batch_size=1).take(150)
    images = [image.file for _, image, _ in dataset.as_numpy_iterator()]
    epochs = images[:50], images[50:100], images[100:]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len({frozenset(epoch) for epoch in epochs}) == 1


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.long
def test_the_seed_and_the_step_determine_a_batch(data_dir, seed):
    """The global seed and the start of the pipeline have no influence."""
    augmentation = Augmentation(randaugment_magnitude=10, mixup_alpha=0.2)
    data = Data(source="tfds:tiny_digits", data_dir=data_dir, batch_size=50, flip=True)
    source = load_source(data)

    def batches(start, number):
        dataset = training_batches(source, data, augmentation, seed, start).take(number)
        return np.stack([images for images, _ in dataset.as_numpy_iterator()])

    keras.utils.set_random_seed(0)
    expected = batches(0, 25)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(batches(22, 3), expected[22:])


@pytest.mark.long
def test_the_shards_of_hosts_are_disjoint_and_complete(data_dir):
    source = load_source(Data(source="tfds:tiny_digits", data_dir=data_dir))

    def read_shards(count, read):
        shards = [Shard(index, count) for index in range(count)]
        datasets = [read(shard) for shard in shards]
        return [{image.file for _, image, _ in d.as_numpy_iterator()} for d in datasets]

    for count in (2, 3):
        once = read_shards(count, source.train.in_order)
        assert sum(map(len, once)) == len(set.union(*once)) == 1000
        batch_size = 10 * count
        shuffled = read_shards(
            count,
            lambda shard: source.train.shuffled(0, batch_size, 3, shard).take(300),  # noqa: B023
        )
        for i in range(count):
            assert shuffled[i] <= once[i] and len(shuffled[i]) >= 250


def test_multi_label_datasets(data_dir):
    multi_label = {"source": "tfds:multi_label_digits", "data_dir": data_dir}
    message = "--train-split must have one class per image"
    assert_refused(message, train_split="validation", test_split="none", **multi_label)
    data = Data(
        **multi_label,
        train_split="none",
        test_split="validation",
        batch_size=30,
    )
    source = load_source(data)
    assert len(source.train) == 0 and len(source.class_names) == 10
    ((_, labels, weights),) = evaluation_batches(source.test, source, data)
    expected = np.zeros((30, 10))
    for i in range(30):
        if i % 3:
            expected[i, [i % 10, (i + 1) % 10]] = 1
    # TensorFlow Datasets shuffles the examples as it writes them.
    assert sorted(map(tuple, labels.numpy())) == sorted(map(tuple, expected))
    np.testing.assert_array_equal(weights, labels.numpy().any(axis=1))


@pytest.mark.long
def test_the_cache_has_the_same_examples(data_dir):
    data = Data(source="tfds:tiny_digits", data_dir=data_dir, cache="memory")
    source = load_source(data)
    in_memory = cached(source, data)
    assert images_of(in_memory.train) == images_of(source.train)
    np.testing.assert_array_equal(
        np.bincount(in_memory.train.labels), np.bincount(read_examples(source.train)[1])
    )


def test_invalid_options_are_refused(data_dir):
    where = {"data_dir": data_dir}
    secret = {"source": "tfds:secret_digits", **where}
    assert_refused(
        "--test-split must have labels from 0 to 9. Received: .* a label of -1", **secret
    )
    assert_refused("Did you mean tiny_digits", source="tfds:tiny_digit", **where)
    assert_refused("TensorFlow Datasets says: .*9.9.9", source="tfds:cifar10:9.9.9", **where)
    tiny = {"source": "tfds:tiny_digits", **where}
    assert_refused("--validation-split must have examples", validation_split="test[:0]", **tiny)
    assert_refused("Did you mean .*mnist", source="tfds:mnisst", **where)
    assert_refused("Received: xqzw. See https", source="tfds:xqzw", **where)
    named = {"source": "tfds:tiny_digits", **where}
    assert_refused(
        "--train-split must be a split of tiny_digits, .*train", train_split="tr", **named
    )
    assert_refused("--test-split must be a split", test_split="validation", **named)


def test_images_that_are_almost_black_are_refused(tmp_path):
    import tensorflow_datasets as tfds

    pixels = np.random.default_rng(0).integers(0, 17, (6, 8, 8, 1)).astype("uint8")
    labels = tfds.features.ClassLabel(num_classes=2)
    build_tfds(tmp_path, "dark", labels, {"train": [(x, i % 2) for i, x in enumerate(pixels)]})
    data = {"source": "tfds:dark", "data_dir": str(tmp_path), "test_split": "train"}
    assert_refused("range 0 to 255.*values up to 16 in the first 6 images", **data)
    # The first of the images decide, and those of one split.
    assert_refused("values up to 16 in the first 6 images", **{**data, "train_split": "none"})


@pytest.mark.parametrize("name", ["huggingface:x", "kaggle:x/y", "a b", "../x", "/etc"])
def test_names_of_other_sites_and_paths_are_refused(name, data_dir):
    expected = f"must be a dataset of TensorFlow Datasets.*Received: {name}. .*folder:PATH"
    assert_refused(expected, source=f"tfds:{name}", data_dir=data_dir)


def test_a_name_that_cannot_be_resolved_ends_the_download(monkeypatch, tmp_path):
    """Without a network, TensorFlow Datasets would try for minutes."""
    import socket

    from tensorflow_datasets.core.download import downloader

    def fail(*arguments, **options):
        assert downloader.MAX_RETRIES == 5
        raise socket.gaierror("no network")

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    expected = "must be on disk or available for download. Received: .*no network.*--data-dir"
    assert_refused(expected, source="tfds:mnist", data_dir=str(tmp_path))
    assert downloader.MAX_RETRIES == 10
