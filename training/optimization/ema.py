"""The moving average of the weights, in the place of the weights."""

import keras
from keras import ops


def apply_ema(model):
    """Replace the weights of a model by the averages of its optimizer, which has `use_ema`."""
    optimizer = model.optimizer
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
    averages = optimizer._model_variables_moving_average
    # Copies: under JAX an evaluation takes over the memory of the variables it is given.
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        variable.assign(ops.copy(average))


class EvaluateEma(keras.callbacks.Callback):
    """Lets the averages of an optimizer with `use_ema` be what each validation sees.

    Afterwards the weights are what they were, bit by bit. (Keras's `SwapEMAWeights` computes
    a + b - b under TensorFlow, which rounds.)
    """

    def on_test_begin(self, logs=None):
        self._weights = [ops.copy(variable) for variable in self.model.trainable_variables]
        apply_ema(self.model)

    def on_test_end(self, logs=None):
        for variable, weight in zip(self.model.trainable_variables, self._weights, strict=True):
            variable.assign(weight)
        del self._weights
