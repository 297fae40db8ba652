"""Resizing and scaling."""

import keras
import numpy as np
import pytest

from keras_mixer.keras_hub import MixerImageClassifierPreprocessor, MixerImageConverter
from keras_mixer.keras_hub.presets import ROWS
from tests.support.keras_hub import google_file, timm_file
from tests.support.models import random_pixels


def to_numpy(images):
    return keras.ops.convert_to_numpy(images)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.backend("torch")
def test_published_checkpoints_get_the_range_that_they_were_trained_with(name):
    converter = MixerImageConverter.from_preset(name)
    low, high = ROWS[name].value_range
    pixels = random_pixels((2, 224, 224, 3)).astype("float64")
    expected = low + (high - low) * pixels / 255
    # Images of the right size are not resampled.
    np.testing.assert_allclose(to_numpy(converter(pixels.astype("uint8"))), expected, atol=3e-7)


@pytest.mark.backend("torch")
def test_weight_files_say_the_range_and_the_size(tmp_path):
    converter = MixerImageConverter.from_preset(timm_file(tmp_path / "t.safetensors", (0.0, 1.0)))
    assert (converter.image_size, converter.offset) == ((8, 12), 0.0)
    assert converter.scale == pytest.approx(1 / 255)
    path = google_file(tmp_path / "mixer.npz", num_patches=9)
    preprocessor = MixerImageClassifierPreprocessor.from_preset(path)
    converter = preprocessor.image_converter
    assert (converter.image_size, converter.offset) == ((12, 12), -1.0)
    assert converter.scale == pytest.approx(2 / 255)
    assert MixerImageConverter.from_preset(path, image_size=(24, 24)).image_size == (24, 24)


def test_images_are_cropped_to_the_aspect_ratio_and_filtered():
    gradient = np.tile(np.arange(64.0)[:, None, None], (1, 100, 3))
    gradient[:, :18] = gradient[:, 82:] = 255  # outside of the central square
    stripes = np.tile(np.array([0.0, 255.0])[None, :, None], (64, 32, 3))
    converter = MixerImageConverter((8, 8), scale=None, offset=None)
    np.testing.assert_allclose(
        to_numpy(converter(gradient.astype("float32")))[2:6, :, 0],
        np.tile(np.arange(3.5, 64, 8)[2:6, None], 8),
        atol=1e-3,
    )
    np.testing.assert_allclose(to_numpy(converter(stripes.astype("float32"))), 127.5, atol=8)


def test_scaling_is_exact_under_a_policy_of_half_precision():
    pixels = random_pixels((1, 8, 8, 3))
    expected = to_numpy(MixerImageConverter((8, 8))(pixels))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        converted = MixerImageConverter((8, 8))(pixels)
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(converted.dtype) == "float32"
    np.testing.assert_array_equal(to_numpy(converted), expected)


def test_channels_first():
    pixels = random_pixels((2, 20, 16, 3))
    expected = to_numpy(MixerImageConverter((8, 8))(pixels))
    converter = MixerImageConverter((8, 8), data_format="channels_first")
    converter = MixerImageConverter.from_config(converter.get_config())
    converted = to_numpy(converter(pixels.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(converted.transpose(0, 2, 3, 1), expected, atol=1e-5)
    with pytest.raises(ValueError, match="MixerImageConverter: `data_format` must be one of"):
        MixerImageConverter(data_format="first")
