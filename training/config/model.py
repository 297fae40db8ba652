"""The size of the model, its regularization and its initial weights."""

import dataclasses
import math
import typing
from typing import Any, Literal

from training.validation import refuse_unless, require_fraction, require_positive

SIZE_FIELDS = ("patch_size", "hidden_dim", "num_blocks", "tokens_mlp_dim", "channels_mlp_dim")
Variant = Literal["S/32", "S/16", "S/8", "B/32", "B/16", "L/32", "L/16", "H/14"]
VARIANTS = typing.get_args(Variant)
BY_THE_VARIANT: dict[str, Any] = dict.fromkeys(
    SIZE_FIELDS, 0
)  # for recipes: Model(variant="B/16", **BY_THE_VARIANT)


@dataclasses.dataclass(frozen=True)
class Model:
    variant: Variant | Literal[""] = ""
    """A size of the paper, with its patch. It sets the five numbers that follow, which must all be
    0 then; without one they are a size of your own."""

    patch_size: int = 2
    """P, side of a patch in pixels; it must divide the image size."""

    hidden_dim: int = 128
    """C, width of a token."""

    num_blocks: int = 4
    """Number of Mixer blocks."""

    tokens_mlp_dim: int = 64
    """D_S, hidden width of the token-mixing MLPs."""

    channels_mlp_dim: int = 512
    """D_C, hidden width of the channel-mixing MLPs."""

    drop_path_rate: float = 0.0
    """Stochastic depth of the last block; it grows linearly from 0 in the first."""

    dropout_rate: float = 0.0
    """Dropout inside the MLPs."""

    weights: str = ""
    """Weights to start from, with a new head of zeros: a published checkpoint of the variant
    (imagenet1k, imagenet21k, sam, gsam, miil_in21k or miil_in21k_ft_in1k; python -m keras_mixer
    weights lists them), which is fetched, or the path of a file. Random ones if empty."""

    resolution: Literal["block_diagonal", "interpolate"] = "block_diagonal"
    """What becomes of weights at another image size than they were trained at: at a multiple of
    it each part is mixed by itself, as in the paper; or at any size the maps of the hidden units
    are resized, which is our method."""

    head_bias: float = 0.0
    """Bias of each class of the head at the start. With --loss sigmoid on many classes, minus the
    logarithm of their number says that most answers are no: -6.9 for a thousand."""

    rematerialize: bool = False
    """Keep the input of each block only, and compute the block again for the gradient: less memory
    for about a third more time. The weights come out the same."""

    @property
    def patch(self):
        """Side of a patch in pixels, the variant's or its own."""
        return int(self.variant.partition("/")[2]) if self.variant else self.patch_size

    def check(self):
        if self.variant:
            own = {size: getattr(self, size) for size in SIZE_FIELDS if getattr(self, size)}
            options = " ".join(f"--{size.replace('_', '-')} 0" for size in own)
            refuse_unless(
                not own,
                "variant",
                f"{self.variant} sets the sizes, and each of them must be 0",
                ", ".join(f"{size} {value}" for size, value in own.items()),
                f"Add {options}, or leave --variant out.",
            )
        else:
            require_positive(self, *SIZE_FIELDS)
        require_fraction(self, "drop_path_rate", "dropout_rate")
        refuse_unless(
            math.isfinite(self.head_bias),
            "head_bias",
            "must be finite",
            self.head_bias,
            "Pass 0 for none.",
        )
