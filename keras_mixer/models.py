"""Constructors: `MlpMixer` of any size, and the published variants."""

import os
from collections.abc import Callable
from typing import Literal, TypeAlias

import keras

from keras_mixer.building import build_mixer, build_variant
from keras_mixer.sizes import SIZES
from keras_mixer.validation import reject_unknown

Weights: TypeAlias = str | os.PathLike | None
Shape: TypeAlias = tuple[int, int, int]
Pooling: TypeAlias = Literal["avg", "max"] | None
Activation: TypeAlias = str | Callable | None
Resolution: TypeAlias = Literal["block_diagonal", "interpolate"]
Range: TypeAlias = tuple[float, float]
# The constructors have the same arguments in the same lines.
# fmt: off


def MlpMixer(
    patch_size: int | tuple[int, int], hidden_dim: int, num_blocks: int,
    tokens_mlp_dim: int, channels_mlp_dim: int,
    include_top: bool = True, include_preprocessing: bool = True, weights: Weights = None,
    input_tensor=None, input_shape: Shape | None = None, pooling: Pooling = None,
    classes: int | None = None, classifier_activation: Activation = "softmax",
    drop_path_rate: float = 0.0, dropout_rate: float = 0.0, name: str = "mlp_mixer",
    dtype=None, rescale_drop_path: bool = False, resolution: Resolution = "block_diagonal",
    approximate_gelu: bool | None = None, value_range: Range | None = None,
    rematerialize: bool = False, **unknown,
) -> keras.Model:
    """Build an MLP-Mixer of any size (section 2 of the paper; table 1 has the usual sizes).

    The layers are named `stem`, `MixerBlock_0` …, `pre_head_layer_norm` and `head`, as in the
    published weights; `model.get_layer("MixerBlock_5").output` is an intermediate feature.

    Args:
        patch_size: P, the side of a square patch in pixels, or `(height, width)`.
        hidden_dim: C, the width of a token.
        num_blocks: Number of Mixer blocks.
        tokens_mlp_dim: D_S, hidden width of the token-mixing MLPs.
        channels_mlp_dim: D_C, hidden width of the channel-mixing MLPs.
        include_top: Whether the model ends in the classification head.
        include_preprocessing: Whether the model takes pixels in [0, 255], uint8 or float, and
            scales them itself. If False, it takes images in the `value_range` of its weights.
        weights: `None` for random weights, or the path of a weight file: `.npz`, `.safetensors`,
            `.weights.h5`, `.keras` or the checkpoint of a training run. The format is recognized
            by content, and loading is strict. `"hf://USER/REPO"`, also with `@REVISION`, is a
            repository on the Hugging Face Hub with `model.safetensors`, such as timm's. The
            variants also take names of published weights, which are cached and verified.
        input_tensor: Keras tensor of images to build on, instead of a new input.
        input_shape: `(height, width, channels)`; height and width in pixels, multiples of the
            patch size. Defaults to the size that a weight file was trained at, otherwise to
            `(224, 224, 3)`. For sizes other than the trained one, see `resolution`.
        pooling: Output without the head: `None` for tokens, `"avg"` or `"max"` for their mean or
            maximum.
        classes: Number of classes of the head. Defaults to that of the weights, or 1000. A
            different number gives a new head, initialized to zero.
        classifier_activation: Activation of the head; `None` for logits.
        drop_path_rate: Rate of stochastic depth in the last block. The rate grows linearly from
            0 in the first block (appendix B).
        dropout_rate: Dropout rate inside the MLPs.
        name: Name of the model. A model that contains several Mixers calls each as a layer; they
            need different names, and their layers have the same names inside.
        dtype: Dtype or dtype policy of the layers, such as `"mixed_bfloat16"`. Defaults to
            Keras's global policy. Preprocessing, pooling and head keep the variables' dtype.
        rescale_drop_path: Whether stochastic depth rescales the survivors; the authors' code
            does not.
        resolution: How to use weights at an image size other than the trained one.
            `"block_diagonal"` mixes each part of the trained size by itself (appendix C) and
            takes integer multiples of that size only. `"interpolate"` resizes the maps of the
            hidden units and takes any size; it is our method, not the paper's.
        approximate_gelu: Whether GELU uses the tanh approximation or the exact erf. Defaults to
            what the weights were trained with: tanh for Google's layout and for random weights,
            erf for timm's layout.
        value_range: `(low, high)` that `include_preprocessing` scales pixels to. Defaults to
            what the weights were trained with, or `(-1, 1)` if a file does not say.
        rematerialize: Whether training recomputes each block for the gradient instead of keeping
            its intermediate values: less memory, about a third more time, the same result.
        **unknown: Not accepted: any other argument is an error that names the nearest one.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to `(batch, classes)`; without
        the head to `(batch, patches, hidden_dim)`, or pooled to `(batch, hidden_dim)`.

    Raises:
        ValueError: If an argument is unknown or invalid, or if a weight file is corrupt or does
            not hold exactly the arrays of this model.
        DownloadError: If weights cannot be downloaded.

    Examples:
        A small Mixer for images of 32 × 32 pixels, with random weights:

        >>> import keras_mixer
        >>> model = keras_mixer.MlpMixer(
        ...     patch_size=4,
        ...     hidden_dim=64,
        ...     num_blocks=2,
        ...     tokens_mlp_dim=32,
        ...     channels_mlp_dim=256,
        ...     input_shape=(32, 32, 3),
        ...     classes=10,
        ... )
        >>> model.output_shape
        (None, 10)
        >>> model.get_layer("MixerBlock_1").output.shape
        (None, 64, 64)
    """
    reject_unknown(MlpMixer, unknown)
    return build_mixer(
        patch_size=patch_size, hidden_dim=hidden_dim, num_blocks=num_blocks,
        tokens_mlp_dim=tokens_mlp_dim, channels_mlp_dim=channels_mlp_dim,
        include_top=include_top, include_preprocessing=include_preprocessing, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, classes=classes,
        classifier_activation=classifier_activation, drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate, name=name, dtype=dtype, rescale_drop_path=rescale_drop_path,
        resolution=resolution, approximate_gelu=approximate_gelu, value_range=value_range,
        rematerialize=rematerialize,
    )


def MixerS32(
    include_top: bool = True, include_preprocessing: bool = True, weights: Weights = "imagenet1k",
    input_tensor=None, input_shape: Shape | None = None, pooling: Pooling = None,
    classes: int | None = None, classifier_activation: Activation = "softmax",
    drop_path_rate: float = 0.0, dropout_rate: float = 0.0, name: str = "mixer_s32",
    dtype=None, rescale_drop_path: bool = False, resolution: Resolution = "block_diagonal",
    approximate_gelu: bool | None = None, value_range: Range | None = None,
    rematerialize: bool = False, **unknown,
) -> keras.Model:
    """Build Mixer-S/32: 8 blocks, C = 512, D_S = 256, D_C = 2048 (table 1 of the paper).

    `MlpMixer` documents the arguments. Published `weights`: `"gsam"`.

    Examples:
        >>> import keras_mixer
        >>> body = keras_mixer.MixerS32(weights="gsam", include_top=False, pooling="avg")
        >>> body.output_shape
        (None, 512)
    """
    return build_variant(
        MixerS32, SIZES["S/32"], unknown,
        include_top=include_top, include_preprocessing=include_preprocessing, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, classes=classes,
        classifier_activation=classifier_activation, drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate, name=name, dtype=dtype, rescale_drop_path=rescale_drop_path,
        resolution=resolution, approximate_gelu=approximate_gelu, value_range=value_range,
        rematerialize=rematerialize,
    )


def MixerS16(
    include_top: bool = True, include_preprocessing: bool = True, weights: Weights = "imagenet1k",
    input_tensor=None, input_shape: Shape | None = None, pooling: Pooling = None,
    classes: int | None = None, classifier_activation: Activation = "softmax",
    drop_path_rate: float = 0.0, dropout_rate: float = 0.0, name: str = "mixer_s16",
    dtype=None, rescale_drop_path: bool = False, resolution: Resolution = "block_diagonal",
    approximate_gelu: bool | None = None, value_range: Range | None = None,
    rematerialize: bool = False, **unknown,
) -> keras.Model:
    """Build Mixer-S/16: 8 blocks, C = 512, D_S = 256, D_C = 2048 (table 1 of the paper).

    `MlpMixer` documents the arguments. Published `weights`: `"gsam"`.

    Examples:
        >>> import keras_mixer
        >>> body = keras_mixer.MixerS16(weights="gsam", include_top=False, pooling="avg")
        >>> body.output_shape
        (None, 512)
    """
    return build_variant(
        MixerS16, SIZES["S/16"], unknown,
        include_top=include_top, include_preprocessing=include_preprocessing, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, classes=classes,
        classifier_activation=classifier_activation, drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate, name=name, dtype=dtype, rescale_drop_path=rescale_drop_path,
        resolution=resolution, approximate_gelu=approximate_gelu, value_range=value_range,
        rematerialize=rematerialize,
    )


def MixerS8(
    include_top: bool = True, include_preprocessing: bool = True, weights: Weights = "imagenet1k",
    input_tensor=None, input_shape: Shape | None = None, pooling: Pooling = None,
    classes: int | None = None, classifier_activation: Activation = "softmax",
    drop_path_rate: float = 0.0, dropout_rate: float = 0.0, name: str = "mixer_s8",
    dtype=None, rescale_drop_path: bool = False, resolution: Resolution = "block_diagonal",
    approximate_gelu: bool | None = None, value_range: Range | None = None,
    rematerialize: bool = False, **unknown,
) -> keras.Model:
    """Build Mixer-S/8: 8 blocks, C = 512, D_S = 256, D_C = 2048 (published after the paper).

    `MlpMixer` documents the arguments. Published `weights`: `"gsam"`.

    Examples:
        >>> import keras_mixer
        >>> body = keras_mixer.MixerS8(weights="gsam", include_top=False, pooling="avg")
        >>> body.output_shape
        (None, 512)
    """
    return build_variant(
        MixerS8, SIZES["S/8"], unknown,
        include_top=include_top, include_preprocessing=include_preprocessing, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, classes=classes,
        classifier_activation=classifier_activation, drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate, name=name, dtype=dtype, rescale_drop_path=rescale_drop_path,
        resolution=resolution, approximate_gelu=approximate_gelu, value_range=value_range,
        rematerialize=rematerialize,
    )


def MixerB32(
    include_top: bool = True, include_preprocessing: bool = True, weights: Weights = "imagenet1k",
    input_tensor=None, input_shape: Shape | None = None, pooling: Pooling = None,
    classes: int | None = None, classifier_activation: Activation = "softmax",
    drop_path_rate: float = 0.0, dropout_rate: float = 0.0, name: str = "mixer_b32",
    dtype=None, rescale_drop_path: bool = False, resolution: Resolution = "block_diagonal",
    approximate_gelu: bool | None = None, value_range: Range | None = None,
    rematerialize: bool = False, **unknown,
) -> keras.Model:
    """Build Mixer-B/32: 12 blocks, C = 768, D_S = 384, D_C = 3072 (table 1 of the paper).

    `MlpMixer` documents the arguments. Published `weights`: `"sam"`, `"gsam"`.

    Examples:
        >>> import keras_mixer
        >>> body = keras_mixer.MixerB32(weights="sam", include_top=False, pooling="avg")
        >>> body.output_shape
        (None, 768)
    """
    return build_variant(
        MixerB32, SIZES["B/32"], unknown,
        include_top=include_top, include_preprocessing=include_preprocessing, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, classes=classes,
        classifier_activation=classifier_activation, drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate, name=name, dtype=dtype, rescale_drop_path=rescale_drop_path,
        resolution=resolution, approximate_gelu=approximate_gelu, value_range=value_range,
        rematerialize=rematerialize,
    )


def MixerB16(
    include_top: bool = True, include_preprocessing: bool = True, weights: Weights = "imagenet1k",
    input_tensor=None, input_shape: Shape | None = None, pooling: Pooling = None,
    classes: int | None = None, classifier_activation: Activation = "softmax",
    drop_path_rate: float = 0.0, dropout_rate: float = 0.0, name: str = "mixer_b16",
    dtype=None, rescale_drop_path: bool = False, resolution: Resolution = "block_diagonal",
    approximate_gelu: bool | None = None, value_range: Range | None = None,
    rematerialize: bool = False, **unknown,
) -> keras.Model:
    """Build Mixer-B/16: 12 blocks, C = 768, D_S = 384, D_C = 3072 (table 1 of the paper).

    `MlpMixer` documents the arguments. Published `weights`: `"imagenet1k"`, `"imagenet21k"`,
    `"sam"`, `"gsam"`, `"miil_in21k"`, `"miil_in21k_ft_in1k"`.

    Examples:
        >>> import keras_mixer
        >>> body = keras_mixer.MixerB16(weights="imagenet1k", include_top=False, pooling="avg")
        >>> body.output_shape
        (None, 768)
    """
    return build_variant(
        MixerB16, SIZES["B/16"], unknown,
        include_top=include_top, include_preprocessing=include_preprocessing, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, classes=classes,
        classifier_activation=classifier_activation, drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate, name=name, dtype=dtype, rescale_drop_path=rescale_drop_path,
        resolution=resolution, approximate_gelu=approximate_gelu, value_range=value_range,
        rematerialize=rematerialize,
    )


def MixerL32(
    include_top: bool = True, include_preprocessing: bool = True, weights: Weights = "imagenet1k",
    input_tensor=None, input_shape: Shape | None = None, pooling: Pooling = None,
    classes: int | None = None, classifier_activation: Activation = "softmax",
    drop_path_rate: float = 0.0, dropout_rate: float = 0.0, name: str = "mixer_l32",
    dtype=None, rescale_drop_path: bool = False, resolution: Resolution = "block_diagonal",
    approximate_gelu: bool | None = None, value_range: Range | None = None,
    rematerialize: bool = False, **unknown,
) -> keras.Model:
    """Build Mixer-L/32: 24 blocks, C = 1024, D_S = 512, D_C = 4096 (table 1 of the paper).

    `MlpMixer` documents the arguments. No weights were published.
    """
    return build_variant(
        MixerL32, SIZES["L/32"], unknown,
        include_top=include_top, include_preprocessing=include_preprocessing, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, classes=classes,
        classifier_activation=classifier_activation, drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate, name=name, dtype=dtype, rescale_drop_path=rescale_drop_path,
        resolution=resolution, approximate_gelu=approximate_gelu, value_range=value_range,
        rematerialize=rematerialize,
    )


def MixerL16(
    include_top: bool = True, include_preprocessing: bool = True, weights: Weights = "imagenet1k",
    input_tensor=None, input_shape: Shape | None = None, pooling: Pooling = None,
    classes: int | None = None, classifier_activation: Activation = "softmax",
    drop_path_rate: float = 0.0, dropout_rate: float = 0.0, name: str = "mixer_l16",
    dtype=None, rescale_drop_path: bool = False, resolution: Resolution = "block_diagonal",
    approximate_gelu: bool | None = None, value_range: Range | None = None,
    rematerialize: bool = False, **unknown,
) -> keras.Model:
    """Build Mixer-L/16: 24 blocks, C = 1024, D_S = 512, D_C = 4096 (table 1 of the paper).

    `MlpMixer` documents the arguments. Published `weights`: `"imagenet1k"`, `"imagenet21k"`.

    Examples:
        >>> import keras_mixer
        >>> body = keras_mixer.MixerL16(weights="imagenet1k", include_top=False, pooling="avg")
        >>> body.output_shape
        (None, 1024)
    """
    return build_variant(
        MixerL16, SIZES["L/16"], unknown,
        include_top=include_top, include_preprocessing=include_preprocessing, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, classes=classes,
        classifier_activation=classifier_activation, drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate, name=name, dtype=dtype, rescale_drop_path=rescale_drop_path,
        resolution=resolution, approximate_gelu=approximate_gelu, value_range=value_range,
        rematerialize=rematerialize,
    )


def MixerH14(
    include_top: bool = True, include_preprocessing: bool = True, weights: Weights = "imagenet1k",
    input_tensor=None, input_shape: Shape | None = None, pooling: Pooling = None,
    classes: int | None = None, classifier_activation: Activation = "softmax",
    drop_path_rate: float = 0.0, dropout_rate: float = 0.0, name: str = "mixer_h14",
    dtype=None, rescale_drop_path: bool = False, resolution: Resolution = "block_diagonal",
    approximate_gelu: bool | None = None, value_range: Range | None = None,
    rematerialize: bool = False, **unknown,
) -> keras.Model:
    """Build Mixer-H/14: 32 blocks, C = 1280, D_S = 640, D_C = 5120 (table 1 of the paper).

    `MlpMixer` documents the arguments. No weights were published.
    """
    return build_variant(
        MixerH14, SIZES["H/14"], unknown,
        include_top=include_top, include_preprocessing=include_preprocessing, weights=weights,
        input_tensor=input_tensor, input_shape=input_shape, pooling=pooling, classes=classes,
        classifier_activation=classifier_activation, drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate, name=name, dtype=dtype, rescale_drop_path=rescale_drop_path,
        resolution=resolution, approximate_gelu=approximate_gelu, value_range=value_range,
        rematerialize=rematerialize,
    )
