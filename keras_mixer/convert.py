"""Conversion of weight files from any readable format to any writable one."""

import contextlib
import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

from keras_mixer.building import build_mixer
from keras_mixer.model_config import ModelConfigError, check_model_config
from keras_mixer.validation import check_numerics
from keras_mixer.weights.formats import WeightsError
from keras_mixer.weights.layouts import CHOICES, GOOGLE, KERAS, LAYOUTS, TIMM
from keras_mixer.weights.load import DEFAULT_NUMERICS, open_weights
from keras_mixer.weights.numerics import Numerics
from keras_mixer.weights.writers import write_npz, write_safetensors

# Formats that can be written, with the layout that their users expect.
FORMATS = {".npz": GOOGLE, ".safetensors": TIMM, ".weights.h5": KERAS, ".keras": KERAS}
FREE_FORMATS = (".npz", ".safetensors")  # can hold any names
RECORDING_FORMATS = (".safetensors", ".keras")  # can record the numerics


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    layout: Literal["google", "timm", "pre-linen"] | None = None,
    image_size: tuple[int, int] | None = None,
    approximate_gelu: bool | None = None,
    value_range: tuple[float, float] | None = None,
    overwrite: bool = False,
) -> str:
    """Write the weights of `source` to `target`, in the format that its suffix names.

    Values are preserved bit for bit. `.keras` and `.safetensors` files also record the kind of
    GELU, the range of the pixels and the image size; the other formats cannot. A new `.keras`
    file holds a plain float32 model that takes pixels in [0, 255], without dropout and stochastic
    depth. Its head returns probabilities, or has the activation of a `.keras` source.

    Args:
        source: Path of a weight file in any format and layout that `keras_mixer.MlpMixer` takes,
            such as the checkpoint `RUN/checkpoints/best.npz` of a training run.
        target: Path that ends in `.npz`, `.safetensors`, `.weights.h5` or `.keras`.
        layout: Names to use in `.npz` and `.safetensors`: `"google"` (the Flax code; default for
            `.npz`), `"timm"` (default for `.safetensors`) or `"pre-linen"`.
        image_size: `(height, width)` in pixels that the weights were trained at. Defaults to what
            the source states, or to a square image if it does not.
        approximate_gelu: See `keras_mixer.MlpMixer`. Defaults to what the source states or its
            layout implies.
        value_range: See `keras_mixer.MlpMixer`. Defaults to what the source states.
        overwrite: Whether to replace a target that exists.

    Returns:
        What users of `target` must know and its format cannot record; usually "".

    Raises:
        ValueError: If an argument is invalid, or the source is not a valid Mixer.
        OSError: If the target cannot be written.

    Examples:
        Convert a model that Keras saved, for the authors' Flax code:

        >>> from keras_mixer.convert import convert
        >>> convert("trained.keras", "trained.npz")
        ''
    """
    target = Path(os.path.expanduser(target))
    suffix = _check_target(target, overwrite)
    names = _check_layout(layout, suffix)
    check_numerics("convert", approximate_gelu, value_range)
    with open_weights(source) as weights:
        file = weights.file
        file.check(file.architecture.shapes())
        numerics = Numerics(approximate_gelu, value_range, weights.grid).or_else(weights.numerics)
        if image_size is not None:
            numerics = dataclasses.replace(numerics, grid=_grid(image_size, file.architecture))
        with _replace_atomically(target, suffix) as path:
            if suffix == ".npz":
                write_npz(path, _arrays(file, names))
            elif suffix == ".safetensors":
                metadata = {"format": "pt", **numerics.as_metadata()}
                write_safetensors(path, _arrays(file, names), _shapes(file, names), metadata)
            else:
                model = _build(dataclasses.replace(weights, numerics=numerics))
                model.save(path) if suffix == ".keras" else model.save_weights(path)
    return _note(suffix, numerics, names)


def _note(suffix, numerics, layout):
    """Return a note on the numerics that this format and layout cannot record, or ""."""
    if suffix in RECORDING_FORMATS:
        return ""
    assumed = Numerics(layout.approximate_gelu).or_else(DEFAULT_NUMERICS)
    lost = []
    for argument in ("approximate_gelu", "value_range"):
        if getattr(numerics, argument) != getattr(assumed, argument):
            lost.append(f"{argument}={getattr(numerics, argument)}")
    if numerics.grid and numerics.grid[0] != numerics.grid[1]:
        lost.append(f"images of {numerics.grid[0]} × {numerics.grid[1]} patches")
    if not lost:
        return ""
    return (
        f"{suffix} files cannot record that these weights need {' and '.join(lost)}. "
        f"Write {' or '.join(RECORDING_FORMATS)} instead, or pass it whenever you load the file."
    )


def _check_target(target, overwrite):
    """Return the suffix that names the format of `target`, or raise ValueError."""
    for suffix in FORMATS:
        if target.name.endswith(suffix):
            break
    else:
        raise ValueError(
            f"convert: `target` must end in {', '.join(FORMATS)}, which names the format. "
            f"Received: target={str(target)!r}. Use one of these suffixes."
        )
    if target.exists() and not overwrite:
        raise ValueError(
            "convert: `target` must not exist, unless it may be overwritten. "
            f"Received: target={str(target)!r}. Choose another name, or pass overwrite=True "
            "(--overwrite)."
        )
    if target.is_dir() or not target.parent.is_dir():
        raise ValueError(
            "convert: `target` must be a file in a folder that exists. "
            f"Received: target={str(target)!r}. Create the folder first, or choose another."
        )
    return suffix


def _check_layout(layout, suffix):
    """Return the `Layout` to write, or raise ValueError."""
    if layout is None:
        return FORMATS[suffix]
    if layout not in CHOICES or suffix not in FREE_FORMATS:
        raise ValueError(
            f"convert: `layout` must be one of {CHOICES}, and applies to "
            f"{', '.join(FREE_FORMATS)} only. Received: layout={layout!r} for {suffix}. Leave it "
            "out for the default."
        )
    return LAYOUTS[layout]


def _grid(image_size, architecture):
    """Return the grid of patches in images of `image_size`, or raise ValueError."""
    patch_size = architecture.patch_size
    valid = (
        isinstance(image_size, (tuple, list))
        and len(image_size) == 2
        and all(isinstance(side, int) and side > 0 for side in image_size)
        and not any(side % patch for side, patch in zip(image_size, patch_size, strict=True))
    )
    grid = (image_size[0] // patch_size[0], image_size[1] // patch_size[1]) if valid else (0, 0)
    if grid[0] * grid[1] != architecture.num_patches:
        raise ValueError(
            "convert: `image_size` must be (height, width) in pixels, and make "
            f"{architecture.num_patches} patches of {patch_size[0]} × {patch_size[1]}. "
            f"Received: image_size={image_size!r}. Pass the size that the weights were trained at."
        )
    return grid


@contextlib.contextmanager
def _replace_atomically(target, suffix):
    """Yield a path to write to; move it to `target` if nothing fails."""
    with contextlib.ExitStack() as stack:
        try:
            beside = tempfile.TemporaryDirectory(prefix=".convert-", dir=target.parent)
        except OSError as error:
            raise ValueError(
                "convert: `target` must be in a writable folder. "
                f"Received: target={str(target)!r}: {error.strerror}. Name another folder."
            ) from error
        path = Path(stack.enter_context(beside)) / f"complete{suffix}"
        yield path
        path.chmod(0o666 & ~_umask())  # some writers make private files
        os.replace(path, target)


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _shapes(file, layout):
    """Return `{the layout's name: shape}`."""
    return {
        layout.rename(name): tuple(shape[axis] for axis in layout.axes_from_canonical(len(shape)))
        for name, shape in file.architecture.shapes().items()
    }


def _arrays(file, layout):
    """Yield the layout's name of each array and the array, in the order of `_shapes`."""
    for name in file.architecture.shapes():
        array = file.read(name)
        array = array.transpose(layout.axes_from_canonical(array.ndim))
        yield layout.rename(name), np.ascontiguousarray(array)


def _build(weights):
    """Return a model with opened weights."""
    architecture = weights.file.architecture
    if weights.grid is None:
        raise ValueError(
            "convert: `image_size` must be given unless the weights were trained on square "
            f"images. Received: image_size=None for {architecture.num_patches} patches. "
            "Pass the height and width in pixels (--image-size)."
        )
    height, width = (n * p for n, p in zip(weights.grid, architecture.patch_size, strict=True))
    return build_mixer(
        patch_size=architecture.patch_size,
        hidden_dim=architecture.hidden_dim,
        num_blocks=architecture.num_blocks,
        tokens_mlp_dim=architecture.tokens_mlp_dim,
        channels_mlp_dim=architecture.channels_mlp_dim,
        include_top=architecture.classes is not None,
        include_preprocessing=architecture.channels in (1, 3),
        weights=weights,
        input_shape=(height, width, architecture.channels),
        classifier_activation=_head_activation(weights.file),
        dtype="float32",
    )


def _head_activation(file):
    """Return the activation of the head in a `.keras` source, checked; else "softmax"."""
    if file.arrays.format != "keras" or file.architecture.classes is None:
        return "softmax"
    layers = {layer["config"]["name"]: layer for layer in file.arrays.metadata["config"]["layers"]}
    try:
        return check_model_config(layers["head"]["config"]["activation"])
    except ModelConfigError as error:
        raise WeightsError(
            file.path,
            f"has a head with the activation {error}, which is not one of Keras's.",
            "Set it to keras.activations.softmax, and save the model again.",
        ) from error
