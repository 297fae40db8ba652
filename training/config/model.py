"""Size of the Mixer, its regularization and its initial weights."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from keras_mixer.sizes import SIZES, MixerSize
from keras_mixer.weights.catalog import NAMES
from training.config.study_models import MIXER, RESNETS, STUDY_MODELS, VITS
from training.validation import (
    LARGEST_FLOAT,
    refuse_unless,
    require_fraction,
    require_positive,
)

SIZE_FIELDS = tuple(SIZES["B/16"].dimensions)  # patch_size, hidden_dim, num_blocks, …
DEFAULT_SIZE = MixerSize("", 2, 128, 4, 64, 512)  # without a variant
# Far above the sizes of the paper: 32 blocks and 432 million parameters in H/14.
MOST_BLOCKS = 1000
MOST_PARAMETERS = 10**10

if TYPE_CHECKING:
    Architecture = str
    Variant = str
    VariantOrNone = str
else:
    Architecture = Literal[MIXER, *STUDY_MODELS]
    Variant = Literal[tuple(SIZES)]
    VariantOrNone = Literal["", *SIZES]

# The default, None, is shown as what it stands for.
Size = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="INT",
        help_behavior_hint=lambda default: (
            "(default: the variant's)" if default == "None" else f"(default: {default})"
        ),
    ),
]
Weights = Annotated[
    str,
    tyro.conf.arg(
        metavar=f"{{{','.join(sorted(NAMES))}}}|FILE|MODEL",
        help_behavior_hint=lambda default: (
            "(default: random)" if default == "''" else f"(default: {default})"
        ),
    ),
]


@dataclasses.dataclass(frozen=True)
class Model:
    """Sizes default to the variant's; an explicit size overrides it."""

    variant: VariantOrNone = ""
    """Size from the paper and its patch size. It sets the five sizes below, unless they are given
    as well."""

    patch_size: Size = None
    """P, side of a patch in pixels. It must divide the image size."""

    hidden_dim: Size = None
    """C, width of a token."""

    num_blocks: Size = None
    """Number of Mixer blocks."""

    tokens_mlp_dim: Size = None
    """D_S, hidden width of the token-mixing MLPs."""

    channels_mlp_dim: Size = None
    """D_C, hidden width of the channel-mixing MLPs."""

    drop_path_rate: float = 0.0
    """Stochastic depth: probability of dropping the last block. It increases linearly from 0 in the
    first block."""

    dropout_rate: float = 0.0
    """Dropout rate inside the MLPs."""

    weights: Weights = ""
    """Initial weights: the name of published weights of the variant, which are downloaded
    (python -m keras_mixer weights lists them), a file, or a MODEL: RUN, RUN@best, RUN@step-1200,
    FILE.keras or MixerB16:imagenet1k. The head is kept if its classes are known to be those of the
    dataset. Otherwise it is new and starts at zero."""

    resolution: Literal["block_diagonal", "interpolate"] = "block_diagonal"
    """How to adapt weights to an image size other than the one they were trained at: block_diagonal
    mixes each part of the image separately, as in the paper, and needs a multiple of the size;
    interpolate resizes the token-mixing weights to any size, a method of this project."""

    head_bias: float = 0.0
    """Initial bias of the head, the same for each class. With --loss sigmoid and many classes, use
    minus the logarithm of the number of classes, such as -6.9 for 1000, since most labels are 0."""

    rematerialize: bool = False
    """Store only the input of each block and recompute the block in the backward pass: less memory
    for about a third more time, and the same weights."""

    architecture: Architecture = MIXER
    """mixer, or a model that the studies compare with it. The other Mixers are those of appendix
    A.1 and have the sizes above; a ViT or a ResNet has the size of its name."""

    input_permutation: Literal["none", "patches", "pixels"] = "none"
    """Shuffle the pixels of all images in the same way, which --seed determines (section 3.4 of the
    paper): patches shuffles the order of the patches and the pixels within each patch, pixels
    shuffles the pixels of the image."""

    @property
    def size(self):
        """The `keras_mixer.sizes.MixerSize` to build: the variant's, with the sizes that are given.

        Its name is empty unless it is equal to a variant's size. Without a variant, sizes that are
        not given are those of the recipe `digits`.
        """
        base = SIZES.get(self.variant, DEFAULT_SIZE)
        sizes = {name: getattr(self, name) for name in SIZE_FIELDS}
        given = {name: size for name, size in sizes.items() if size is not None}
        size = dataclasses.replace(base, **given)
        return base if size == base else dataclasses.replace(size, name="")

    @property
    def is_plain(self):
        """Whether this is the Mixer of the paper, on images as they are."""
        return self.architecture == MIXER and self.input_permutation == "none"

    @property
    def input_patch_size(self):
        """Side of the patches that images are divided into, in pixels; 1 for a ResNet.

        With permuted patches, a ResNet has those of the Mixer that it is compared with.
        """
        if self.architecture in VITS:
            return VITS[self.architecture].patch_size
        if self.architecture in RESNETS and self.input_permutation != "patches":
            return 1
        return self.size.patch_size

    def num_parameters(self, image_size):
        """Return the number of parameters without the head, for color images."""
        size = self.size
        patches = (image_size // size.patch_size) ** 2
        tokens = (2 * patches + 1) * size.tokens_mlp_dim + patches
        channels = (2 * size.hidden_dim + 1) * size.channels_mlp_dim + size.hidden_dim
        stem = (3 * size.patch_size**2 + 1) * size.hidden_dim
        layer_norm = 2 * size.hidden_dim
        return stem + size.num_blocks * (tokens + channels + 2 * layer_norm) + layer_norm

    def resolved(self):
        """Return the same model with all five sizes given."""
        return dataclasses.replace(self, **self.size.dimensions)

    def check(self):
        """Raise UserError if a field is invalid."""
        require_positive(self.size, *SIZE_FIELDS)
        refuse_unless(
            self.size.num_blocks <= MOST_BLOCKS,
            "num_blocks",
            f"must be at most {MOST_BLOCKS}",
            self.size.num_blocks,
            "Pass 32, for example, the largest number in the paper.",
        )
        require_fraction(self, "drop_path_rate", "dropout_rate")
        refuse_unless(
            abs(self.head_bias) <= LARGEST_FLOAT,
            "head_bias",
            "must be finite",
            self.head_bias,
            "Pass 0, for example.",
        )
