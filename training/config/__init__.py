"""Configuration of a training run: typed and frozen; an unknown field is an error.

Every field is an option of `python -m training train RECIPE`; its docstring is the help. Field
names are unique across all sections.
"""

import dataclasses

from training.config.augmentation import Augmentation
from training.config.checkpointing import Checkpointing
from training.config.data import Data
from training.config.hardware import Hardware
from training.config.model import MOST_PARAMETERS, SIZE_FIELDS, Model, Variant
from training.config.optimization import Optimization
from training.config.study_models import VITS, check_study_model
from training.validation import refuse_unless

__all__ = [
    "Augmentation",
    "Checkpointing",
    "Config",
    "Data",
    "Hardware",
    "Model",
    "Optimization",
    "SIZE_FIELDS",
    "Variant",
]


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
    """Seed of all random numbers: initial weights, order of the images, augmentation, dropout."""

    data: Data = dataclasses.field(default_factory=Data)
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    model: Model = dataclasses.field(default_factory=Model)
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    checkpointing: Checkpointing = dataclasses.field(default_factory=Checkpointing)
    hardware: Hardware = dataclasses.field(default_factory=Hardware)

    def vary(self, **fields):
        """Return a copy in which some fields differ: `recipe.vary(source="pets", flip=True)`.

        Args:
            **fields: New values by the names of fields, of the configuration or of its sections.

        Raises:
            TypeError: If there is no field with such a name.
        """
        changes = {}
        for name in [field.name for field in dataclasses.fields(self)]:
            part = getattr(self, name)
            if name in fields:
                changes[name] = fields.pop(name)
            elif dataclasses.is_dataclass(part) and not isinstance(part, type):
                own = {field.name for field in dataclasses.fields(part)} & fields.keys()
                changes[name] = dataclasses.replace(part, **{key: fields.pop(key) for key in own})
        if fields:
            raise TypeError(f"Config has no field named {', '.join(sorted(fields))}")
        return dataclasses.replace(self, **changes)

    def resolved(self):
        """Return the same configuration with all sizes of the model given."""
        return dataclasses.replace(self, model=self.model.resolved())

    def check(self):
        """Raise UserError, naming the option, if a field is invalid."""
        for part in (
            self.data,
            self.augmentation,
            self.model,
            self.optimization,
            self.checkpointing,
            self.hardware,
        ):
            part.check()
        refuse_unless(
            0 <= self.seed < 2**32,
            "seed",
            "must be at least 0 and below 2**32",
            self.seed,
            "Pass 0, for example.",
        )
        check_study_model(self)
        size = self.model.size
        of_variant = f" with --variant {size.name}" if size.name else ""
        patch_size = self.model.input_patch_size
        is_own = self.model.architecture not in VITS
        nearest = max(1, round(self.data.image_size / patch_size)) * patch_size
        refuse_unless(
            self.data.image_size % patch_size == 0,
            "image_size",
            f"must be a multiple of the patch size, {patch_size}{of_variant if is_own else ''}",
            self.data.image_size,
            f"Pass {nearest}, for example" + (", or another --patch-size." if is_own else "."),
        )
        parameters = self.model.num_parameters(self.data.image_size)
        refuse_unless(
            parameters <= MOST_PARAMETERS,
            "hidden_dim",
            f"and the other sizes must give at most {MOST_PARAMETERS:,} parameters",
            f"{parameters:,} with --image-size {self.data.image_size} and "
            + " ".join(f"--{k.replace('_', '-')} {v}" for k, v in size.dimensions.items()),
            "Pass smaller sizes, or --variant H/14, the largest of the paper.",
        )
        refuse_unless(
            self.optimization.frozen_blocks <= size.num_blocks,
            "frozen_blocks",
            f"must be at most the number of blocks, {size.num_blocks}{of_variant}",
            self.optimization.frozen_blocks,
            f"Pass {size.num_blocks} to freeze all blocks.",
        )
