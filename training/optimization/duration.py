"""How long to train, in updates, batches and epochs."""

import dataclasses
import math

from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Duration:
    """Updates of the weights, batches, and epochs.

    With accumulation an update takes several batches. The last epoch can be short.
    """

    updates: int
    batches: int
    epoch_batches: int
    accumulation_steps: int = 1

    @property
    def epochs(self):
        return math.ceil(self.batches / self.epoch_batches)

    def updates_after(self, batches):
        """Return the number of updates that are complete after `batches` batches."""
        return batches // self.accumulation_steps

    def ends_epoch(self, batches):
        """Return whether an epoch ends with the batch number `batches` of the run."""
        return batches % self.epoch_batches == 0 or batches == self.batches

    def stretches(self, batches):
        """Return the calls of `model.fit` that remain: `(first epoch, end, batches per epoch)`.

        All epochs of one call have the same number of batches. So the rest of an interrupted epoch
        is a stretch of its own, and a short last epoch is another. `end` is not included.

        Args:
            batches: Number of batches that are done.
        """
        stretches = []
        while batches < self.batches:
            first, done = divmod(batches, self.epoch_batches)
            epochs = (self.batches - batches) // self.epoch_batches
            if done or not epochs:  # the rest of an epoch, or a short one
                epochs, length = 1, min(self.epoch_batches - done, self.batches - batches)
            else:
                length = self.epoch_batches
            stretches.append((first, first + epochs, length))
            batches += epochs * length
        return stretches


def duration(optimization, epoch_batches):
    """Return the `Duration` for a `training.config.Optimization`.

    Args:
        optimization: The configuration.
        epoch_batches: Number of batches per epoch.

    Raises:
        UserError: If the warmup is not shorter than the run, or there is no update at all.
    """
    accumulation_steps = optimization.accumulation_steps
    if optimization.total_steps:
        updates = optimization.total_steps
        batches = updates * accumulation_steps
    else:
        batches = optimization.total_epochs * epoch_batches
        updates = batches // accumulation_steps
    if not updates:
        raise UserError(
            f"--accumulation-steps must be at most the number of batches, {batches}. Received: "
            f"{accumulation_steps}. Pass fewer, or raise --total-epochs."
        )
    length = Duration(updates, batches, epoch_batches, accumulation_steps)
    if optimization.warmup_steps >= updates:
        raise UserError(
            f"--warmup-steps must be below the number of training steps, {updates} "
            f"({length.epochs} epochs of {epoch_batches}). Received: "
            f"{optimization.warmup_steps}. Pass fewer, or raise --total-epochs or --total-steps."
        )
    return length
