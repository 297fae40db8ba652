"""Callback that records the loss of each update."""

import math

import keras
from tqdm import tqdm


class LossRecorder(keras.callbacks.Callback):
    """Record the mean loss of the batches of each update, and stop the training if it diverges.

    A loss that is not finite always stops it, and is not recorded.

    Args:
        accumulation_steps: Batches per update.
        has_diverged: Function of the losses so far that returns whether to stop.
        description: Text of the progress bar; None for no bar.

    Attributes:
        losses: The losses, all finite.
        diverged: Whether the training was stopped.
    """

    def __init__(self, accumulation_steps, has_diverged, description=None):
        super().__init__()
        self.losses = []
        self.diverged = False
        self._accumulation_steps = accumulation_steps
        self._has_diverged = has_diverged
        self._description = description
        self._batches = 0
        self._sum = 0.0  # of the losses of all batches
        self._recorded = 0.0  # part of the sum that is in `losses`

    def on_train_begin(self, logs=None):
        updates = self.params["steps"] // self._accumulation_steps
        is_hidden = True if self._description is None else None  # None: unless on a terminal
        self._bar = tqdm(total=updates, desc=self._description, unit="step", disable=is_hidden)

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        self._sum = self._batches * float(logs["loss"])  # Keras logs the mean since the start
        if not math.isfinite(self._sum):
            self._stop()
        elif self._batches % self._accumulation_steps == 0:
            self.losses.append((self._sum - self._recorded) / self._accumulation_steps)
            self._recorded = self._sum
            self._bar.update()
            if self._has_diverged(self.losses):
                self._stop()

    def on_train_end(self, logs=None):
        self._bar.close()

    def _stop(self):
        self.diverged = self.model.stop_training = True
