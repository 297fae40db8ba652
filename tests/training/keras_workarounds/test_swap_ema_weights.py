"""Keras's swap of weights and averages rounds under TensorFlow.

If the test fails, `training.run.callbacks.evaluate_ema` can be replaced by `SwapEMAWeights`.
"""

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.backend("tensorflow")


def test_a_swap_rounds():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    model.compile(keras.optimizers.SGD(use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    (kernel,) = model.trainable_variables
    (average,) = model.optimizer._model_variables_moving_average
    kernel.assign([[1.0]])
    average.assign([[1e8]])
    callback = keras.callbacks.SwapEMAWeights()
    callback.set_model(model)
    callback._swap_variables()
    assert np.array(kernel) == 1e8
    assert np.array(average) != 1  # 0: 1 + 1e8 - 1e8
