"""Exponential sweep of the learning rate, for a range test."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("training")
class Sweep(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that grows by the same factor at each update.

    Args:
        lowest: Learning rate of the first update.
        highest: Learning rate of the last update.
        total_updates: Number of updates, at least 2.
    """

    def __init__(self, lowest, highest, total_updates):
        self.lowest = lowest
        self.highest = highest
        self.total_updates = total_updates

    def __call__(self, update):
        progress = ops.cast(update, "float32") / (self.total_updates - 1)
        return self.lowest * ops.exp(progress * math.log(self.highest / self.lowest))

    def get_config(self):
        return {
            "lowest": self.lowest,
            "highest": self.highest,
            "total_updates": self.total_updates,
        }
