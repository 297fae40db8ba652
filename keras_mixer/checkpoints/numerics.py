"""What a model must compute for its weights to mean what they were trained to mean."""

import dataclasses

FLAG = {"true": True, "false": False}


@dataclasses.dataclass(frozen=True)
class Numerics:
    """The choices that no array shows; None where a source does not say."""

    approximate_gelu: bool | None = None  # tanh, or else erf
    value_range: tuple[float, float] | None = None  # of the pixels that the stem takes
    grid: tuple[int, int] | None = None  # patches down and across

    def or_else(self, other):
        """Return these choices, with those of `other` where they are open."""
        mine = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        return dataclasses.replace(other, **mine)

    def as_metadata(self):
        """Return the choices as the strings that a .safetensors file can hold."""
        strings = {
            "approximate_gelu": str(self.approximate_gelu).lower(),
            "value_range": "{:g} {:g}".format(*self.value_range),
        }
        return strings | ({"grid": "{} {}".format(*self.grid)} if self.grid else {})

    @classmethod
    def of_metadata(cls, metadata):
        """Read what `as_metadata` wrote; other programs' files have none of it."""
        flag, values, grid = map(metadata.get, ("approximate_gelu", "value_range", "grid"))
        return cls(
            FLAG[flag] if flag is not None else None,
            _pair(float, values) if values is not None else None,
            _pair(int, grid) if grid is not None else None,
        )

    @classmethod
    def of_keras_config(cls, config):
        """Read the configuration of a Mixer that Keras saved."""
        layers = {
            layer["config"]["name"]: (layer["class_name"], layer["config"])
            for layer in config["config"]["layers"]
        }
        blocks = [layer for kind, layer in layers.values() if kind == "MixerBlock"]
        inputs = [layer for kind, layer in layers.values() if kind == "InputLayer"]
        flags = {block["approximate_gelu"] for block in blocks}
        value_range = grid = None
        if "preprocessing" in layers:
            scale, offset = (layers["preprocessing"][1][key] for key in ("scale", "offset"))
            value_range = (round(offset, 6), round(offset + 255 * scale, 6))
        if len(inputs) == 1 and "stem" in layers:
            patch_size = layers["stem"][1]["kernel_size"]
            size = inputs[0]["batch_shape"][1:3]
            grid = tuple(side // patch for side, patch in zip(size, patch_size, strict=True))
        return cls(flags.pop() if len(flags) == 1 else None, value_range, grid)


def _pair(number, text):
    first, second = map(number, text.split())
    return first, second
