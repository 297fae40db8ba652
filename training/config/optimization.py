"""Loss, optimizer, schedule and what is trained."""

import dataclasses
from typing import Literal

from training.validation import (
    refuse_unless,
    require_fraction,
    require_not_negative,
    require_positive,
)


@dataclasses.dataclass(frozen=True)
class Optimization:
    total_epochs: int = 60
    """Passes over the training images."""

    total_steps: int = 0
    """Updates of the weights, instead of --total-epochs; 0 counts epochs."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW (β 0.9 and 0.999), by which the Mixers were pre-trained, or SGD with momentum, by which
    they were fine-tuned."""

    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes on from its peak: to 0 by half a cosine, linearly to a
    hundred-thousandth, or not down at all."""

    learning_rate: float = 1e-3
    """Peak learning rate, after the warmup."""

    reference_batch_size: int = 0
    """Images per update for which the learning rate is meant: it is multiplied by --batch-size
    times --accumulation-steps, and divided by this. 0 takes it as it is."""

    warmup_steps: int = 100
    """Updates of linear warmup from 0 to the peak."""

    weight_decay: float = 0.1
    """Decoupled weight decay of the kernels, per update and multiplied by the learning rate. The
    authors fine-tuned, by sgd, with 0."""

    momentum: float = 0.9
    """Share of the earlier gradients that sgd keeps."""

    clip_global_norm: float = 1.0
    """Largest norm of all gradients together; longer ones are scaled down to it. 0 leaves them."""

    loss: Literal["softmax", "sigmoid"] = "softmax"
    """Cross-entropy of the classes together, or of each by itself, summed over them: so the
    Mixers were trained on ImageNet."""

    label_smoothing: float = 0.0
    """Share of each label that is spread evenly over all classes."""

    accumulation_steps: int = 1
    """Batches whose gradients are averaged for one update: --batch-size times this are its
    images, of which --batch-size need memory at a time."""

    ema_momentum: float = 0.0
    """Share that the moving average of the weights keeps at each update, such as 0.9999; the
    average is what is validated, tested and saved. 0 takes the last weights."""

    freeze: Literal["nothing", "body"] = "nothing"
    """What keeps its weights: with body all but the head."""

    frozen_blocks: int = 0
    """Number of blocks, from the first, that keep their weights, with the stem before them."""

    layer_decay: float = 1.0
    """Factor of the learning rate from each layer to the one before it: the head has it whole, the
    last block times this, the one before times its square, and so on to the stem."""

    sam_rho: float = 0.0
    """ρ of sharpness-aware minimization: the weights move by the gradient at a point that lies so
    far up the slope, such as 0.05. It takes twice the time. 0 turns it off."""

    def check(self):
        require_positive(self, "total_epochs", "learning_rate", "accumulation_steps", "layer_decay")
        require_not_negative(
            self,
            "total_steps",
            "reference_batch_size",
            "warmup_steps",
            "weight_decay",
            "clip_global_norm",
            "frozen_blocks",
            "sam_rho",
        )
        require_fraction(self, "momentum", "label_smoothing", "ema_momentum")
        refuse_unless(
            self.layer_decay <= 1,
            "layer_decay",
            "must be at most 1",
            self.layer_decay,
            "Pass 0.75.",
        )
        refuse_unless(
            self.freeze == "nothing" or not self.frozen_blocks,
            "frozen_blocks",
            f"must be 0 with --freeze {self.freeze}, which has them all",
            self.frozen_blocks,
            "Leave one of the two out.",
        )
