"""Construction: the weights are opened once, and nothing is sampled that they replace."""

import threading

import keras
import numpy as np
import pytest

from keras_mixer.layers import initialization
from keras_mixer.layers.initialization import skip_initialization
from keras_mixer.weights import load
from tests.support.models import random_arrays, small_architecture, small_mixer


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "small.npz", **random_arrays(small_architecture(num_patches=9).shapes()))
    return tmp_path / "small.npz"


@pytest.fixture
def opened(monkeypatch):
    """The paths of the weight files that are opened."""
    paths, open_arrays = [], load.open_arrays
    monkeypatch.setattr(load, "open_arrays", lambda p: paths.append(p) or open_arrays(p))
    return paths


@pytest.mark.parametrize("input_shape", [None, (12, 12, 3), (24, 12, 3)])
@pytest.mark.parametrize("classes", [None, 5, 7])
def test_a_weight_file_is_opened_once(input_shape, classes, path, opened):
    small_mixer(weights=path, input_shape=input_shape, classes=classes)
    assert opened == [path]


def test_random_weights_open_no_file(opened):
    small_mixer()
    assert not opened


@pytest.fixture
def sampled(monkeypatch):
    """The shapes of the kernels that are sampled."""
    shapes, sample = [], initialization.truncated_normal

    def record(shape, stddev, seed):
        shapes.append(shape)
        return sample(shape, stddev, seed)

    monkeypatch.setattr(initialization, "truncated_normal", record)
    return shapes


def test_loading_samples_no_kernels(path, sampled):
    model = small_mixer(weights=path, input_shape=None)
    assert not sampled
    assert model.get_config() == small_mixer(input_shape=(12, 12, 3)).get_config()
    assert len(sampled) == 1 + 2 * 4  # the stem, and four kernels in each block


def test_initialization_is_skipped_inside_the_context_only(sampled):
    with skip_initialization():
        skipped = small_mixer()
        assert not sampled
        thread = threading.Thread(target=small_mixer)
        thread.start()
        thread.join()
        assert len(sampled) == 9  # in another thread
    assert not any(np.any(v) for v in skipped.weights if v.name == "kernel")
    stem = small_mixer().get_layer("stem")
    assert np.any(stem.kernel)


def test_initialization_is_skipped_no_longer_after_an_error(sampled):
    with pytest.raises(ZeroDivisionError), skip_initialization():
        raise ZeroDivisionError
    small_mixer()
    assert sampled


def test_a_layer_built_without_sampling_is_saved_and_cloned_as_usual():
    with skip_initialization():
        model = small_mixer(hidden_dim=64)
    clone = keras.models.clone_model(model)
    kernel = clone.get_layer("MixerBlock_0").channel_mixing.dense_0.kernel
    assert np.std(kernel.numpy()) == pytest.approx(64**-0.5, rel=0.2)  # lecun normal
