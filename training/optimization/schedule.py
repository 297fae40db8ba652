"""Learning-rate schedule: linear warmup, then cosine, linear or no decay."""

import math

import keras
from keras import ops

LINEAR_END = 1e-5  # of the peak, in the authors' configuration of ImageNet-1k


def learning_rate_schedule(optimization, total_updates, batch_size):
    """Return the `Schedule` for a `training.config.Optimization`."""
    return Schedule(
        peak_learning_rate(optimization, batch_size),
        optimization.schedule,
        optimization.warmup_steps,
        total_updates,
    )


def peak_learning_rate(optimization, batch_size):
    """Return the peak, scaled by the batch size if there is a `reference_batch_size`."""
    if not optimization.reference_batch_size:
        return optimization.learning_rate
    images = batch_size * optimization.accumulation_steps
    return optimization.learning_rate * images / optimization.reference_batch_size


@keras.saving.register_keras_serializable("training")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup from 0 to the peak, then a decay that ends after the last update.

    Let p be the progress, 0 at the end of the warmup and 1 after the last update. The factor of
    the peak is (1 + cos πp) / 2 for "cosine", 1 - p with 1e-5 instead of 0 at the end for
    "linear", and 1 for "constant".

    Args:
        peak: The largest learning rate.
        decay: "cosine", "linear" or "constant".
        warmup_updates: Updates before the peak; the learning rate of the first is 0.
        total_updates: Updates of the run, including the warmup.
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
            factor = 0.5 * (1.0 + ops.cos(math.pi * progress))
        elif self.decay == "linear":
            factor = LINEAR_END + (1.0 - LINEAR_END) * (1.0 - progress)
        else:
            factor = ops.ones_like(progress)
        if warmup:
            factor = ops.where(update < warmup, update / warmup, factor)
        return self.peak * factor

    def get_config(self):
        return {
            "peak": self.peak,
            "decay": self.decay,
            "warmup_updates": self.warmup_updates,
            "total_updates": self.total_updates,
        }
