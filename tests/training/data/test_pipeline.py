"""Batches for training and evaluation: order, shards, padding and weights."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support.augmentation import EVERYTHING
from training.config import Augmentation, Data
from training.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from training.data.shard import Shard
from training.data.source import Source
from training.data.sources import digits, load_source
from training.data.splits import in_memory
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # tf.data does this under every backend

PLAIN = Augmentation()
MIXUP = Augmentation(shift_fraction=0.1, rotation_degrees=10, zoom_fraction=0.1, mixup_alpha=0.2)


def numbered(examples):
    """Constant images whose value is their index, which is also the label."""
    labels = np.arange(examples)
    images = np.broadcast_to(labels[:, None, None, None], (examples, 8, 8, 1)).astype("uint8")
    split = in_memory(images, labels)
    return Source(tuple(map(str, labels)), 1, split, split, split)


def read(dataset, batches=None):
    """Return the images and labels of a dataset, or of its first `batches`."""
    if batches is not None:
        dataset = dataset.take(batches)
    batches = [(images.numpy(), labels.numpy()) for images, labels, *_ in dataset]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


def test_evaluation_reads_every_example_once_in_order():
    for examples, batch_size in [(10, 3), (9, 3), (2, 5), (7, 1)]:
        source = numbered(examples)
        dataset = evaluation_batches(source.test, source, Data(batch_size=batch_size))
        images, labels = read(dataset)
        np.testing.assert_array_equal(labels[:examples], np.eye(examples))
        np.testing.assert_array_equal(images[:examples, 0, 0, 0], np.arange(examples))
        assert images.dtype == np.uint8


@pytest.mark.parametrize("hosts", [1, 2, 3])
@pytest.mark.parametrize("examples, batch_size", [(10, 6), (12, 6), (2, 6), (13, 12), (5, 12)])
def test_hosts_evaluate_every_example_once(hosts, examples, batch_size):
    source, data = numbered(examples), Data(batch_size=batch_size)
    counts, total, numbers_of_batches = np.zeros(examples), 0, set()
    for host in range(hosts):
        dataset = evaluation_batches(source.test, source, data, Shard(host, hosts))
        batches = list(dataset.as_numpy_iterator())
        numbers_of_batches.add(len(batches))
        for images, labels, weights in batches:
            assert images.shape == (batch_size // hosts, 8, 8, 1)
            np.testing.assert_array_equal(weights > 0, labels.sum(axis=1))
            np.testing.assert_array_equal(images[:, 0, 0, 0], labels @ np.arange(examples))
            counts += labels.sum(axis=0)
            total += weights.sum()
    np.testing.assert_array_equal(counts, 1)
    (number_of_batches,) = numbers_of_batches
    # The weighted mean over all images, padding included, is the mean over the examples.
    assert total == pytest.approx(number_of_batches * batch_size, rel=1e-6)


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_read_the_shards_of_the_batch_of_one_host(hosts):
    source, data = numbered(50), Data(batch_size=8, flip=True)
    whole = read(training_batches(source, data, PLAIN, seed=1, start_step=3), 6)
    shards = [
        read(training_batches(source, data, PLAIN, 1, start_step=3, shard=Shard(host, hosts)), 6)
        for host in range(hosts)
    ]
    for i in range(2):
        together = np.stack([shard[i].reshape(6, 8 // hosts, -1) for shard in shards], axis=1)
        np.testing.assert_array_equal(together.reshape(6 * 8, -1), whole[i].reshape(6 * 8, -1))


def test_the_batch_size_is_a_multiple_of_the_hosts():
    source = numbered(50)
    with pytest.raises(UserError, match="must be a multiple of the number of hosts, 3"):
        training_batches(source, Data(batch_size=8), PLAIN, 0, shard=Shard(0, 3))


def test_without_determinism_the_same_images_come_in_any_order():
    source, data = numbered(40), Data(batch_size=4, deterministic=False)
    dataset = training_batches(source, data, PLAIN, seed=0)
    assert dataset.options().deterministic is False
    _, labels = read(dataset, 10)
    assert len(set(labels.argmax(axis=1))) >= 30  # some may come from the next epoch


def test_training_batches_are_full_and_images_keep_their_labels():
    data, source = Data(batch_size=4), numbered(10)
    dataset = training_batches(source, data, PLAIN, seed=0)
    assert dataset.element_spec[0].shape == (4, 8, 8, 1)
    assert steps_per_epoch(source.train, data) == 2
    images, labels = read(dataset, 2)
    assert len(set(labels.argmax(axis=1))) == 8  # no example twice in an epoch
    np.testing.assert_array_equal(images[:, 3, 3, 0], labels.argmax(axis=1))
    assert images.dtype == np.uint8  # without mixup, images are not converted


def test_each_epoch_has_a_new_order_determined_by_the_seed():
    def orders(seed):
        dataset = training_batches(numbered(50), Data(batch_size=10), PLAIN, seed)
        labels = read(dataset, 10)[1].argmax(axis=1)
        return list(labels[:50]), list(labels[50:])

    first, second = orders(0)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert orders(0) == (first, second)
    assert orders(1)[0] != first


def test_examples_left_out_of_an_epoch_come_in_the_next():
    dataset = training_batches(numbered(10), Data(batch_size=4), PLAIN, seed=0)
    labels = read(dataset, 5)[1].argmax(axis=1)
    assert sorted(labels) == sorted([*range(10), *range(10)])


@pytest.mark.parametrize("seed", [0, 1])
def test_augmentation_is_determined_by_the_seed_and_new_in_each_epoch(seed):
    source = digits.load(Data(validation_fraction=0.0))
    data = Data(batch_size=200)

    def batches(seed):
        dataset = training_batches(source, data, MIXUP, seed)
        return read(dataset, 4 * steps_per_epoch(source.train, data))

    images, labels = batches(seed)
    again = batches(seed)
    np.testing.assert_array_equal(images, again[0])
    np.testing.assert_array_equal(labels, again[1])
    assert not np.array_equal(images, batches(seed + 2)[0])
    # The mixup shares of the 28 batches differ.
    shares = {float(batch.max(axis=1).min()) for batch in labels.reshape(28, 200, 10)}
    assert len({round(share, 6) for share in shares if share < 0.9999}) == len(
        [share for share in shares if share < 0.9999]
    )
    assert len(shares) > 14


def test_crops_do_not_depend_on_the_augmentation():
    data = Data(batch_size=16, training_crop="pad", flip=True)
    source = digits.load(data)
    plain, erased = (
        read(training_batches(source, data, augmentation, seed=0), 1)[0]
        for augmentation in (PLAIN, Augmentation(erasing_probability=1.0))
    )
    assert 0.6 < np.mean(plain == erased) < 1
    assert set(erased[plain != erased]) == {128}


def test_images_are_resized():
    data, source = Data(image_size=12, batch_size=2), numbered(5)
    for dataset in (
        evaluation_batches(source.test, source, data),
        training_batches(source, data, EVERYTHING, seed=0),
    ):
        assert dataset.element_spec[0].shape[1:] == (12, 12, 1)
    images, labels = read(evaluation_batches(source.test, source, data))
    np.testing.assert_array_equal(images[:5, 5, 5, 0], labels[:5].argmax(axis=1))


def test_evaluation_uses_the_transforms_of_the_library():
    from keras_mixer.preprocessing import TRANSFORMS, prepare_image

    photo = np.random.default_rng(0).integers(0, 256, (1, 40, 60, 3)).astype("uint8")
    split = in_memory(photo, np.zeros(1, int))
    source = Source(("a", "b"), 3, split, split, split)
    for name in TRANSFORMS:
        data = Data(image_size=16, batch_size=1, evaluation_transform=name)
        images, _ = read(evaluation_batches(split, source, data))
        np.testing.assert_array_equal(images[0], prepare_image(photo[0], name, 16))


@pytest.mark.long
def test_a_folder_of_hundreds_of_valid_and_truncated_photos(tmp_path):
    """All valid ones go through every crop, and evaluation reads each once."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (30, 40, 3)).astype("uint8"))
    modes, valid = ["RGB", "L", "CMYK"], 0
    for i in range(300):
        folder = tmp_path / f"class {i % 3}"
        folder.mkdir(exist_ok=True)
        photo = noise.resize(rng.integers(1, 400, 2).tolist()).convert(modes[i % 7 % 3])
        exif = Image.Exif()
        exif[0x0112] = 1 + i % 8
        photo.save(folder / f"{i}.jpg", exif=exif, progressive=bool(i % 2))
        if i % 20 == 19:
            contents = (folder / f"{i}.jpg").read_bytes()
            (folder / f"{i}.jpg").write_bytes(contents[: len(contents) * (i % 3) // 3])
        else:
            valid += 1
    data = Data(
        source=f"folder:{tmp_path}",
        on_bad_image="skip",
        image_size=32,
        batch_size=16,
        flip=True,
        evaluation_transform="resmall-crop",
    )
    source = load_source(data)
    assert len(source.skipped) == 300 - valid
    splits = (source.train, source.validation, source.test)
    counted = 0
    for split in splits:
        for images, labels, weights in evaluation_batches(split, source, data):
            assert images.shape == (16, 32, 32, 3) and images.dtype == tf.uint8
            np.testing.assert_array_equal(labels.numpy().sum(axis=1), weights > 0)
            counted += int((weights.numpy() > 0).sum())
    assert counted == valid
    for crop in ("resize", "inception", "pad"):
        images, labels = read(
            training_batches(source, dataclasses.replace(data, training_crop=crop), PLAIN, 0), 20
        )
        assert images.shape == (320, 32, 32, 3) and images.dtype == np.uint8
        assert images.min() < 30 and images.max() > 225
        np.testing.assert_array_equal(labels.sum(axis=1), 1)
