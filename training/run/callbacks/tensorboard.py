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
        # Keras computes the learning rate from the optimizer's variables. With several hosts that
        # is a collective operation, which every host must join, but this callback runs on the
        # first host only.
        return {**logs, "learning_rate": self.run.progress.learning_rate()}
