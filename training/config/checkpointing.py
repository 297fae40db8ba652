"""When checkpoints are saved and how many are kept."""

import dataclasses

from training.validation import require_not_negative, require_positive


@dataclasses.dataclass(frozen=True)
class Checkpointing:
    checkpoint_minutes: float = 5.0
    """Minutes of training between two checkpoints; 0 for none by time."""

    checkpoint_steps: int = 0
    """Updates of the weights between two checkpoints; 0 for none by steps."""

    keep_checkpoints: int = 2
    """How many of the newest checkpoints are kept, besides the one of the best validation."""

    def check(self):
        require_not_negative(self, "checkpoint_minutes", "checkpoint_steps")
        require_positive(self, "keep_checkpoints")
