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
        ({"x_train": None}, "must contain x_train and y_train"),
        ({"y_train": None}, "must contain 30 integers as y_train. Received: none"),
        ({"y_test": np.arange(6)}, "must contain 7 integers as y_test"),
        ({"y_train": np.arange(30) / 3}, "must contain 30 integers as y_train"),
        ({"y_train": np.arange(30) % 3 - 1}, "labels from 0 upwards. Received: -1 in y_train"),
        ({"x_test": np.zeros((7, 6, 6), "uint8")}, "images of one size"),
        ({"x_test": np.zeros((7, 6, 5))}, "x_test as uint8"),
        ({"x_test": np.zeros((7, 6, 5, 4), "uint8")}, "with 1 or 3 channels"),
        ({"class_names": np.array(["a", "b"])}, "labels up to 2 and 2 class_names"),
        ({"y_train": np.arange(30) % 3 * 2}, "images of every class. Received: none of 1, 3"),
    ],
)
def test_invalid_arrays(change, message, arrays, load):
    arrays = {k: v for k, v in {**arrays, **change}.items() if v is not None}
    with pytest.raises(UserError, match=message):
        load(arrays)


def test_both_sides_have_every_class(arrays, load):
    arrays["y_train"] = np.array([0] * 14 + [1] * 14 + [2] * 2)
    with pytest.raises(UserError, match="leaves none of class 2"):
        load(arrays, validation_fraction=0.1)


def test_missing_and_corrupt_files(tmp_path):
    assert_refused("must name a file of NumPy arrays", source=f"arrays:{tmp_path / 'none.npz'}")
    np.savez(tmp_path / "valid.npz", x_train=np.zeros((9, 4, 4), "uint8"))
    valid = (tmp_path / "valid.npz").read_bytes()
    np.save(tmp_path / "single.npy", np.zeros(3))
    contents = {"text.npz": b"text", "empty.npz": b"", "half.npz": valid[: len(valid) // 2]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (*contents, "single.npy"):
        assert_refused("must name a file of NumPy arrays", source=f"arrays:{tmp_path / name}")
