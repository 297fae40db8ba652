"""Callback that writes one TensorBoard entry per epoch."""

import os

from training.keras_workarounds.tensorboard_batches import EpochsOnlyTensorBoard


class EpochTensorBoard(EpochsOnlyTensorBoard):
    """Write the metrics of each epoch and the learning rate.

    Args:
        run: The `training.run.ongoing.OngoingRun`.
    """

    def __init__(self, run):
        super().__init__(run.folder.tensorboard)
        self.run = run

    @property
    def _train_writer(self):
        return self._writer("train", self._train_dir)

    @property
    def _val_writer(self):
        return self._writer("val", self._val_dir)

    def _writer(self, name, folder):
        if name not in self._writers:
            # As bytes, because TensorFlow takes no string of a path that is not UTF-8.
            self._writers[name] = self.summary.create_file_writer(os.fsencode(folder))
        return self._writers[name]

    def _collect_learning_rate(self, logs):
        # Keras computes the learning rate from the optimizer's variables. With several hosts that
        # is a collective operation, which every host must join, but this callback runs on the
        # first host only.
        return {**logs, "learning_rate": self.run.progress.learning_rate()}
