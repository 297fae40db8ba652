import numpy as np
import pytest

from training.config import Augmentation, Data
from training.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from training.data.sources import Split, load_digits

PLAIN = Augmentation()
EVERYTHING = Augmentation(
    shift_fraction=0.1, rotation_degrees=10, zoom_fraction=0.1, mixup_alpha=0.2
)


def numbered(examples):
    """Images that are all one value, the example's number, which is its label as well."""
    labels = np.arange(examples)
    images = np.broadcast_to(labels[:, None, None, None], (examples, 8, 8, 1)).astype("uint8")
    return Split(images, labels)


def read(dataset, batches=None):
    """Return the images and labels of a dataset, or of its first `batches`."""
    if batches is not None:
        dataset = dataset.take(batches)
    batches = [(images.numpy(), labels.numpy()) for images, labels in dataset]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


def test_evaluation_sees_every_example_once_and_in_order():
    for examples, batch_size in [(10, 3), (9, 3), (2, 5), (7, 1)]:
        dataset = evaluation_batches(numbered(examples), examples, Data(batch_size=batch_size))
        images, labels = read(dataset)
        np.testing.assert_array_equal(labels, np.eye(examples))
        np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(examples))
        assert images.dtype == np.uint8


def test_training_batches_are_full_and_their_images_keep_their_labels():
    data, split = Data(batch_size=4), numbered(10)
    dataset = training_batches(split, 10, data, PLAIN, seed=0)
    assert dataset.element_spec[0].shape == (4, 8, 8, 1)
    assert steps_per_epoch(split, data) == 2
    images, labels = read(dataset, 2)
    assert len(set(labels.argmax(axis=1))) == 8  # nothing twice in an epoch
    np.testing.assert_array_equal(images[:, 3, 3, 0], labels.argmax(axis=1))
    assert images.dtype == np.uint8  # nothing is on, so nothing is converted


def test_epochs_come_in_new_order_and_seeds_repeat_them():
    def orders(seed):
        dataset = training_batches(numbered(50), 50, Data(batch_size=10), PLAIN, seed)
        labels = read(dataset, 10)[1].argmax(axis=1)
        return list(labels[:50]), list(labels[50:])

    first, second = orders(0)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert orders(0) == (first, second)
    assert orders(1)[0] != first


def test_what_an_epoch_leaves_out_takes_its_turn():
    dataset = training_batches(numbered(10), 10, Data(batch_size=4), PLAIN, seed=0)
    assert set(read(dataset, 20)[1].argmax(axis=1)) == set(range(10))


@pytest.mark.parametrize("seed", [0, 1])
def test_augmentation_is_repeated_by_the_seed_and_new_in_every_epoch(seed):
    split = load_digits(0.0).train

    def batches(seed):
        dataset = training_batches(split, 10, Data(batch_size=200), EVERYTHING, seed)
        return read(dataset, 4 * steps_per_epoch(split, Data(batch_size=200)))

    images, labels = batches(seed)
    again = batches(seed)
    np.testing.assert_array_equal(images, again[0])
    np.testing.assert_array_equal(labels, again[1])
    assert not np.array_equal(images, batches(seed + 2)[0])
    # Mixup's share of each batch: none of the 28 comes twice.
    shares = {float(batch.max(axis=1).min()) for batch in labels.reshape(28, 200, 10)}
    assert len({round(share, 6) for share in shares if share < 0.9999}) == len(
        [share for share in shares if share < 0.9999]
    )
    assert len(shares) > 14


def test_images_are_resized():
    data = Data(image_size=12, batch_size=2)
    for dataset in (
        evaluation_batches(numbered(5), 5, data),
        training_batches(numbered(5), 5, data, EVERYTHING, seed=0),
    ):
        assert dataset.element_spec[0].shape[1:] == (12, 12, 1)
    images, labels = read(evaluation_batches(numbered(5), 5, data))
    np.testing.assert_allclose(images[:, 5, 5, 0], labels.argmax(axis=1), atol=1e-5)
