import keras
import numpy as np
import pytest

from tests.support import optimization as reference
from tests.support.models import random_pixels, randomize, small_mixer
from training.config import Optimization
from training.optimization.freezing import freeze, plain_model
from training.optimization.optimizer import optimizer
from training.optimization.schedule import learning_rate_schedule
from training.optimization.sharpness_aware import sharpness_aware

ALL = {"stem", "MixerBlock_0", "MixerBlock_1", "pre_head_layer_norm", "head"}


def trained(chosen):
    """Return a Mixer after three steps, and its weights before them."""
    plain = small_mixer(drop_path_rate=0.1)
    randomize(plain)
    before = {v.path: np.array(v) for v in plain.weights}
    freeze(plain, chosen)
    model = sharpness_aware(plain, chosen.sam_rho)
    model.compile(
        optimizer(chosen, learning_rate_schedule(chosen, 20, 4)),
        keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    y = np.eye(5, dtype="float32")[np.arange(12) % 5]
    model.fit(random_pixels((12, 8, 12, 3)), y, batch_size=4, verbose=0)
    return model, before


def test_trainable_layers():
    model = small_mixer()
    for changes, moving in (
        ({}, ALL),
        ({"frozen_blocks": 1}, {"MixerBlock_1", "pre_head_layer_norm", "head"}),
        ({"frozen_blocks": 2}, {"pre_head_layer_norm", "head"}),
        ({"freeze": "body"}, {"head"}),
        ({}, ALL),
    ):
        freeze(model, Optimization(**changes))
        assert {v.path.split("/")[0] for v in model.trainable_variables} == moving


@pytest.mark.parametrize(
    "changes, moving",
    [
        ({"frozen_blocks": 1}, {"MixerBlock_1", "pre_head_layer_norm", "head"}),
        ({"freeze": "body"}, {"head"}),
    ],
)
def test_frozen_weights_are_bitwise_unchanged_and_have_no_optimizer_variables(changes, moving):
    chosen = Optimization(
        learning_rate=0.1, warmup_steps=0, weight_decay=0.5, ema_momentum=0.5, **changes
    )
    model, before = trained(chosen)
    moved = {v.path.split("/")[0] for v in model.weights if (np.array(v) != before[v.path]).any()}
    assert moved == moving
    variables = sum(len(model.get_layer(name).weights) for name in moving)
    # The EMA and two moments of each variable, and the number of steps.
    assert len(model.optimizer.variables) == 3 * variables + 1


def test_the_plain_model_can_be_loaded_without_the_application(tmp_path):
    chosen = reference.settings(freeze="body", sam_rho=0.05, warmup_steps=0)
    model, _ = trained(chosen)
    plain = plain_model(model)
    plain.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(small_mixer())
    assert loaded.name == "mlp_mixer" and not loaded.compiled
    assert len(loaded.trainable_weights) == len(loaded.weights)
    for variable, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.array(variable), np.array(other))
    images = random_pixels((2, 8, 12, 3))
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), plain.predict(images, verbose=0)
    )
