"""Defects of Keras under a `tf.distribute` strategy with two replicas.

`tests/training/keras_workarounds/test_replicas.py` runs these tests in a process of its own. When
one of them fails for Keras's class, the workaround can go.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.keras_workarounds.replica_gradients import SumGradientsFirst
from training.keras_workarounds.replica_loss_scale import LossScale
from training.keras_workarounds.replica_seeds import decorrelate_replica_seeds

(PROCESSOR,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(PROCESSOR, [tf.config.LogicalDeviceConfiguration()] * 2)
STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


class SummedFirst(SumGradientsFirst, keras.optimizers.SGD):
    pass


def weight_after(make_optimizer, gradients, updates=1):
    """Return a weight, first 0, after updates with a gradient for each replica."""
    with STRATEGY.scope():
        variable = keras.Variable(np.zeros(1), dtype="float32")
        optimizer = make_optimizer()
        optimizer.build([variable])

    @tf.function
    def update():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        optimizer.apply([tf.gather(tf.constant(gradients), [replica])], [variable])

    for _ in range(updates):
        STRATEGY.run(update)
    return float(variable.numpy()[0])


@pytest.mark.parametrize("kind, expected", [(keras.optimizers.SGD, -2), (SummedFirst, -1)])
def test_gradients_are_clipped_before_they_are_summed(kind, expected):
    def make():
        return kind(1.0, global_clipnorm=1.0, weight_decay=0.0)

    assert weight_after(make, [30.0, 10.0]) == pytest.approx(expected)


def test_accumulation_fails():
    def make(kind):
        return kind(1.0, gradient_accumulation_steps=2, weight_decay=0.0)

    with pytest.raises(RuntimeError, match="merge_call"):
        weight_after(lambda: make(keras.optimizers.SGD), [3.0, 1.0], updates=2)
    assert weight_after(lambda: make(SummedFirst), [3.0, 1.0], updates=2) == pytest.approx(-4)


@pytest.mark.parametrize(
    "kind, is_skipped", [(keras.optimizers.LossScaleOptimizer, False), (LossScale, True)]
)
def test_the_second_replica_overflows(kind, is_skipped):
    weight = weight_after(lambda: kind(SummedFirst(1.0, weight_decay=0.0)), [1.0, np.inf])
    assert np.isfinite(weight) == is_skipped


def test_replicas_have_the_same_masks():
    with STRATEGY.scope():
        inputs = keras.Input((50,))
        model = keras.Model(inputs, keras.layers.Dropout(0.5, seed=3)(inputs))

    @tf.function
    def dropped():
        masks = STRATEGY.run(lambda: model(tf.ones((1, 50)), training=True))
        return STRATEGY.gather(masks, axis=0)  # (replicas, 50)

    first, second = dropped().numpy()
    assert (first == second).all()
    decorrelate_replica_seeds(model)
    first, second = dropped().numpy()
    assert (first != second).any()
