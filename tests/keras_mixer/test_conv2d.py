"""The stem: Keras's convolution, computed as one product of patches."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mixer import kernels
from keras_mixer.layers.conv2d import Conv2D
from tests.support.models import random_pixels, randomize, small_mixer
from tests.support.reference import LARGEST_ERROR, relative_error

OTHER_CONVOLUTIONS = {
    "overlapping": {"strides": 1},
    "padded": {"strides": (4, 2), "padding": "same"},
    "dilated": {"strides": 1, "dilation_rate": 2},
    "in groups": {"strides": (4, 2), "groups": 2},
}
PATCHES = {"strides": (4, 2), "activation": "relu", "kernel_regularizer": "l2"}
IMAGES = np.random.default_rng(0).standard_normal((2, 9, 7, 4)).astype("float32")


def pair_of_layers(**arguments):
    """Return ours and Keras's, with the same weights."""
    arguments = {"data_format": "channels_last", "bias_initializer": "ones", **arguments}
    ours, keras_layer = (c(6, (4, 2), **arguments) for c in (Conv2D, keras.layers.Conv2D))
    for layer in (ours, keras_layer):
        layer.build(IMAGES.shape)
    ours.set_weights(keras_layer.get_weights())
    return ours, keras_layer


@pytest.mark.parametrize("case", [*OTHER_CONVOLUTIONS, "patches"])
def test_outputs_are_those_of_keras(case):
    ours, keras_layer = pair_of_layers(**OTHER_CONVOLUTIONS.get(case, PATCHES))
    y = ops.convert_to_numpy(ours(IMAGES))
    assert relative_error(y, ops.convert_to_numpy(keras_layer(IMAGES))) <= LARGEST_ERROR
    assert ours.compute_output_shape(IMAGES.shape) == y.shape


@pytest.mark.parametrize("case", [*OTHER_CONVOLUTIONS, "patches"])
def test_only_separate_patches_are_one_product(case, monkeypatch):
    calls = []
    reference = kernels.convolve_patches
    monkeypatch.setattr(
        kernels, "convolve_patches", lambda *args: calls.append(args) or reference(*args)
    )
    ours, _ = pair_of_layers(**OTHER_CONVOLUTIONS.get(case, PATCHES))
    ours(IMAGES)
    assert bool(calls) == (case == "patches")


def test_lora_is_part_of_the_product():
    ours, keras_layer = pair_of_layers(**PATCHES)
    for layer in (ours, keras_layer):
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    ours.lora_kernel_a.assign(keras_layer.lora_kernel_a)
    y = ops.convert_to_numpy(ours(IMAGES))
    assert relative_error(y, ops.convert_to_numpy(keras_layer(IMAGES))) <= LARGEST_ERROR


def test_config_round_trip():
    ours, _ = pair_of_layers(**PATCHES)
    config = ours.get_config()
    assert Conv2D.from_config(config).get_config() == config


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_files_with_the_stem_of_keras_load(suffix, tmp_path, monkeypatch):
    """Earlier versions had Keras's own layer as the stem."""
    pixels = random_pixels((2, 8, 12, 3))
    with monkeypatch.context() as earlier:
        earlier.setattr("keras_mixer.mixer.Conv2D", keras.layers.Conv2D)
        model = small_mixer(name="mixer")
    randomize(model)
    assert type(model.get_layer("stem")) is keras.layers.Conv2D
    path = tmp_path / f"mixer{suffix}"
    if suffix == ".keras":
        model.save(path)
        loaded = keras.saving.load_model(path)
    else:
        model.save_weights(path)
        loaded = small_mixer(name="mixer")
        loaded.load_weights(path)
    found, expected = (ops.convert_to_numpy(m(pixels)) for m in (loaded, model))
    assert relative_error(found, expected) <= LARGEST_ERROR
