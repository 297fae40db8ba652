"""Callback that counts and times the batches and records the epochs."""

import keras


class ProgressTracker(keras.callbacks.Callback):
    """Update the progress of the run, show its speed in the progress bar, write the history.

    Args:
        run: The `training.run.ongoing.OngoingRun`.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_begin(self, epoch, logs=None):
        self.run.progress.restart_clock()  # so that the validation does not count

    def on_train_batch_end(self, batch, logs=None):
        progress = self.run.progress
        progress.count_batch()
        if progress.state.timed_batches:  # for the progress bar
            logs["images/s"] = progress.images_per_second()
            logs["minutes_left"] = progress.seconds_left() / 60

    def on_epoch_end(self, epoch, logs=None):
        self.run.progress.record_epoch(epoch, logs)
        self.run.write_history()
