"""Keras reduces values that `MultiWorkerMirroredStrategy` cannot reduce.

Seen in Keras 3.15.1 (`backend/tensorflow/trainer.py`): `model.fit` calls `strategy.reduce` with
the first batch, a tuple, of which it only needs the shapes; and with scalar logs, whose mean it
asks for along their first axis.
"""

import tensorflow as tf


class Strategy(tf.distribute.MultiWorkerMirroredStrategy):
    """`MultiWorkerMirroredStrategy` that works with Keras's `model.fit`."""

    def reduce(self, reduce_op, value, axis):
        if isinstance(value, tuple):  # the first batch; Keras needs its shapes only
            return tuple(self.experimental_local_results(part)[0] for part in value)
        if self.experimental_local_results(value)[0].shape.rank == 0:
            axis = None  # scalar logs; Keras asks for a mean along their first axis
        return super().reduce(reduce_op, value, axis)
