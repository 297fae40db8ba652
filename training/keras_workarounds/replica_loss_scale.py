"""Keras's loss scaling checks the gradients of the first replica only.

Seen in Keras 3.15.1 (`LossScaleOptimizer._tf_apply`): it takes the gradients for summed, which
they are not yet. When those of another replica overflow, the update is not skipped.
"""

import keras
from keras import ops

from training.optimization.replicas import sum_over_replicas


class LossScale(keras.optimizers.LossScaleOptimizer):
    """`LossScaleOptimizer` whose replicas skip an update together."""

    def check_finite(self, grads):
        is_wrong = ops.cast(ops.logical_not(super().check_finite(grads)), "float32")
        return ops.equal(sum_over_replicas(is_wrong), 0)
