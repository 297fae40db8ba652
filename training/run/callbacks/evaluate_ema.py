"""Callback that validates the moving average of the weights."""

import keras
from keras import ops

from training.optimization.ema import apply_ema


class EvaluateEma(keras.callbacks.Callback):
    """Replace the weights by their moving average during each validation.

    Afterwards the original weights are restored bit for bit. Keras's `SwapEMAWeights` swaps with
    a + b - b on TensorFlow, which rounds.
    """

    def on_test_begin(self, logs=None):
        self._weights = [ops.copy(variable) for variable in self.model.trainable_variables]
        apply_ema(self.model)

    def on_test_end(self, logs=None):
        for variable, weight in zip(self.model.trainable_variables, self._weights, strict=True):
            variable.assign(weight)
        del self._weights
