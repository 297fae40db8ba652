"""What keeps a run: it counts batches, records epochs, saves checkpoints and heeds signals."""

import dataclasses
import signal
import time

import keras
import numpy as np

from training.devices import hosts
from training.run.signals import Signals

BEST_BY = "val_accuracy"


class Interrupted(BaseException):
    """A signal ended the training after a whole batch, which was saved.

    Like KeyboardInterrupt it is no Exception, so that nothing on the way takes it for an error.
    """

    def __init__(self, number):
        super().__init__(f"{signal.Signals(number).name}")
        self.number = number


class Keeper(keras.callbacks.Callback):
    """Context and callback around `model.fit`.

    The first signal, ctrl-C or SIGTERM, lets the batch end, saves and raises `Interrupted`; the
    second ends at once.

    Args:
        config: The run's `training.config.Config`.
        duration: Its `training.optimization.duration.Duration`.
        finiteness: A `training.optimization.finiteness.Finiteness`, without which nothing is
            saved.
        checkpoints: A `training.run.checkpoints.Checkpoints`.
        progress: The run's `training.run.checkpoints.Progress` so far.
        folder: The run's `training.run.folder.RunFolder`, for the history.
    """

    def __init__(self, config, duration, finiteness, checkpoints, progress, folder):
        super().__init__()
        self.progress = progress
        self._config = config
        self._duration = duration
        self._finiteness = finiteness
        self._checkpoints = checkpoints
        self._folder = folder
        self._signals = Signals("Saving after this batch. A second signal ends at once.")
        self._signal = 0  # what all hosts know of: see `_agree`
        self._is_due = False
        self._metrics_to_keep = None
        self._validation_was_cut = False
        self._saved_at = time.monotonic()
        self._last_batch_at = None
        self._began = time.perf_counter()
        self._seconds_before = progress.wall_seconds

    def __enter__(self):
        self._signals.__enter__()
        return self

    def __exit__(self, *exception):
        self._signals.__exit__(*exception)

    def resume_mid_epoch(self, model):
        """Keep the metrics that were restored, since an epoch begins by resetting them."""
        self._metrics_to_keep = [np.array(v) for v in model.metrics_variables]

    def on_epoch_begin(self, epoch, logs=None):
        if self._metrics_to_keep is not None:
            self._set_metrics(self._metrics_to_keep)
            self._metrics_to_keep = None
        if self._last_batch_at is not None:
            self._last_batch_at = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        if keras.backend.backend() == "torch":
            # Keras's dropout draws from PyTorch's own generator, and not from the state of its
            # layer, which a checkpoint holds; and so does each new iterator over the images.
            import torch

            torch.manual_seed((self._config.seed << 31) + self.progress.batches)

    def on_train_batch_end(self, batch, logs=None):
        self._count_batch()
        self._finiteness.require_loss(logs["loss"], self.progress.batches)
        if self.progress.timed_batches:  # for the progress bar
            logs["images/s"] = self.images_per_second()
            logs["minutes_left"] = self._seconds_left() / 60
        self._agree()
        if self._duration.ends_epoch(self.progress.batches):
            return  # its validation follows, after which it is saved
        if self._signal:
            self._save()
            self._interrupt()
        if self._is_due:
            self._save()

    def on_test_begin(self, logs=None):
        self._metrics_of_epoch = [v.numpy().tolist() for v in self.model.metrics_variables]

    def on_test_batch_end(self, batch, logs=None):
        self._agree()
        if self._signal:
            # By this way out, what other callbacks changed for the validation is put back.
            self.model.stop_evaluating = True
            self._validation_was_cut = True

    def on_epoch_end(self, epoch, logs=None):
        if self._validation_was_cut:
            self.progress = dataclasses.replace(self.progress, metrics=self._metrics_of_epoch)
            self._save()
            self._interrupt()
        # Sorted, since Keras has an order of its own on each backend.
        step = self._duration.updates_after(self.progress.batches)
        row = {"epoch": epoch + 1, "step": step, **dict(sorted(logs.items()))}
        history = self.progress.history
        is_best = BEST_BY in row and all(row[BEST_BY] > earlier[BEST_BY] for earlier in history)
        self.progress = dataclasses.replace(self.progress, history=(*history, row), metrics=None)
        is_last = self.progress.batches == self._duration.batches
        self.write_history()
        self._agree()
        if is_best or is_last or self._is_due or self._signal:
            self._save(is_best)
        self.model.stop_training = bool(self._signal)

    def raise_if_interrupted(self):
        """To be called after `model.fit`, which a signal at the end of an epoch ends in peace."""
        if self._signal and self.progress.batches < self._duration.batches:
            self._interrupt()

    def _interrupt(self):
        self._checkpoints.finish()
        raise Interrupted(self._signal)

    def _agree(self):
        """Let all hosts know what one of them saw, so that they save and end at the same batch."""
        seen = np.array([self._signals.first or 0, self._is_time_to_save()])
        signal_, is_due = hosts.gather(seen).max(axis=0)
        self._signal, self._is_due = int(signal_), bool(is_due)

    def finish_epoch(self, model, validation, callbacks, verbose):
        """Validate an epoch whose batches are done: what a signal in its validation left."""
        self.set_model(model)
        self._set_metrics(self.progress.metrics)
        logs = {name: float(value) for name, value in model.get_metrics_result().items()}
        measured = model.evaluate(
            validation, return_dict=True, verbose=verbose, callbacks=callbacks
        )
        logs |= {f"val_{name}": value for name, value in measured.items()}
        epoch = len(self.progress.history)
        for callback in callbacks:
            callback.on_epoch_end(epoch, logs)
        self.raise_if_interrupted()

    def learning_rate(self):
        """Return the learning rate of the next update."""
        return self._finiteness.learning_rate_after(self.progress.batches)

    def wall_seconds(self):
        """Return the time that the run took, over all sessions."""
        return self._seconds_before + time.perf_counter() - self._began

    def images_per_second(self):
        """Return the mean over all timed batches, or None if there were none."""
        images = self.progress.timed_batches * self._config.data.batch_size
        return images / self.progress.train_seconds if images else None

    def _seconds_left(self):
        """Return the time of the batches that are left, validations not counted."""
        left = self._duration.batches - self.progress.batches
        return left * self.progress.train_seconds / self.progress.timed_batches

    def _count_batch(self):
        now = time.perf_counter()
        progress = dataclasses.replace(self.progress, batches=self.progress.batches + 1)
        if self._last_batch_at is not None:  # the first one compiles
            progress = dataclasses.replace(
                progress,
                train_seconds=progress.train_seconds + now - self._last_batch_at,
                timed_batches=progress.timed_batches + 1,
            )
        self.progress, self._last_batch_at = progress, now

    def _is_time_to_save(self):
        steps = self._config.checkpointing.checkpoint_steps * self._duration.accumulation_steps
        minutes = self._config.checkpointing.checkpoint_minutes
        return (steps and self.progress.batches % steps == 0) or (
            minutes and time.monotonic() - self._saved_at >= 60 * minutes
        )

    def _save(self, as_best=False):
        self._finiteness.require_state(self.model, self.progress.batches)
        self.progress = dataclasses.replace(self.progress, wall_seconds=self.wall_seconds())
        self._checkpoints.save(self.model, self.progress, as_best)
        self._saved_at = time.monotonic()
        self._last_batch_at = time.perf_counter()  # not the batch's time

    def _set_metrics(self, values):
        for variable, value in zip(self.model.metrics_variables, values, strict=True):
            variable.assign(value)

    def write_history(self):
        """Write all of it anew, if there is any."""
        if self.progress.history and hosts.is_first():
            self._folder.write_history(self.progress.history)
