"""Keras gives all replicas of a layer the same seed, and so the same random masks.

Seen in Keras 3.15.1 (`SeedGenerator`): under a `tf.distribute` strategy each replica has a copy
of the state with the same value, so that dropout and stochastic depth drop the same positions in
each shard of a batch.
"""

# Prime, so that the seeds of the replicas of a layer differ, and are far from those of others.
SEED_DISTANCE = 1_000_000_007


def decorrelate_replica_seeds(model):
    """Give each replica its own masks for dropout and stochastic depth.

    The state of the first replica is unchanged, and it is the one that is read. Assigning a state
    sets it on all replicas; call this again afterwards.
    """
    strategy = getattr(model, "distribute_strategy", None)  # under TensorFlow only
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return
    import tensorflow as tf

    common = [state.numpy() for state in random_states(model)]

    @tf.function
    def assign_states():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        distance = SEED_DISTANCE * tf.cast(replica, tf.int64)
        for state, (seed, samples) in zip(random_states(model), common, strict=True):
            state.assign([seed + distance, samples])

    strategy.run(assign_states)


def random_states(model):
    """Return the states of a model's seed generators: variables that are not weights."""
    weights = {id(w) for w in model.non_trainable_weights}
    return [v for v in model.non_trainable_variables if id(v) not in weights]
