"""The learning rate over time."""

import math

import keras
from keras import ops

LINEAR_END = 1e-5  # of the peak, in the authors' configuration of ImageNet-1k


def learning_rate_schedule(optimization, total_updates, batch_size):
    """Return the `Schedule` that a `training.config.Optimization` asks for."""
    return Schedule(
        peak_learning_rate(optimization, batch_size),
        optimization.schedule,
        optimization.warmup_steps,
        total_updates,
    )


def peak_learning_rate(optimization, batch_size):
    """Return the peak, in proportion to the images of an update where that is asked for."""
    if not optimization.reference_batch_size:
        return optimization.learning_rate
    images = batch_size * optimization.accumulation_steps
    return optimization.learning_rate * images / optimization.reference_batch_size


@keras.saving.register_keras_serializable("training")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup from 0 to the peak, then a decay that ends after the last update.

    With progress p from 0 at the end of the warmup to 1 after the last update, the share of the
    peak is (1 + cos πp) / 2, or 1 - p with an end of 1e-5 instead of 0, or 1.

    Args:
        peak: The largest learning rate.
        decay: "cosine", "linear" or "constant".
        warmup_updates: Updates before the peak; the first of them is by 0.
        total_updates: Updates of the training, with those of the warmup.
    """

    def __init__(self, peak, decay, warmup_updates, total_updates):
        self.peak = peak
        self.decay = decay
        self.warmup_updates = warmup_updates
        self.total_updates = total_updates

    def __call__(self, update):
        update = ops.cast(update, "float32")
        warmup, decaying = self.warmup_updates, self.total_updates - self.warmup_updates
        progress = ops.clip((update - warmup) / decaying, 0.0, 1.0)
        if self.decay == "cosine":
            share = 0.5 * (1.0 + ops.cos(math.pi * progress))
        elif self.decay == "linear":
            share = LINEAR_END + (1.0 - LINEAR_END) * (1.0 - progress)
        else:
            share = ops.ones_like(progress)
        if warmup:
            share = ops.where(update < warmup, update / warmup, share)
        return self.peak * share

    def get_config(self):
        return {
            "peak": self.peak,
            "decay": self.decay,
            "warmup_updates": self.warmup_updates,
            "total_updates": self.total_updates,
        }
