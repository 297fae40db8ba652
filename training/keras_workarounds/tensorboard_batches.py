"""Keras's TensorBoard callback works after every batch, whatever its `update_freq` is.

Seen in Keras 3.15.1 (`TensorBoard.on_train_batch_end`): with `update_freq="epoch"` it still calls
`summary.scalar` for each metric of each batch, which TensorFlow then discards. That takes about a
millisecond.
"""

import keras


class EpochsOnlyTensorBoard(keras.callbacks.TensorBoard):
    """`TensorBoard` that does nothing after a batch."""

    def on_train_batch_end(self, batch, logs=None):
        pass
