"""State of a run that is training, which its callbacks share."""

import time

import numpy as np

from training.devices import hosts
from training.run.finiteness import require_finite_state
from training.run.signals import Interrupted, Signals


class OngoingRun:
    """A run that is training: its progress, its checkpoints, and the signals it receives.

    Args:
        config: A `training.config.Config`.
        folder: A `training.run.folder.RunFolder`.
        checkpoints: A `training.run.checkpoints.Checkpoints`.
        progress: A `training.run.progress.RunProgress`.

    Attributes:
        stop_signal: Number of the signal that stops the run, 0 for none; the same on all hosts.
        is_save_due: Whether a checkpoint is due by steps or minutes; the same on all hosts.
        epoch_metrics: Training metrics of the epoch that is being validated.
    """

    def __init__(self, config, folder, checkpoints, progress):
        self.config = config
        self.folder = folder
        self.checkpoints = checkpoints
        self.progress = progress
        self.signals = Signals("Saving after this batch. A second signal ends at once.")
        self.stop_signal = 0
        self.is_save_due = False
        self.epoch_metrics = None
        self._saved_at = time.monotonic()

    def agree(self):
        """Synchronize stop signals and due checkpoints across hosts.

        All hosts then save and stop after the same batch.
        """
        seen = np.array([self.signals.first or 0, self._is_time_to_save()])
        stop_signal, is_save_due = hosts.gather(seen).max(axis=0)
        self.stop_signal, self.is_save_due = int(stop_signal), bool(is_save_due)

    def save(self, model, as_best=False):
        """Save a checkpoint of the run.

        Raises:
            UserError: If the state is not finite; if an earlier checkpoint was not written; or if
                the folder of the run was removed.
        """
        require_finite_state(model, self.progress)
        self.folder.require_in_place()
        self.checkpoints.save(model, self.progress.snapshot(), as_best)
        self._saved_at = time.monotonic()
        self.progress.restart_clock()

    def interrupt(self):
        """Raise `Interrupted` as soon as the last checkpoint is written."""
        self.checkpoints.finish()
        raise Interrupted(self.stop_signal)

    def interrupt_if_stopped(self):
        """Raise `Interrupted` if a signal ended `model.fit` before the end of the run."""
        if self.stop_signal and not self.progress.is_over:
            self.interrupt()

    def write_history(self):
        """Write `history.csv` with all epochs, if there are any."""
        if self.progress.state.history and hosts.is_first():
            self.folder.write_history(self.progress.state.history)

    def _is_time_to_save(self):
        accumulation_steps = self.progress.duration.accumulation_steps
        batches = self.config.checkpointing.checkpoint_steps * accumulation_steps
        minutes = self.config.checkpointing.checkpoint_minutes
        return (batches and self.progress.batches % batches == 0) or (
            minutes and time.monotonic() - self._saved_at >= 60 * minutes
        )
