"""Configuration of a shared model: the section `keras_mixer` of its `config.json`.

Everything else in that file is for timm, whose `hf-hub:USER/REPO` reads it.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from keras_mixer.sizes import SIZES
from keras_mixer.transforms import TRANSFORMS
from keras_mixer.weights.catalog import IMAGE_SIZE
from training.config.schema import conform

SECTION = "keras_mixer"
ANY_SIZE = "MlpMixer"
ACTIVATION = "softmax"
TRANSFORM = "resmall-crop"  # unless a configuration states another
TIMM_CROP = 0.875  # of timm's transforms in `keras_mixer.transforms`
TIMM_VARIANTS = ("S/32", "S/16", "B/32", "B/16", "L/32", "L/16")  # that timm has
if TYPE_CHECKING:
    Constructor = str
    Transform = str
else:
    Constructor = Literal[(ANY_SIZE, *(size.constructor_name for size in SIZES.values()))]
    Transform = Literal[tuple(TRANSFORMS)]


@dataclasses.dataclass(frozen=True)
class SharedSize:
    """Sizes of the arrays, with the names of the arguments of `keras_mixer.MlpMixer`."""

    patch_size: tuple[int, ...]  # height, width in pixels
    hidden_dim: int
    num_blocks: int
    tokens_mlp_dim: int
    channels_mlp_dim: int


@dataclasses.dataclass(frozen=True)
class SharedConfig:
    """What it takes to build a shared model and to use it."""

    version: Literal[1]  # of these fields
    constructor: Constructor
    size: SharedSize
    input_shape: tuple[int, ...]  # height, width, channels
    classes: int
    approximate_gelu: bool
    value_range: tuple[float, ...]  # that the model scales pixels to
    transform: Transform
    activation: Literal["softmax", "sigmoid"]

    @classmethod
    def of(cls, weights, transform, activation):
        """Return the configuration of a model with these weights.

        Args:
            weights: `keras_mixer.weights.load.OpenedWeights` with a head and a known grid.
            transform: Name of its evaluation transform.
            activation: How its logits become probabilities.
        """
        found, numerics = weights.file.architecture, weights.numerics
        patch_size = tuple(map(int, found.patch_size))
        size = SharedSize(
            patch_size,
            found.hidden_dim,
            found.num_blocks,
            found.tokens_mlp_dim,
            found.channels_mlp_dim,
        )
        image = (n * p for n, p in zip(weights.grid, patch_size, strict=True))
        return cls(
            version=1,
            constructor=_constructor(size, found.num_patches),
            size=size,
            input_shape=(*image, found.channels),
            classes=weights.classes,
            approximate_gelu=bool(numerics.approximate_gelu),
            value_range=tuple(map(float, numerics.value_range)),
            transform=transform,
            activation=activation,
        )

    @classmethod
    def from_entries(cls, entries, weights):
        """Return the configuration that `config.json` states, or timm's states in part.

        Args:
            entries: What the file holds.
            weights: The weights that it belongs to.

        Raises:
            ValueError: If it is not valid, or states other sizes or numerics than the weights.
        """
        if SECTION not in entries:
            return cls.of(weights, _transform_of_timm(entries), ACTIVATION)
        stated = conform(entries[SECTION], cls, SECTION)
        found = cls.of(weights, stated.transform, stated.activation)
        for field in dataclasses.fields(cls):
            theirs, ours = getattr(stated, field.name), getattr(found, field.name)
            if theirs != ours:
                raise ValueError(f"{SECTION}.{field.name} is {theirs}, and of the weights {ours}")
        return stated

    def entries(self, class_names):
        """Return the content of `config.json`, with what timm needs to build the same model."""
        entries = {"num_classes": self.classes, SECTION: dataclasses.asdict(self)}
        size = self._timm_size()
        if size is None:
            return entries
        name = f"mixer_{size.name.replace('/', '').lower()}_{IMAGE_SIZE}"
        usual = self.size.tokens_mlp_dim == size.tokens_mlp_dim
        return {
            "architecture": name,
            "num_features": self.size.hidden_dim,
            "global_pool": "avg",
            "label_names": list(class_names),
            **({} if usual else {"model_args": {"mlp_ratio": self._mlp_ratio()}}),
            "pretrained_cfg": self._pretrained_cfg(),
            **entries,
        }

    @property
    def is_in_timm(self):
        """Whether timm has a model of these sizes, which `entries` describes."""
        return self._timm_size() is not None

    def timm_arguments(self):
        """Return the arguments of `timm.models.mlp_mixer.MlpMixer` for a model of these sizes."""
        height, width, channels = self.input_shape
        return {
            "num_classes": self.classes,
            "img_size": (height, width),
            "in_chans": channels,
            "patch_size": self.size.patch_size,
            "num_blocks": self.size.num_blocks,
            "embed_dim": self.size.hidden_dim,
            "mlp_ratio": tuple(self._mlp_ratio()),
        }

    def _timm_size(self):
        """Return the row of `SIZES` whose sizes timm fixes by a name; None if it has none."""
        for name in TIMM_VARIANTS:
            size = SIZES[name]
            fixed = (size.patch_size, size.patch_size), size.hidden_dim, size.num_blocks
            ours = self.size.patch_size, self.size.hidden_dim, self.size.num_blocks
            if ours == fixed and self.size.channels_mlp_dim == size.channels_mlp_dim:
                return size
        return None

    def _mlp_ratio(self):
        """Return both hidden widths relative to `hidden_dim`; timm rounds the products down."""
        width = self.size.hidden_dim
        dimensions = self.size.tokens_mlp_dim, self.size.channels_mlp_dim
        ratios = [dimension / width for dimension in dimensions]
        return [
            ratio if int(ratio * width) == dimension else (dimension + 0.5) / width
            for ratio, dimension in zip(ratios, dimensions, strict=True)
        ]

    def _pretrained_cfg(self):
        height, width, channels = self.input_shape
        low, high = self.value_range
        transform = TRANSFORMS[self.transform]
        std = 1 / (high - low)
        return {
            "input_size": [channels, height, width],
            "fixed_input_size": True,
            "num_classes": self.classes,
            "mean": [-low * std] * channels,
            "std": [std] * channels,
            # timm has no "area"; its own configurations of these weights say bicubic.
            "interpolation": {"area": "bicubic"}.get(transform.method, transform.method),
            "crop_pct": TIMM_CROP if transform.crop else 1.0,
            "crop_mode": "squash" if transform.resize == "squash" else "center",
            "first_conv": "stem.proj",
            "classifier": "head",
        }


def _constructor(size, num_patches):
    """Return the name of the constructor for arrays of a size.

    At K times the usual image size, block-diagonal arrays are K² times as wide.
    """
    for row in SIZES.values():
        parts = num_patches // (IMAGE_SIZE // row.patch_size) ** 2
        widths = {row.tokens_mlp_dim, max(parts, 1) * row.tokens_mlp_dim}
        for tokens_mlp_dim in widths:
            changes = {"patch_size": (row.patch_size,) * 2, "tokens_mlp_dim": tokens_mlp_dim}
            if dataclasses.asdict(size) == row.dimensions | changes:
                return row.constructor_name
    return ANY_SIZE


def _transform_of_timm(entries):
    """Return the transform that timm's configuration describes, or the usual one."""
    pretrained = entries.get("pretrained_cfg", entries)
    if not isinstance(pretrained, dict):
        return TRANSFORM
    name = f"timm-{pretrained.get('interpolation')}"
    crop = pretrained.get("crop_pct"), pretrained.get("crop_mode", "center")
    return name if name in TRANSFORMS and crop == (TIMM_CROP, "center") else TRANSFORM
