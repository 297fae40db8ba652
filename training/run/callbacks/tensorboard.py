"""Callback that writes one TensorBoard entry per epoch."""

from training.keras_workarounds.tensorboard_batches import EpochsOnlyTensorBoard


class EpochTensorBoard(EpochsOnlyTensorBoard):
    """Write the metrics of each epoch and the learning rate.

    Args:
        run: The `training.run.ongoing.OngoingRun`.
    """

    def __init__(self, run):
        super().__init__(run.folder.tensorboard)
        self.run = run

    def _collect_learning_rate(self, logs):
        # Keras asks the optimizer: a computation with its variables, which on several hosts all
        # would have to take part in, and this callback runs on the first one only.
        return {**logs, "learning_rate": self.run.progress.learning_rate()}
