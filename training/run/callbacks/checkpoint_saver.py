"""Callback that saves checkpoints."""

import keras


class CheckpointSaver(keras.callbacks.Callback):
    """Save a checkpoint when one is due, after the best and the last epoch, and at a signal.

    Within an epoch it is saved after a batch; at the end of an epoch, after the validation.

    Args:
        run: The `training.run.ongoing.OngoingRun`.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_train_batch_end(self, batch, logs=None):
        run = self.run
        run.agree()
        if not run.progress.ends_epoch and (run.stop_signal or run.is_save_due):
            run.save(self.model)

    def on_epoch_end(self, epoch, logs=None):
        run = self.run
        run.agree()
        is_best = run.progress.last_epoch_is_best
        if is_best or run.progress.is_over or run.is_save_due or run.stop_signal:
            run.save(self.model, as_best=is_best)
