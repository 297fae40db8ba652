"""Presets: the published checkpoints by name, and weight files of keras_mixer by path.

KerasHub looks up its own names as handles of model hubs, and expects its own files there. These
presets are other files, which `keras_mixer` downloads, verifies and adapts itself.
"""

import contextlib
import dataclasses
import math
import os

from keras_mixer.keras_hub.image_shape import (
    check_data_format,
    check_image_shape,
    from_channels_last,
)
from keras_mixer.layers.initialization import skip_initialization
from keras_mixer.validation import check_patch_size
from keras_mixer.weights import resolution as resolutions
from keras_mixer.weights.architecture import Architecture
from keras_mixer.weights.catalog import CATALOG
from keras_mixer.weights.load import OpenedWeights, open_weights
from keras_mixer.weights.numerics import Numerics

SUFFIXES = (".npz", ".safetensors", ".keras", ".h5")  # of weight files
SIZES = ("hidden_dim", "num_blocks", "tokens_mlp_dim", "channels_mlp_dim")


def _architecture(row):
    patch_size, channels = (row.size.patch_size, row.size.patch_size), 3
    return Architecture(
        **{**row.size.dimensions, "patch_size": patch_size},
        channels=channels,
        num_patches=math.prod(row.grid),
        classes=row.classes,
    )


def _metadata(row):
    """Return what KerasHub lists of a preset; the parameters are counted without the head."""
    accuracies = [f"{top1} % ImageNet accuracy ({source})." for top1, source in row.top1]
    body = dataclasses.replace(_architecture(row), classes=None)
    return {
        "description": " ".join(
            [
                f"Mixer-{row.size.name} with the weights {row.name!r} and {row.classes} classes.",
                *accuracies,
                row.warning,
            ]
        ).rstrip(),
        "params": sum(map(math.prod, body.shapes().values())),
        "path": "mixer",
    }


ROWS = {f"mixer_{row.variant.removeprefix('Mixer').lower()}_{row.name}": row for row in CATALOG}
PRESETS = {name: {"metadata": _metadata(row)} for name, row in ROWS.items()}


def is_checkpoint(preset):
    """Return whether a preset is one of `PRESETS` or a weight file, rather than KerasHub's."""
    if not isinstance(preset, (str, os.PathLike)):
        return False  # KerasHub's message explains it
    path = os.fspath(preset)
    is_file = os.path.isfile(path) or (path.endswith(SUFFIXES) and not os.path.isdir(path))
    return path in ROWS or (is_file and "://" not in path)


@contextlib.contextmanager
def open_checkpoint(preset, load_weights=True):
    """Yield the `Checkpoint` of a preset for which `is_checkpoint` is true.

    Raises:
        WeightsError: If a file is not a valid Mixer.
        DownloadError: If published weights cannot be downloaded. They are not if `load_weights`
            is False.
    """
    row = ROWS.get(preset)
    if row is not None and not load_weights:
        numerics = Numerics(row.approximate_gelu, row.value_range, row.grid)
        yield Checkpoint(preset, _architecture(row), numerics, None)
        return
    with open_weights(row or preset) as opened:
        numerics = dataclasses.replace(opened.numerics, grid=opened.grid)
        used = opened if load_weights else None
        yield Checkpoint(preset, opened.file.architecture, numerics, used)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Sizes and numerics of trained weights, and the weights themselves unless they are unused."""

    preset: str | os.PathLike
    architecture: Architecture
    numerics: Numerics
    opened: OpenedWeights | None

    def build_backbone(self, cls, resolution="block_diagonal", **arguments):
        """Return a `MixerBackbone` with these weights.

        Args:
            cls: The class.
            resolution: How to use the weights at another image size; see `keras_mixer.MlpMixer`.
            **arguments: Replace the arguments of `cls` that follow from the checkpoint.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        arguments = {**self._backbone_arguments(given), **given}
        data_format = check_data_format(cls.__name__, arguments.get("data_format"))
        patch_size = check_patch_size(cls.__name__, arguments["patch_size"])
        height, width, channels = check_image_shape(
            cls.__name__, arguments["image_shape"], patch_size, data_format
        )
        grid = (height // patch_size[0], width // patch_size[1])
        if self.opened is None:
            trained = self.numerics.grid or grid
            resolutions.check(cls.__name__, trained, grid, resolution)
            arguments["tokens_mlp_dim"] *= resolutions.num_parts(trained, grid, resolution)
            return cls(**arguments)
        wanted = dataclasses.replace(
            self.architecture,
            **{name: arguments[name] for name in SIZES},
            patch_size=patch_size,
            channels=channels,
            num_patches=math.prod(grid),
            classes=None,
        )
        loader = self.opened.for_model(cls.__name__, wanted, grid, resolution)
        arguments["tokens_mlp_dim"] = loader.architecture.tokens_mlp_dim
        with skip_initialization():
            backbone = cls(**arguments)
        loader.fill(backbone)
        return backbone

    def _backbone_arguments(self, given):
        sizes = {name: getattr(self.architecture, name) for name in ("patch_size", *SIZES)}
        sizes["approximate_gelu"] = self.numerics.approximate_gelu
        if "image_shape" not in given:
            data_format = check_data_format("MixerBackbone", given.get("data_format"))
            size = self.image_size("MixerBackbone", "image_shape")
            shape = (*size, self.architecture.channels)
            sizes["image_shape"] = from_channels_last(shape, data_format)
        return sizes

    def image_size(self, owner, argument):
        """Return the height and width in pixels at which the weights were trained.

        Raises:
            ValueError: If that is not known; the message asks for `argument` of `owner`.
        """
        if self.numerics.grid is None:
            raise ValueError(
                f"{owner}: `{argument}` must be given for a weight file that does not state the "
                f"image size, unless it is square. Received: preset={str(self.preset)!r}. Pass the "
                f"{argument} that the weights were trained at."
            )
        (rows, columns), (height, width) = self.numerics.grid, self.architecture.patch_size
        return rows * height, columns * width

    @property
    def scaling(self):
        """The arguments of an image converter that scale pixels in [0, 255] as in training."""
        assert self.numerics.value_range is not None  # `open_weights` has defaults
        low, high = self.numerics.value_range
        return {"scale": (high - low) / 255, "offset": float(low)}

    def fill_head(self, dense):
        """Set the weights of the layer that predicts the classes."""
        assert self.opened is not None
        for name, variable in (("kernel", dense.kernel), ("bias", dense.bias)):
            variable.assign(self.opened.file.read(f"head/{name}"))
