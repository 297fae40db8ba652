import dataclasses

import keras
import numpy as np
import pytest

from training.config import Optimization
from training.optimization.schedule import Schedule, learning_rate_schedule

SETTINGS = Optimization(learning_rate=0.1, warmup_steps=5)


def rates(**changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    schedule = learning_rate_schedule(settings, 25, batch_size=64)
    return [float(schedule(update)) for update in range(30)]


@pytest.mark.parametrize(
    "decay, share",
    [
        ("cosine", lambda progress: 0.5 * (1 + np.cos(np.pi * progress))),
        ("linear", lambda progress: 1e-5 + (1 - 1e-5) * (1 - progress)),
        ("constant", np.ones_like),
    ],
)
@pytest.mark.parametrize("warmup", [0, 5])
def test_the_schedule_warms_up_linearly_and_decays(decay, share, warmup):
    updates = np.arange(30)
    progress = np.clip((updates - warmup) / (25 - warmup), 0, 1)
    expected = np.where(updates < warmup, updates / max(warmup, 1), share(progress)) * 0.1
    np.testing.assert_allclose(rates(schedule=decay, warmup_steps=warmup), expected, atol=1e-8)


def test_the_linear_decay_equals_that_of_big_vision():
    """lr = zero + (1 - zero) (1 - progress), times min(1, step / warmup)."""
    found = rates(schedule="linear")
    assert found[5] == pytest.approx(0.1)
    assert found[15] == pytest.approx(0.1 * (1e-5 + (1 - 1e-5) * 0.5))
    assert found[25] == found[29] == pytest.approx(1e-6)


def test_the_cosine_decay_equals_that_of_keras():
    theirs = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=20, warmup_target=0.1, warmup_steps=5
    )
    np.testing.assert_allclose(rates()[:26], [float(theirs(i)) for i in range(26)], atol=1e-8)


def test_learning_rate_scaling_needs_a_reference_batch_size():
    assert max(rates()) == pytest.approx(0.1)
    assert max(rates(reference_batch_size=256)) == pytest.approx(0.1 * 64 / 256)
    both = rates(reference_batch_size=256, accumulation_steps=8)
    assert max(both) == pytest.approx(0.1 * 64 * 8 / 256)


def test_the_schedule_can_be_saved():
    schedule = Schedule(0.1, "linear", 5, 25)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert again.get_config() == schedule.get_config()
    assert float(again(9)) == float(schedule(9))
