"""Callback that restores the training metrics of an interrupted epoch."""

import keras
import numpy as np


class MetricsRestorer(keras.callbacks.Callback):
    """Restore the training metrics of an epoch that was resumed after some of its batches.

    Keras resets the metrics at the start of each epoch and each validation. Before validation
    their values are copied to the run, for a checkpoint that is saved during validation.

    Args:
        run: The `training.run.ongoing.OngoingRun`.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run
        self._values = None

    def restore_in_next_epoch(self, model):
        """Restore the current metrics of `model` when the next epoch begins."""
        self._values = [np.array(variable) for variable in model.metrics_variables]

    def on_epoch_begin(self, epoch, logs=None):
        if self._values is not None:
            set_metrics(self.model, self._values)
            self._values = None

    def on_test_begin(self, logs=None):
        self.run.epoch_metrics = [v.numpy().tolist() for v in self.model.metrics_variables]


def set_metrics(model, values):
    """Set the variables of a model's metrics."""
    for variable, value in zip(model.metrics_variables, values, strict=True):
        variable.assign(value)
