"""Constructors of the published sizes."""

import os
from collections.abc import Callable
from typing import Literal

import keras

from keras_mixer.building import MlpMixer
from keras_mixer.sizes import SIZES
from keras_mixer.validation import reject_unknown
from keras_mixer.weights.catalog import CHECKPOINTS, NAMES, find


def _resolve(variant, weights):
    """Return `weights` with the name of a published checkpoint replaced by its row."""
    if not isinstance(weights, str):
        return weights
    is_path = os.sep in weights or os.path.splitext(weights)[1] or os.path.isfile(weights)
    return weights if is_path and weights not in NAMES else find(variant, weights)


def _published(variant):
    names = [c.name for c in CHECKPOINTS if c.variant == variant.constructor_name]
    return ", ".join(f'`"{name}"`' for name in names) or "none for this variant"


def _example(variant):
    """Return the part of a docstring that shows published weights; nothing where there are none."""
    published = [c.name for c in CHECKPOINTS if c.variant == variant.constructor_name]
    if not published:
        return ""
    return (
        "\n\nExamples:\n"
        "    >>> import keras_mixer\n"
        f"    >>> body = keras_mixer.{variant.constructor_name}(\n"
        f'    ...     weights="{published[0]}", include_top=False, pooling="avg"\n'
        "    ... )\n"
        "    >>> body.output_shape\n"
        f"    (None, {variant.hidden_dim})\n"
    )


def _constructor(variant):
    """Return the public function that builds `variant`."""
    dimensions = variant.dimensions
    model_name = f"mixer_{variant.name.lower().replace('/', '')}"

    def constructor(
        include_top: bool = True,
        include_preprocessing: bool = True,
        weights: str | os.PathLike | None = "imagenet1k",
        input_tensor=None,
        input_shape: tuple[int, int, int] | None = None,
        pooling: Literal["avg", "max"] | None = None,
        classes: int | None = None,
        classifier_activation: str | Callable | None = "softmax",
        drop_path_rate: float = 0.0,
        dropout_rate: float = 0.0,
        name: str = model_name,
        dtype=None,
        rescale_drop_path: bool = False,
        resolution: Literal["block_diagonal", "interpolate"] = "block_diagonal",
        approximate_gelu: bool | None = None,
        value_range: tuple[float, float] | None = None,
        rematerialize: bool = False,
        **unknown,
    ) -> keras.Model:
        fixed = dimensions.keys() & unknown.keys()
        if fixed:
            argument = sorted(fixed)[0]
            raise ValueError(
                f"{constructor.__name__}: `{argument}` is fixed at {dimensions[argument]} by the "
                f"variant. Received: {argument}={unknown[argument]!r}. Use keras_mixer.MlpMixer "
                "for other sizes."
            )
        reject_unknown(constructor, unknown)
        return MlpMixer(
            **dimensions,
            include_top=include_top,
            include_preprocessing=include_preprocessing,
            weights=_resolve(constructor.__name__, weights),
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            drop_path_rate=drop_path_rate,
            dropout_rate=dropout_rate,
            name=name,
            dtype=dtype,
            rescale_drop_path=rescale_drop_path,
            resolution=resolution,
            approximate_gelu=approximate_gelu,
            value_range=value_range,
            rematerialize=rematerialize,
        )

    constructor.__name__ = constructor.__qualname__ = variant.constructor_name
    constructor.__doc__ = (
        f"Build Mixer-{variant.name} (table 1 of the paper): "
        f"{variant.num_blocks} blocks of hidden_dim {variant.hidden_dim}, tokens_mlp_dim "
        f"{variant.tokens_mlp_dim}, channels_mlp_dim {variant.channels_mlp_dim}.\n\n"
        "The arguments are those of `keras_mixer.MlpMixer`, less the sizes. `weights` may also be\n"
        "the name of a published checkpoint, which is fetched into Keras's cache and verified:\n"
        f"{_published(variant)}.\n\n"
        "Returns:\n    A `keras.Model`; see `keras_mixer.MlpMixer` for its shapes.\n\n"
        "Raises:\n"
        "    ValueError: If an argument is unknown, out of range, or contradicts another, or if\n"
        "        weights are damaged or another model's.\n"
        "    DownloadError: If a published checkpoint cannot be fetched."
        f"{_example(variant)}"
    )
    return constructor


(
    MixerS32,
    MixerS16,
    MixerS8,
    MixerB32,
    MixerB16,
    MixerL32,
    MixerL16,
    MixerH14,
) = map(_constructor, SIZES.values())
