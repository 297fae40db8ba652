"""Keras's TensorFlow optimizers process each replica's gradient before they sum them.

Seen in Keras 3.15.1 (`backend/tensorflow/optimizer.py`): under a `tf.distribute` strategy,
`_backend_update_step` sums the gradients of the replicas after `global_clipnorm` was applied to
each of them. And `gradient_accumulation_steps` fails, because the sum is inside `ops.cond`, where
replicas cannot synchronize.
"""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from training.optimization.replicas import sum_over_replicas

_AnyOptimizer: Any = keras.optimizers.Optimizer if TYPE_CHECKING else object


class SumGradientsFirst(_AnyOptimizer):
    """Mixin that sums the gradients of all replicas before anything else is done with them.

    From then on each replica does the same to its copies of the variables. It comes before the
    optimizer among the base classes.
    """

    def _backend_apply_gradients(self, grads, trainable_variables):
        super()._backend_apply_gradients(sum_over_replicas(grads), trainable_variables)

    def _backend_increment_gradient_accumulators(self, grads, acc_grads):
        for gradient, accumulator in zip(grads, acc_grads, strict=True):
            self.assign_add(accumulator, gradient)

    def _apply_weight_decay(self, variables):  # all of them decay: see `ScaledLearningRates`
        for variable in variables:
            rate = ops.cast(self.learning_rate, variable.dtype)
            self.assign_sub(variable, variable * self.weight_decay * rate)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, learning_rate)
