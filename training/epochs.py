"""When epochs begin and end."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Epochs:
    """The steps of a run, of one batch each, divided into epochs; the last may be short."""

    batch_size: int
    steps_per_epoch: int
    total_steps: int

    @property
    def total_epochs(self):
        return -(-self.total_steps // self.steps_per_epoch)

    def epoch_of(self, step):
        """Return the number of the epoch, from 0, that has a step."""
        return step // self.steps_per_epoch

    def ends_epoch(self, steps_done):
        return steps_done % self.steps_per_epoch == 0 or steps_done == self.total_steps

    def stretches(self, steps_done):
        """Return `(first epoch, one after the last, steps of each)` of what is left to do.

        `model.fit` does one stretch of epochs of equal length: what is left of an epoch in which
        the run stopped, the whole ones, and a short last one.
        """
        stretches = []
        while steps_done < self.total_steps:
            first = self.epoch_of(steps_done)
            end = min((first + 1) * self.steps_per_epoch, self.total_steps)
            length = end - steps_done
            if stretches and stretches[-1][2] == length == self.steps_per_epoch:
                stretches[-1] = (stretches[-1][0], first + 1, length)
            else:
                stretches.append((first, first + 1, length))
            steps_done = end
        return stretches
