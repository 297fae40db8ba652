"""Keras's gradient accumulation counts batches where it should count updates.

Seen in Keras 3.15.1 (`BaseOptimizer`): with `gradient_accumulation_steps`, a learning-rate
schedule is called with the number of batches, and `use_ema` averages the weights after every
batch.
"""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

_AnyOptimizer: Any = keras.optimizers.Optimizer if TYPE_CHECKING else object


class CountUpdates(_AnyOptimizer):
    """Mixin for an optimizer whose learning rate is a schedule; schedule and EMA count updates.

    It comes before the optimizer among the base classes.
    """

    def _get_current_learning_rate(self):
        return self._learning_rate(self.iterations)

    def _update_model_variables_moving_average(self, trainable_variables):
        steps = self.gradient_accumulation_steps or 1
        is_update = ops.equal((self._iterations + 1) % steps, 0)
        # The average begins at the weights after the first update, as in Keras.
        momentum = ops.where(is_update, self.ema_momentum, 1.0)
        momentum = ops.where(ops.equal(self.iterations, 0), 0.0, momentum)
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            share = ops.cast(momentum, variable.dtype)
            average.assign(share * average + (1 - share) * variable)
