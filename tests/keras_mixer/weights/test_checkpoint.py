"""Checkpoints of training runs as weight files."""

import io
import json
import zipfile

import keras
import numpy as np
import pytest

from keras_mixer.convert import convert
from keras_mixer.weights.formats import WeightsError, open_arrays
from tests.support.models import (
    SMALL_IMAGE,
    random_arrays,
    random_pixels,
    small_architecture,
    small_mixer,
)
from tests.support.reference import LARGEST_ERROR, relative_error
from tests.support.reference import mixer as reference_mixer

ARRAYS = random_arrays(small_architecture().shapes())
ENTRIES = {name: f"trainable/{i}" for i, name in enumerate(ARRAYS)}


def write(path, entries=ENTRIES, arrays=ARRAYS, **progress):
    """Write a checkpoint with `arrays` at their `entries`, and state of the optimizer beside."""
    stored = {entries[name]: array for name, array in arrays.items() if name in entries}
    stored["optimizer/0"] = np.int64(7)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("progress.json", json.dumps({"batches": 3, **progress}))
        for entry, array in stored.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array), allow_pickle=False)
            archive.writestr(f"{entry}.npy", content.getvalue())
    return path


@pytest.fixture
def checkpoint(tmp_path):
    return write(tmp_path / "best.npz", weights=ENTRIES)


def test_names_lead_to_arrays(checkpoint):
    with open_arrays(checkpoint) as file:
        assert file.format == "checkpoint"
        assert file.shapes == {name: array.shape for name, array in ARRAYS.items()}
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file.read(name), array)


def test_a_model_is_built_from_a_checkpoint(checkpoint):
    model = small_mixer(weights=checkpoint, classes=None)
    pixels = random_pixels((2, *SMALL_IMAGE))
    reference = reference_mixer(ARRAYS, pixels)
    assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR


def test_moving_averages_are_read_where_the_names_lead_to_them(tmp_path):
    averages = {
        name: entry.replace("trainable", "optimizer/ema") for name, entry in ENTRIES.items()
    }
    path = write(tmp_path / "ema.npz", averages, weights=averages)
    with open_arrays(path) as file:
        np.testing.assert_array_equal(file.read("head/kernel"), ARRAYS["head/kernel"])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".weights.h5", ".keras"])
def test_a_checkpoint_is_converted(suffix, checkpoint, tmp_path):
    target = tmp_path / f"target{suffix}"
    convert(checkpoint, target, image_size=SMALL_IMAGE[:2])
    model = small_mixer(weights=target, classes=None)
    for variable, other in zip(
        model.weights, small_mixer(weights=checkpoint, classes=None).weights, strict=True
    ):
        np.testing.assert_array_equal(variable, other)


def test_numerics_of_a_checkpoint(tmp_path):
    numerics = {"approximate_gelu": False, "value_range": [0.0, 1.0], "grid": [2, 3]}
    path = write(tmp_path / "best.npz", weights=ENTRIES, numerics=numerics)
    model = small_mixer(weights=path, classes=None, input_shape=None)
    assert model.input_shape == (None, *SMALL_IMAGE)
    pixels = random_pixels((2, *SMALL_IMAGE))
    reference = reference_mixer(ARRAYS, pixels, approximate_gelu=False, value_range=(0, 1))
    assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR


@pytest.mark.parametrize(
    "numerics",
    [
        {"approximate_gelu": "tanh"},
        {"value_range": [1]},
        {"value_range": "ab"},
        {"grid": [0, 3]},
        3,
    ],
)
def test_invalid_numerics(numerics, tmp_path):
    path = write(tmp_path / "best.npz", weights=ENTRIES, numerics=numerics)
    with pytest.raises(WeightsError, match="describes its model in a form that is not known"):
        small_mixer(weights=path, classes=None)


def test_a_checkpoint_without_names_is_refused_with_a_next_step(tmp_path):
    path = write(tmp_path / "batch-000000003.npz")
    with pytest.raises(WeightsError, match=r"does not name its weights.*model\.keras.*resume"):
        small_mixer(weights=path, classes=None)


@pytest.mark.parametrize(
    "weights, message",
    [
        ({**ENTRIES, "head/bias": "trainable/99"}, "no item named 'trainable/99.npy'"),
        ({k: v for k, v in ENTRIES.items() if k != "head/bias"}, "1 missing: head/bias"),
        ({**ENTRIES, "tail/bias": "trainable/0"}, "1 unexpected: tail/bias"),
        ({**ENTRIES, "head/bias": "optimizer/0"}, r"head/bias \(\) instead of \(5,\)"),
        (["stem/kernel"], "cannot be read as checkpoint"),
        ({}, "does not hold a Mixer"),
    ],
)
def test_wrong_names(weights, message, tmp_path):
    path = write(tmp_path / "best.npz", weights=weights)
    with pytest.raises(WeightsError, match=f"best.npz'.*{message}"):
        small_mixer(weights=path, classes=5)


def test_corrupt_checkpoints(checkpoint):
    content = bytearray(checkpoint.read_bytes())
    array = ARRAYS["MixerBlock_1/channel_mixing/Dense_1/kernel"].tobytes()
    content[content.index(array) + 100] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(WeightsError, match="CRC"):
        small_mixer(weights=checkpoint, classes=None)
    checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="corrupt or truncated"):
        small_mixer(weights=checkpoint, classes=None)


def test_a_model_from_a_checkpoint_is_an_ordinary_model(checkpoint, tmp_path):
    small_mixer(weights=checkpoint, classes=None).save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").output_shape == (None, 5)
