"""When checkpoints are saved and how many are kept."""

import dataclasses

from training.validation import require_not_negative, require_positive


@dataclasses.dataclass(frozen=True)
class Checkpointing:
    checkpoint_minutes: float = 5.0
    """Minutes of training between two checkpoints. 0 disables checkpoints by time."""

    checkpoint_steps: int = 0
    """Optimizer updates between two checkpoints. 0 disables checkpoints by steps."""

    keep_checkpoints: int = 2
    """Number of latest checkpoints to keep, in addition to the one with the best validation
    accuracy."""

    def check(self):
        """Raise UserError if a field is invalid."""
        require_not_negative(self, "checkpoint_minutes", "checkpoint_steps")
        require_positive(self, "keep_checkpoints")
