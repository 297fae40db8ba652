"""Arrays in a .npz file as a source."""

import numpy as np
import pytest

from tests.support.splits import assert_refused, read_examples
from training.config import Data
from training.data.sources import load_source
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (30, 6, 5), dtype=np.uint8),
        "y_train": np.arange(30) % 3,
        "x_test": rng.integers(0, 256, (7, 6, 5), dtype=np.uint8),
        "y_test": np.arange(7) % 3,
    }


@pytest.fixture
def load(tmp_path):
    def load(arrays, **fields):
        np.savez(tmp_path / "set.npz", **arrays)
        return load_source(Data(source=f"arrays:{tmp_path / 'set.npz'}", **fields))

    return load


def test_splits(arrays, load):
    source = load(arrays, validation_fraction=0.2)
    assert source.class_names == ("0", "1", "2")
    assert source.channels == 1
    assert [len(s) for s in (source.train, source.validation, source.test)] == [24, 6, 7]
    images, labels = read_examples(source.test)
    np.testing.assert_array_equal(np.stack(images)[..., 0], arrays["x_test"])
    np.testing.assert_array_equal(labels, arrays["y_test"])


def test_color_class_names_and_a_held_out_test_split(arrays, load):
    arrays = {
        "x_train": np.repeat(arrays["x_train"][..., None], 3, axis=3),
        "y_train": arrays["y_train"][:, None],  # as keras.datasets.cifar10 has them
        "class_names": np.array(["cat", "dog", "emu"]),
    }
    source = load(arrays, validation_fraction=0.0, test_fraction=0.5)
    assert source.class_names == ("cat", "dog", "emu")
    assert source.channels == 3
    assert [len(s) for s in (source.train, source.validation, source.test)] == [15, 0, 15]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x_train": None, "y_train": None}, "must contain x_train and y_train. Received: x_test"),
        (
            {"y_train": None},
            "must contain labels of the train split beside x_train",
        ),
        ({"y_test": np.arange(6)}, "must contain 7 integers as y_test"),
        ({"y_train": np.arange(30) / 3}, "must contain 30 integers as y_train"),
        ({"y_train": np.arange(30) % 3 - 1}, "labels from 0 upwards as y_train. Received: -1"),
        ({"x_test": np.zeros((7, 6, 6), "uint8")}, "images of one size"),
        ({"x_test": np.zeros((7, 6, 5))}, "x_test as uint8"),
        ({"x_test": np.zeros((7, 6, 5, 4), "uint8")}, "with 1 or 3 channels"),
        ({"class_names": np.array(["a", "b"])}, "a label of 2 in y_train, and 2 names"),
        ({"y_train": np.arange(30) % 3 * 2}, "Received: a label of 4 in y_train, and none of 3"),
        ({"y_test": np.arange(7) + 1}, "images of every class. Received: none of 3, 4, 5, 6, 7"),
    ],
)
def test_invalid_arrays(change, message, arrays, load):
    arrays = {k: v for k, v in {**arrays, **change}.items() if v is not None}
    with pytest.raises(UserError, match=message):
        load(arrays)


def test_both_sides_have_every_class(arrays, load):
    """Also where a share of a class rounds to nothing."""
    arrays["y_train"] = np.array([0] * 14 + [1] * 14 + [2] * 2)
    for fraction in (0.01, 0.1, 0.9, 0.99):
        source = load(arrays, validation_fraction=fraction)
        for split in (source.train, source.validation):
            assert set(split.labels) == {0, 1, 2}
        together = [*source.train.labels, *source.validation.labels]
        np.testing.assert_array_equal(np.bincount(together), [14, 14, 2])


def test_an_archive_that_does_not_fit_into_memory(arrays, load, monkeypatch):
    """The message says what was being allocated."""

    def fail(*_, **__):
        np.empty(2**47)

    monkeypatch.setattr(np.lib.format, "read_array", fail)
    with pytest.raises(UserError, match="must fit into memory.*allocate 1.00 PiB for an array"):
        load(arrays)


def test_missing_and_corrupt_files(tmp_path):
    assert_refused("must name a file of NumPy arrays", source=f"arrays:{tmp_path / 'none.npz'}")
    np.savez(tmp_path / "valid.npz", x_train=np.zeros((9, 4, 4), "uint8"))
    valid = (tmp_path / "valid.npz").read_bytes()
    np.save(tmp_path / "single.npy", np.zeros(3))
    contents = {
        "text.npz": b"text",
        "empty.npz": b"",
        "half.npz": valid[: len(valid) // 2],
        "version.npz": valid.replace(b"PK\1\2-\3-", b"PK\1\2-\3\xff"),
        "header.npz": valid.replace(b"'shape': (9", b"'shape': (("),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (*contents, "single.npy"):
        assert_refused("must name a file of NumPy arrays", source=f"arrays:{tmp_path / name}")
