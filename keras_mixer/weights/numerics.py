"""Numerics that weights were trained with: GELU, pixel range and grid of patches."""

import dataclasses
import math
import numbers

PREFIX = "keras_mixer."  # of this library's entries in the metadata of a .safetensors file
FLAGS = {"true": True, "false": False}


@dataclasses.dataclass(frozen=True)
class Numerics:
    """Choices that cannot be read from the arrays; None if a file does not say.

    Raises:
        ValueError: If no model can be built with a choice.
    """

    approximate_gelu: bool | None = None  # tanh, or else erf
    value_range: tuple[float, float] | None = None  # of the pixels that the stem takes
    grid: tuple[int, int] | None = None  # rows and columns of patches

    def __post_init__(self):
        if not isinstance(self.approximate_gelu, (bool, type(None))):
            raise ValueError(f"approximate_gelu={self.approximate_gelu!r} is not true or false")
        if self.value_range is not None and not is_value_range(self.value_range):
            raise ValueError(f"value_range={self.value_range!r} is not (low, high)")
        if self.grid is not None and min(self.grid) < 1:
            raise ValueError(f"grid={self.grid!r} is not a number of patches down and across")

    def or_else(self, other):
        """Return these choices, and those of `other` where these are None."""
        mine = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        return dataclasses.replace(other, **mine)

    def as_metadata(self):
        """Return the choices as the strings that a .safetensors file can hold."""
        strings = {"approximate_gelu": str(self.approximate_gelu).lower()}
        for name in ("value_range", "grid"):
            pair = getattr(self, name)
            if pair is not None:
                strings[name] = f"{pair[0]!r} {pair[1]!r}"
        return {PREFIX + name: string for name, string in strings.items()}

    @classmethod
    def from_metadata(cls, metadata):
        """Read what `as_metadata` wrote; files of other programs have none of it."""
        flag, values, grid = (
            metadata.get(PREFIX + name) for name in ("approximate_gelu", "value_range", "grid")
        )
        return cls(
            FLAGS[flag] if flag is not None else None,
            _pair(float, values.split()) if values is not None else None,
            _pair(int, grid.split()) if grid is not None else None,
        )

    @classmethod
    def from_checkpoint(cls, entry):
        """Read the entry "numerics" of a training run's checkpoint."""
        values, grid = entry.get("value_range"), entry.get("grid")
        return cls(
            entry.get("approximate_gelu"),
            _pair(float, values) if values is not None else None,
            _pair(int, grid) if grid is not None else None,
        )

    @classmethod
    def from_keras_config(cls, config):
        """Read the configuration of a Mixer that Keras saved."""
        layers = {layer["config"]["name"]: layer for layer in config["config"]["layers"]}
        (approximate_gelu,) = {
            layer["config"]["approximate_gelu"]
            for layer in layers.values()
            if layer["class_name"] == "MixerBlock"
        }
        value_range = None
        if "preprocessing" in layers:
            scaling = layers["preprocessing"]["config"]
            value_range = (scaling["offset"], scaling["offset"] + 255 * scaling["scale"])
        stem = layers["stem"]
        _, height, width, _ = stem["build_config"]["input_shape"]
        patch_height, patch_width = stem["config"]["kernel_size"]
        return cls(approximate_gelu, value_range, (height // patch_height, width // patch_width))


def is_value_range(pair):
    """Return whether `pair` is two finite numbers, the first less than the second."""
    return (
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in pair)
        and -math.inf < pair[0] < pair[1] < math.inf
    )


def _pair(number, values):
    first, second = map(number, values)
    return first, second
