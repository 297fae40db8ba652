import json
import zipfile

import keras
import numpy as np
import pytest

from keras_mixer.convert import convert
from keras_mixer.weights.load import variables_by_name
from keras_mixer.weights.numerics import Numerics
from tests.support import optimization as reference
from tests.support.models import random_pixels, randomize, small_mixer
from training.optimization.freezing import freeze
from training.optimization.optimizer import optimizer
from training.optimization.schedule import learning_rate_schedule
from training.optimization.sharpness_aware import sharpness_aware
from training.run.checkpoint_file import PROGRESS
from training.run.checkpoints import Checkpoints
from training.run.named_weights import numerics
from training.run.progress import Progress

KERNEL = "MixerBlock_1/token_mixing/Dense_0/kernel"


def saved(model, folder):
    """Return the arrays of a checkpoint of `model` by the names in it."""
    checkpoints = Checkpoints(folder)
    checkpoints.save(model, Progress(batches=1))
    checkpoints.finish()
    with zipfile.ZipFile(folder / "batch-000000001.npz") as archive:
        entries = json.loads(archive.read(PROGRESS))["weights"]
        arrays = {}
        for name, entry in entries.items():
            with archive.open(f"{entry}.npy") as file:
                arrays[name] = np.lib.format.read_array(file)
    return arrays, entries


def trained(**changes):
    """Return a Mixer after three steps."""
    chosen = reference.settings(warmup_steps=0, **changes)
    mixer = small_mixer(dropout_rate=0.1)
    randomize(mixer)
    freeze(mixer, chosen)
    model = sharpness_aware(mixer, chosen.sam_rho)
    made = optimizer(chosen, learning_rate_schedule(chosen, 20, 4))
    model.compile(made, keras.losses.CategoricalCrossentropy(from_logits=True))
    y = np.eye(5, dtype="float32")[np.arange(12) % 5]
    model.fit(random_pixels((12, 8, 12, 3)), y, batch_size=4, verbose=0)
    return model


@pytest.mark.parametrize("changes", [{}, {"frozen_blocks": 1}, {"sam_rho": 0.05}])
def test_names_point_at_the_weights(tmp_path, changes):
    model = trained(**changes)
    arrays, entries = saved(model, tmp_path)
    assert len(arrays) == len(model.weights)
    assert {"stem/kernel", "pre_head_layer_norm/scale", "head/bias", KERNEL} <= arrays.keys()
    np.testing.assert_array_equal(arrays["stem/kernel"], model.get_layer("stem").kernel)
    kernel = model.get_layer("MixerBlock_1").token_mixing.dense_0.kernel
    np.testing.assert_array_equal(arrays[KERNEL], kernel)
    is_frozen = "frozen_blocks" in changes
    assert entries["stem/kernel"].startswith("non_trainable/" if is_frozen else "trainable/")


def test_with_ema_names_point_at_the_averages(tmp_path):
    model = trained(ema_momentum=0.8, frozen_blocks=1)
    arrays, entries = saved(model, tmp_path)
    assert entries["head/kernel"].startswith("optimizer/")
    assert entries["stem/kernel"].startswith("non_trainable/")
    head = model.get_layer("head").kernel
    (place,) = [i for i, v in enumerate(model.trainable_variables) if v is head]
    average = model.optimizer._model_variables_moving_average[place]
    np.testing.assert_array_equal(arrays["head/kernel"], average)
    assert np.any(arrays["head/kernel"] != np.array(head))


@pytest.mark.parametrize("changes", [{}, {"ema_momentum": 0.8, "frozen_blocks": 1}])
def test_the_library_loads_a_checkpoint(tmp_path, changes):
    arrays, _ = saved(trained(**changes), tmp_path)
    path = tmp_path / "batch-000000001.npz"
    loaded = small_mixer(weights=path, classes=None, input_shape=None)
    found = {name: np.array(v) for name, v in variables_by_name(loaded).items()}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    convert(path, tmp_path / "converted.npz")
    for name, array in np.load(tmp_path / "converted.npz").items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.backend("torch")
@pytest.mark.parametrize("include_preprocessing", [True, False])
def test_numerics_are_those_of_a_keras_file(include_preprocessing):
    value_range = {"value_range": (-2.0, 3.0)} if include_preprocessing else {}
    model = small_mixer(
        approximate_gelu=False, include_preprocessing=include_preprocessing, **value_range
    )
    expected = Numerics.from_keras_config({"config": json.loads(model.to_json())["config"]})
    found = numerics(model)
    assert found["approximate_gelu"] == expected.approximate_gelu
    assert tuple(found["grid"]) == expected.grid
    if include_preprocessing:
        assert tuple(found["value_range"]) == expected.value_range == (-2.0, 3.0)
    else:
        assert "value_range" not in found
    json.dumps(found)


@pytest.mark.backend("torch")
def test_a_model_that_is_not_a_mixer_has_no_names(tmp_path):
    model, _ = reference.fit(reference.settings(), *reference.batches(5))
    assert saved(model, tmp_path)[0] == {}
    assert numerics(model) == {}
