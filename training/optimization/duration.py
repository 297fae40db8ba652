"""How long to train, in updates, batches and epochs."""

import dataclasses
import math

from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Duration:
    """Updates of the weights, batches, and the epochs into which the batches are divided.

    By accumulation an update takes several batches. The last epoch can be short.
    """

    updates: int
    batches: int
    epoch_batches: int
    accumulation_steps: int = 1

    @property
    def epochs(self):
        return math.ceil(self.batches / self.epoch_batches)

    def updates_after(self, batches):
        """Return the number of updates that are whole after so many batches."""
        return batches // self.accumulation_steps

    def ends_epoch(self, batches):
        """Return whether an epoch is over after so many batches of the run."""
        return batches % self.epoch_batches == 0 or batches == self.batches

    def stretches(self, batches):
        """Return `(first epoch, one after the last, batches of each)` of what is left to do.

        `model.fit` does one stretch of epochs of equal length: what is left of an epoch in which
        the run stopped, the whole ones, and a short last one.

        Args:
            batches: How many are done.
        """
        stretches = []
        while batches < self.batches:
            first, done = divmod(batches, self.epoch_batches)
            whole = (self.batches - batches) // self.epoch_batches
            if done or not whole:  # an epoch that is not whole
                whole, length = 1, min(self.epoch_batches - done, self.batches - batches)
            else:
                length = self.epoch_batches
            stretches.append((first, first + whole, length))
            batches += whole * length
        return stretches


def duration(optimization, epoch_batches):
    """Return the `Duration` that a `training.config.Optimization` asks for.

    Args:
        optimization: The configuration.
        epoch_batches: Number of batches of an epoch.

    Raises:
        UserError: If the warmup is longer, or there is no update at all.
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
