"""Progress of a run: batches, epochs, times, and the learning rate that follows from them."""

import dataclasses
import math
import time
from typing import Any

from training.errors import UserError

BEST_BY = "val_accuracy"


@dataclasses.dataclass(frozen=True)
class Progress:
    """Progress that is saved in a checkpoint, alongside the model's variables."""

    batches: int = 0
    """Batches trained on; with accumulation several of them make an update."""

    history: tuple[dict[str, float], ...] = ()
    """A row for each epoch that is over, validation included."""

    metrics: list[Any] | None = None
    """Values of the training metrics, if the batches of an epoch are done and its validation is
    not."""

    wall_seconds: float = 0.0

    train_seconds: float = 0.0
    """Seconds that the timed batches of all sessions took."""

    timed_batches: int = 0

    def __post_init__(self):
        numbers = (self.batches, self.wall_seconds, self.train_seconds, self.timed_batches)
        if not all(0 <= number < math.inf for number in numbers):
            raise ValueError(f"batches and seconds must be at least 0, not {numbers}")


def require_same_epochs(state, duration):
    """Raise UserError if the progress in a checkpoint does not fit the epochs of the run.

    They have another number of batches if images were added or removed.

    Args:
        state: The `Progress`.
        duration: The `training.optimization.duration.Duration`.
    """
    is_over = state.batches == duration.batches
    done = duration.epochs if is_over else state.batches // duration.epoch_batches
    steps = [
        duration.updates_after(min(epoch * duration.epoch_batches, duration.batches))
        for epoch in range(1, done + 1 - (state.metrics is not None))
    ]
    expected = [(number + 1, step) for number, step in enumerate(steps)]
    found = [(row.get("epoch"), row.get("step")) for row in state.history]
    if state.batches > duration.batches or found != expected:
        raise UserError(
            "--source must have the images that the run began with. Received: epochs of "
            f"{duration.epoch_batches} batches, which do not fit the checkpoint after batch "
            f"{state.batches} and epoch {len(state.history)}. Restore the images, or train again "
            "with another --run-dir."
        )


class RunProgress:
    """The progress of a run that is training.

    Args:
        state: Its `Progress` so far.
        duration: A `training.optimization.duration.Duration`.
        schedule: A `training.optimization.schedule.Schedule`.
        batch_size: Images per batch.

    Attributes:
        state: The `Progress`, replaced at each change.
    """

    def __init__(self, state, duration, schedule, batch_size):
        self.state = state
        self.duration = duration
        self._schedule = schedule
        self._batch_size = batch_size
        self._last_batch_at = None
        self._began = time.perf_counter()
        self._seconds_before = state.wall_seconds

    @property
    def batches(self):
        return self.state.batches

    @property
    def ends_epoch(self):
        """Whether the last batch was the last of its epoch."""
        return self.duration.ends_epoch(self.batches)

    @property
    def is_over(self):
        return self.batches == self.duration.batches

    @property
    def last_epoch_is_best(self):
        """Whether the validation accuracy of the last epoch is above that of all earlier ones."""
        *earlier, last = self.state.history
        return BEST_BY in last and all(last[BEST_BY] > row[BEST_BY] for row in earlier)

    def count_batch(self):
        """Count a batch, and time it unless it is the first of the session, which compiles."""
        now = time.perf_counter()
        self._change(batches=self.batches + 1)
        if self._last_batch_at is not None:
            self._change(
                train_seconds=self.state.train_seconds + now - self._last_batch_at,
                timed_batches=self.state.timed_batches + 1,
            )
        self._last_batch_at = now

    def restart_clock(self):
        """Time the next batch from now on, after a validation or a checkpoint."""
        if self._last_batch_at is not None:
            self._last_batch_at = time.perf_counter()

    def record_epoch(self, epoch, logs):
        """Add the row of an epoch, counted from 0, to the history."""
        # Sorted, because the order of Keras's logs differs between backends.
        step = self.duration.updates_after(self.batches)
        row = {"epoch": epoch + 1, "step": step, **dict(sorted(logs.items()))}
        self._change(history=(*self.state.history, row), metrics=None)

    def keep_metrics(self, values):
        """Keep the training metrics of an epoch whose validation is still to be done."""
        self._change(metrics=values)

    def snapshot(self):
        """Return the `Progress` as of now, for a checkpoint."""
        self._change(wall_seconds=self.wall_seconds())
        return self.state

    def learning_rate(self):
        """Return the learning rate of the next update."""
        return self.learning_rate_after(self.batches)

    def learning_rate_after(self, batches):
        """Return the learning rate of the update that follows `batches` batches."""
        return float(self._schedule(self.duration.updates_after(batches)))

    def wall_seconds(self):
        """Return the seconds that the run took, over all sessions."""
        return self._seconds_before + time.perf_counter() - self._began

    def images_per_second(self):
        """Return the mean over all timed batches, or None if there are none."""
        images = self.state.timed_batches * self._batch_size
        return images / self.state.train_seconds if images else None

    def seconds_left(self):
        """Return the estimated time of the remaining batches, without validations."""
        left = self.duration.batches - self.batches
        return left * self.state.train_seconds / self.state.timed_batches

    def _change(self, **changes):
        self.state = dataclasses.replace(self.state, **changes)
