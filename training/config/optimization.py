"""Loss, optimizer and learning-rate schedule."""

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
    """Number of epochs. Ignored if --total-steps is not 0."""

    total_steps: int = 0
    """Number of optimizer updates. 0 trains for --total-epochs."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw (β1 0.9, β2 0.999), used to pre-train the published Mixers, or sgd with momentum, used
    to fine-tune them."""

    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning-rate schedule after the warmup: cosine decays to 0, linear decays to 1e-5 times the
    peak, constant keeps the peak."""

    learning_rate: float = 1e-3
    """Peak learning rate, reached at the end of the warmup."""

    reference_batch_size: int = 0
    """Batch size at which the learning rate was tuned; the rate scales linearly with the actual
    batch size (--batch-size times --accumulation-steps). 0 disables scaling."""

    warmup_steps: int = 100
    """Updates of linear warmup, from 0 to the peak learning rate."""

    weight_decay: float = 0.1
    """Decoupled weight decay of the kernels, multiplied by the learning rate at each update. The
    authors fine-tuned, with sgd, without weight decay."""

    momentum: float = 0.9
    """Momentum of sgd."""

    clip_global_norm: float = 1.0
    """Clip the gradients to this global norm. 0 disables clipping."""

    loss: Literal["softmax", "sigmoid"] = "softmax"
    """Cross-entropy of the softmax, or the sum over the classes of the binary cross-entropy of the
    sigmoid, as used to pre-train the published Mixers."""

    label_smoothing: float = 0.0
    """Fraction of each label that is spread evenly over all classes."""

    accumulation_steps: int = 1
    """Number of batches whose gradients are averaged for one update. An update sees --batch-size
    times this number of images, and only --batch-size of them need memory at a time."""

    ema_momentum: float = 0.0
    """Momentum of an exponential moving average of the weights, such as 0.9999. If enabled, the
    averaged weights are validated, tested and saved. 0 disables it."""

    freeze: Literal["nothing", "body"] = "nothing"
    """What to freeze: body freezes all layers but the head."""

    frozen_blocks: int = 0
    """Number of blocks to freeze, counted from the stem, which is frozen with them."""

    layer_decay: float = 1.0
    """Layer-wise learning-rate decay: the rate of the head is not changed, that of the last block
    is multiplied by this factor, that of the block before by its square, and so on down to the
    stem. 1 disables it."""

    sam_rho: float = 0.0
    """ρ of sharpness-aware minimization (SAM), such as 0.05: gradients are computed at weights that
    are displaced by this distance along the gradient. A step takes twice as long. 0 disables
    it."""

    def check(self):
        """Raise UserError if a field is invalid."""
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
            f"must be 0 with --freeze {self.freeze}, which freezes all blocks",
            self.frozen_blocks,
            "Drop one of the two options.",
        )
