"""How long to train, in updates, batches and epochs."""

import dataclasses
import math

import keras

from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Duration:
    """Updates of the weights, batches of `model.fit`, and epochs, of which the last can be short.

    They differ by accumulation: an update takes `accumulation_steps` batches.
    """

    updates: int
    batches: int
    epochs: int


def duration(optimization, epoch_batches):
    """Return the `Duration` that a `training.config.Optimization` asks for.

    Args:
        optimization: The configuration.
        epoch_batches: Number of batches of an epoch.

    Raises:
        UserError: If the warmup is longer, or there is no update at all.
    """
    if optimization.total_steps:
        updates = optimization.total_steps
        batches = updates * optimization.accumulation_steps
        epochs = math.ceil(batches / epoch_batches)
    else:
        epochs = optimization.total_epochs
        batches = epochs * epoch_batches
        updates = batches // optimization.accumulation_steps
    if not updates:
        raise UserError(
            f"--accumulation-steps must be at most the number of batches, {batches}. Received: "
            f"{optimization.accumulation_steps}. Pass fewer, or raise --total-epochs."
        )
    if optimization.warmup_steps >= updates:
        raise UserError(
            f"--warmup-steps must be below the number of training steps, {updates} "
            f"({epochs} epochs of {epoch_batches}). Received: "
            f"{optimization.warmup_steps}. Pass fewer, or raise --total-epochs or --total-steps."
        )
    return Duration(updates, batches, epochs)


class StopAfter(keras.callbacks.Callback):
    """Ends `model.fit` after so many batches, in the midst of an epoch."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self._before = epoch * self.params["steps"]

    def on_train_batch_end(self, batch, logs=None):
        if self._before + batch + 1 >= self.batches:
            self.model.stop_training = True
