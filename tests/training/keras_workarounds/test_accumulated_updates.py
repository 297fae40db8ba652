"""Keras's schedule and EMA count batches. If a test of Keras fails, the workaround can go."""

import keras
import numpy as np
import pytest

from training.keras_workarounds.accumulated_updates import CountUpdates

pytestmark = pytest.mark.backend("torch")


class Counting(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that returns the number it is called with."""

    def __call__(self, step):
        return keras.ops.cast(step, "float32")


class Fixed(CountUpdates, keras.optimizers.SGD):
    pass


def after(kind, batches, schedule, **ema):
    """Return the optimizer and the weights after each batch, whose gradients are 1."""
    optimizer = kind(schedule, gradient_accumulation_steps=2, **ema)
    variable = keras.Variable(np.zeros(1), dtype="float32")
    weights = []
    for _ in range(batches):
        optimizer.apply([keras.ops.ones((1,))], [variable])
        weights.append(float(np.array(variable)[0]))
    return optimizer, weights


@pytest.mark.parametrize("kind, expected", [(keras.optimizers.SGD, 3), (Fixed, 1)])
def test_the_step_of_the_schedule(kind, expected):
    optimizer, _ = after(kind, 3, Counting())
    assert float(optimizer.learning_rate) == expected


@pytest.mark.parametrize("kind, share", [(keras.optimizers.SGD, 0.75), (Fixed, 0.5)])
def test_the_average_in_the_middle_of_an_update(kind, share):
    constant = keras.optimizers.schedules.PiecewiseConstantDecay([10**6], [0.1, 0.1])
    optimizer, weights = after(kind, 5, constant, use_ema=True, ema_momentum=0.5)
    average = float(np.array(optimizer._model_variables_moving_average[0])[0])
    first, second = weights[1], weights[3]
    assert first != second
    assert average == pytest.approx((1 - share) * first + share * second)
