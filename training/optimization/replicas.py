"""Replicas of a model under a `tf.distribute` strategy.

Each device has a replica and computes a shard of every batch. The loss of a shard is divided by the
number of replicas, so that the gradient of the whole batch is the sum of their gradients.
"""

import keras


def number_of_replicas():
    """Return the number of replicas in the current scope, 1 without a strategy."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(tensors):
    """Return the sum of each tensor over all replicas; with a single replica, the tensors."""
    if number_of_replicas() == 1:
        return tensors
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_reduce("SUM", tensors)
