"""Callback that stops the training after SIGINT (ctrl-C) or SIGTERM."""

import keras


class StopOnSignal(keras.callbacks.Callback):
    """Raise `Interrupted` once the state at the signal is saved.

    Must follow `CheckpointSaver` in the list of callbacks, so that the state is saved first.
    Validation is cut short and repeated when the run resumes.

    Args:
        run: The `training.run.ongoing.OngoingRun`.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_train_batch_end(self, batch, logs=None):
        if self.run.stop_signal and not self.run.progress.ends_epoch:
            self.run.interrupt()

    def on_test_batch_end(self, batch, logs=None):
        self.run.agree()
        if self.run.stop_signal:
            # Not an exception: `EvaluateEma` has to put the weights back first.
            self.model.stop_evaluating = True

    def on_test_end(self, logs=None):
        if self.model.stop_evaluating:
            self.run.progress.keep_metrics(self.run.epoch_metrics)
            self.run.save(self.model)
            self.run.interrupt()

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = bool(self.run.stop_signal)
