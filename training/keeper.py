"""What keeps a run: it counts steps, records epochs, saves checkpoints and heeds signals."""

import csv
import dataclasses
import signal
import threading
import time

import keras
import numpy as np

BEST_BY = "val_accuracy"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal ended the training after a whole step, which was saved.

    Like KeyboardInterrupt it is no Exception, so that nothing on the way takes it for an error.
    """

    def __init__(self, number):
        super().__init__(f"{signal.Signals(number).name}")
        self.number = number


class Keeper(keras.callbacks.Callback):
    """Context and callback around `model.fit`.

    The first signal, ctrl-C or SIGTERM, lets the step end, saves and raises `Interrupted`; the
    second ends at once. (No exception is raised in the midst of a step, where JAX's runtime may
    drop it.)

    Args:
        checkpoints: A `training.checkpoints.Checkpoints`.
        progress: The run's `training.checkpoints.Progress` so far.
        checkpointing: A `training.config.Checkpointing`.
        epochs: The run's `training.epochs.Epochs`.
        history_path: Path of the history, a CSV file.
        seed: The run's.
    """

    def __init__(self, checkpoints, progress, checkpointing, epochs, history_path, seed):
        super().__init__()
        self.progress = progress
        self._checkpoints = checkpoints
        self._config = checkpointing
        self._epochs = epochs
        self._history_path = history_path
        self._seed = seed
        self._signal = None
        self._metrics = None
        self._saved_at = time.monotonic()
        self._last_step_at = None
        self._began = time.perf_counter()
        self._seconds_before = progress.wall_seconds

    def __enter__(self):
        # Only the main thread may handle signals; others are never interrupted.
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self._signal is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._signal = number
        print("\nSaving after this step. The same signal again ends at once.", flush=True)

    def goes_on_within_an_epoch(self, model):
        """Keep the metrics that were restored, since an epoch begins by resetting them."""
        self._metrics = [np.array(v) for v in model.metrics_variables]

    def on_epoch_begin(self, epoch, logs=None):
        if self._metrics is not None:
            self._set_metrics(self._metrics)
            self._metrics = None
        if self._last_step_at is not None:
            self._last_step_at = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        if keras.backend.backend() == "torch":
            # Keras's dropout draws from PyTorch's own generator, and not from the state of its
            # layer, which a checkpoint holds; and so does each new iterator over the images.
            import torch

            torch.manual_seed((self._seed << 31) + self.progress.step)

    def on_train_batch_end(self, batch, logs=None):
        self._count_step()
        if logs is not None and self.progress.timed_steps:  # for the progress bar
            logs["images/s"] = self.images_per_second()
        if self._epochs.ends_epoch(self.progress.step):
            return  # its validation follows, after which it is saved
        if self._signal is not None:
            self._save()
            raise Interrupted(self._signal)
        if self._is_due():
            self._save()

    def on_test_begin(self, logs=None):
        self._metrics_of_epoch = [v.numpy().tolist() for v in self.model.metrics_variables]

    def on_test_batch_end(self, batch, logs=None):
        if self._signal is not None:
            self.progress = dataclasses.replace(self.progress, metrics=self._metrics_of_epoch)
            self._save()
            raise Interrupted(self._signal)

    def on_epoch_end(self, epoch, logs=None):
        # Sorted, since Keras has an order of its own on each backend.
        row = {"epoch": epoch + 1, "step": self.progress.step, **dict(sorted(logs.items()))}
        history = self.progress.history
        is_best = BEST_BY in row and all(row[BEST_BY] > earlier[BEST_BY] for earlier in history)
        self.progress = dataclasses.replace(self.progress, history=(*history, row), metrics=None)
        self._write_history()
        is_last = self.progress.step == self._epochs.total_steps
        if is_best or is_last or self._is_due() or self._signal is not None:
            self._save(is_best)
        if self._signal is not None and not is_last:
            raise Interrupted(self._signal)

    def finish_epoch(self, model, validation):
        """Validate an epoch whose steps are done: what a signal in its validation left."""
        self.set_model(model)
        self._set_metrics(self.progress.metrics)
        logs = {name: float(value) for name, value in model.get_metrics_result().items()}
        measured = model.evaluate(validation, return_dict=True, verbose=0)
        logs |= {f"val_{name}": value for name, value in measured.items()}
        self.on_epoch_end(self._epochs.epoch_of(self.progress.step - 1), logs)

    def wall_seconds(self):
        """Return the time that the run took, over all sessions."""
        return self._seconds_before + time.perf_counter() - self._began

    def images_per_second(self):
        """Return the mean over all timed steps, or None if there were none."""
        images = self.progress.timed_steps * self._epochs.batch_size
        return images / self.progress.train_seconds if images else None

    def _count_step(self):
        now = time.perf_counter()
        progress = dataclasses.replace(self.progress, step=self.progress.step + 1)
        if self._last_step_at is not None:  # the first one compiles
            progress = dataclasses.replace(
                progress,
                train_seconds=progress.train_seconds + now - self._last_step_at,
                timed_steps=progress.timed_steps + 1,
            )
        self.progress, self._last_step_at = progress, now

    def _is_due(self):
        steps, minutes = self._config.checkpoint_steps, self._config.checkpoint_minutes
        return (steps and self.progress.step % steps == 0) or (
            minutes and time.monotonic() - self._saved_at >= 60 * minutes
        )

    def _save(self, as_best=False):
        self.progress = dataclasses.replace(self.progress, wall_seconds=self.wall_seconds())
        self._checkpoints.save(self.model, self.progress, as_best)
        self._saved_at = time.monotonic()
        self._last_step_at = time.perf_counter()  # not the step's time

    def _set_metrics(self, values):
        for variable, value in zip(self.model.metrics_variables, values, strict=True):
            variable.assign(value)

    def _write_history(self):
        """Write all of it anew, whole or not at all."""
        draft = self._history_path.with_suffix(".draft")
        with draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.progress.history[0], restval="")
            writer.writeheader()
            writer.writerows(self.progress.history)
        draft.replace(self._history_path)
