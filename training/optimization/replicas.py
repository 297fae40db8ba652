"""Several replicas of a model under TensorFlow, which move as one model on one device does.

Under a `tf.distribute` strategy each device has a replica, and a part of every batch. The loss of
a part is divided by the number of replicas, so that the gradient of a whole batch is the sum of
theirs.
"""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

# Prime, so that the seeds of the replicas of a layer are all different, and far from other ones.
SEED_DISTANCE = 1_000_000_007


def number_of_replicas():
    """Return among how many replicas a batch is divided, where this is called; mostly 1."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(tensors):
    """Return the sum of each tensor over all replicas; without others, the tensors."""
    if number_of_replicas() == 1:
        return tensors
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_reduce("SUM", tensors)


def decorrelate_replica_seeds(model):
    """Let each replica draw masks of its own for dropout and stochastic depth.

    Keras gives all of them the same state, and so the same masks for each part of a batch. The
    first replica's stays, which is what is read of a state; to set a state sets it for all, and
    this is to be called again.
    """
    strategy = getattr(model, "distribute_strategy", None)  # of TensorFlow alone
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return
    import tensorflow as tf

    common = [state.numpy() for state in random_states(model)]

    @tf.function
    def set_apart():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        distance = SEED_DISTANCE * tf.cast(replica, tf.int64)
        for state, (seed, draws) in zip(random_states(model), common, strict=True):
            state.assign([seed + distance, draws])

    strategy.run(set_apart)


def random_states(model):
    """Return the states of the random draws of a model: variables that are no weights."""
    weights = {id(w) for w in model.non_trainable_weights}
    return [v for v in model.non_trainable_variables if id(v) not in weights]


_AnyOptimizer: Any = keras.optimizers.Optimizer if TYPE_CHECKING else object


class EachReplicaUpdates(_AnyOptimizer):
    """What lets an optimizer of TensorFlow clip, accumulate and move by the sum of all gradients.

    Keras's own clips the gradient of each replica by itself, and cannot accumulate, since it sums
    within a condition, where replicas cannot meet. Here they meet first, and from then on do the
    same to their copies of the variables. To be mixed into any optimizer, before it.
    """

    def _backend_apply_gradients(self, grads, trainable_variables):
        super()._backend_apply_gradients(sum_over_replicas(grads), trainable_variables)

    def _backend_increment_gradient_accumulators(self, grads, acc_grads):
        for gradient, accumulator in zip(grads, acc_grads, strict=True):
            self.assign_add(accumulator, gradient)

    def _apply_weight_decay(self, variables):  # of which all decay: see `Corrections`
        for variable in variables:
            rate = ops.cast(self.learning_rate, variable.dtype)
            self.assign_sub(variable, variable * self.weight_decay * rate)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, learning_rate)


class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's, whose replicas skip an update together.

    Keras asks the first replica alone whether its gradients are finite.
    """

    def check_finite(self, grads):
        is_wrong = ops.cast(ops.logical_not(super().check_finite(grads)), "float32")
        return ops.equal(sum_over_replicas(is_wrong), 0)
