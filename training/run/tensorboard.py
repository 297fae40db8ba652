"""What TensorBoard is told of a run."""

import keras


class EpochTensorBoard(keras.callbacks.TensorBoard):
    """Records what an epoch comes to; to ask after each batch costs Keras's own a millisecond.

    Args:
        folder: Its path.
        learning_rate: Function that returns the learning rate.
    """

    def __init__(self, folder, learning_rate):
        super().__init__(folder)
        self.learning_rate = learning_rate

    def on_train_batch_end(self, batch, logs=None):
        pass

    def _collect_learning_rate(self, logs):
        # Not from the optimizer, as Keras has it: no host may compute with its variables alone.
        return {**logs, "learning_rate": self.learning_rate()}
