"""Keras reduces what TensorFlow cannot. If the test fails, look whether the workaround can go.

It reads the source of Keras, because several processes would be needed to run it. A training run on
two hosts, with the workaround, is in `tests/training/devices/`.
"""

import inspect

import pytest

pytestmark = pytest.mark.backend("tensorflow")


def test_keras_reduces_the_first_batch_and_scalar_logs():
    from keras.src.backend.tensorflow import trainer

    logs = inspect.getsource(trainer.reduce_per_replica)
    assert 'strategy.reduce("MEAN", v, axis=0)' in logs
    build = inspect.getsource(trainer.TensorFlowTrainer._maybe_symbolic_build)
    assert "self.distribute_strategy.reduce(" in build
