"""The configuration of a training run: closed, typed, frozen.

Every field is an option of `python -m training train RECIPE`, with its docstring as help.
"""

import dataclasses

from training.config.augmentation import Augmentation
from training.config.checkpointing import Checkpointing
from training.config.data import Data
from training.config.hardware import Hardware
from training.config.model import BY_THE_VARIANT, SIZE_FIELDS, VARIANTS, Model, Variant
from training.config.optimization import Optimization
from training.validation import refuse_unless

__all__ = [
    "Augmentation",
    "BY_THE_VARIANT",
    "Checkpointing",
    "Config",
    "Data",
    "Hardware",
    "Model",
    "Optimization",
    "SIZE_FIELDS",
    "VARIANTS",
    "Variant",
]


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
    """Seed of everything random: weights, order of the images, augmentation, dropout."""

    data: Data = dataclasses.field(default_factory=Data)
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    model: Model = dataclasses.field(default_factory=Model)
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    checkpointing: Checkpointing = dataclasses.field(default_factory=Checkpointing)
    hardware: Hardware = dataclasses.field(default_factory=Hardware)

    def check(self):
        """Raise UserError, naming the option, if any field is unsound."""
        parts = (
            self.data,
            self.augmentation,
            self.model,
            self.optimization,
            self.checkpointing,
            self.hardware,
        )
        for part in parts:
            part.check()
        refuse_unless(
            0 <= self.seed < 2**32,
            "seed",
            "must be at least 0 and below 2**32",
            self.seed,
            "Pass a small whole number.",
        )
        variant, patch = self.model.variant, self.model.patch
        refuse_unless(
            self.data.image_size % patch == 0,
            "image_size",
            "must be a multiple of "
            + (f"the patch of --variant {variant}, " if variant else "--patch-size, ")
            + str(patch),
            self.data.image_size,
            "Change one of the two.",
        )
        refuse_unless(  # of a variant: see `training.run.compiled_model`, which knows its blocks
            variant or self.optimization.frozen_blocks <= self.model.num_blocks,
            "frozen_blocks",
            f"must be at most --num-blocks, {self.model.num_blocks}",
            self.optimization.frozen_blocks,
            "Pass fewer.",
        )
