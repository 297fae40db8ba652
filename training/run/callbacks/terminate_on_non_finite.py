"""Callback that ends a training run whose loss is not finite."""

import keras

from training.run import finiteness


class TerminateOnNonFinite(keras.callbacks.Callback):
    """Raise UserError at the first loss that is NaN or infinite.

    Keras's `TerminateOnNaN` by default makes `fit` return normally, so the run would look
    finished, and it does not report the learning rate. The weights and the optimizer are checked
    before each checkpoint.

    Args:
        run: The `training.run.ongoing.OngoingRun`.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_train_batch_end(self, batch, logs=None):
        finiteness.require_finite_loss(logs["loss"], self.run.progress)
