import keras
import numpy as np
import pytest

from training.config import Optimization
from training.errors import UserError
from training.optimization.duration import Duration, StopAfter, duration


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"total_epochs": 3}, Duration(updates=30, batches=30, epochs=3)),
        ({"total_epochs": 3, "accumulation_steps": 4}, Duration(updates=7, batches=30, epochs=3)),
        ({"total_steps": 30}, Duration(updates=30, batches=30, epochs=3)),
        ({"total_steps": 25}, Duration(updates=25, batches=25, epochs=3)),
        ({"total_steps": 7, "accumulation_steps": 4}, Duration(updates=7, batches=28, epochs=3)),
    ],
)
def test_updates_batches_and_epochs(fields, expected):
    assert duration(Optimization(warmup_steps=2, **fields), epoch_batches=10) == expected


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"warmup_steps": 30}, r"--warmup-steps must be below .* 30 \(3 epochs of 10\)"),
        ({"accumulation_steps": 31}, "--accumulation-steps must be at most .* 30. Received: 31"),
        ({"warmup_steps": 7, "accumulation_steps": 4}, "--warmup-steps must be below .* 7"),
    ],
)
def test_too_short_trainings_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        duration(Optimization(**{"total_epochs": 3, "warmup_steps": 0, **fields}), 10)


def test_the_last_epoch_is_cut_short():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.zeros((10, 1))
    history = model.fit(
        x, x, batch_size=1, epochs=3, initial_epoch=1, verbose=0, callbacks=[StopAfter(25)]
    )
    assert history.epoch == [1, 2]
    assert int(model.optimizer.iterations) == 15
