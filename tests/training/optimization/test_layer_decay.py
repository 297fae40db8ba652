import keras
import numpy as np
import pytest

from tests.support import optimization as reference
from tests.support.models import small_mixer
from training.optimization.layer_decay import layer_scale

SCALES = {"hidden/kernel": 0.3, "hidden/bias": 0.3, "head/kernel": 1.0, "head/bias": 1.0}


def test_the_scale_decreases_from_the_head_to_the_stem():
    model = small_mixer(num_blocks=3)
    scale_of = layer_scale(model, 0.5)
    found = {variable.path.split("/")[0]: set() for variable in model.weights}
    for variable in model.weights:
        found[variable.path.split("/")[0]].add(scale_of(variable))
    assert found == {
        "head": {1.0},
        "pre_head_layer_norm": {0.5},
        "MixerBlock_2": {0.5},
        "MixerBlock_1": {0.25},
        "MixerBlock_0": {0.125},
        "stem": {0.0625},
    }
    assert {layer_scale(model, 1.0)(variable) for variable in model.weights} == {1.0}


def test_without_decay_a_model_need_not_be_a_mixer():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    assert {layer_scale(model, 1.0)(variable) for variable in model.weights} == {1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_decay": 0.5},
        {"optimizer": "adamw", "learning_rate": 0.02, "weight_decay": 0.5},
        {"weight_decay": 0.5, "accumulation_steps": 2, "clip_global_norm": 0.1},
    ],
)
def test_the_scale_multiplies_learning_rate_and_decay(changes):
    chosen = reference.settings(**changes)
    x, y = reference.batches(20 * chosen.accumulation_steps)
    model, _ = reference.fit(chosen, x, y, scale_of=lambda variable: SCALES[variable.path])
    rates = reference.rates(chosen, 20)
    expected, _, _ = reference.train(chosen, x, y, rates, SCALES)
    assert reference.largest_error(model, expected) < reference.LARGEST_ERROR
    unscaled, _, _ = reference.train(chosen, x, y, rates)
    assert np.abs(unscaled["hidden/kernel"] - expected["hidden/kernel"]).max() > 0.01
