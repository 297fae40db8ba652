"""MLP-Mixer as a Functional Keras model: images → patches → tokens → logits (figure 1)."""

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Literal

import keras

from keras_mixer.layers import LAYER_NORM_EPSILON, MixerBlock
from keras_mixer.validation import (
    check_image_shape,
    check_numerics,
    check_patch_size,
    check_positive_int,
    check_rate,
    check_shape,
    check_top,
    reject_unknown,
)
from keras_mixer.weights import resolution as resolutions
from keras_mixer.weights.architecture import Architecture
from keras_mixer.weights.catalog import IMAGE_SIZE, NAMES, Checkpoint
from keras_mixer.weights.load import (
    DEFAULT_NUMERICS,
    Weights,
    open_weights,
    trained_grid,
)
from keras_mixer.weights.numerics import Numerics

DEFAULT_CLASSES = 1000  # ImageNet
KERNEL_INITIALIZER = "lecun_normal"


def MlpMixer(
    patch_size: int | tuple[int, int],
    hidden_dim: int,
    num_blocks: int,
    tokens_mlp_dim: int,
    channels_mlp_dim: int,
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int, int, int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mlp_mixer",
    dtype=None,
    rescale_drop_path: bool = False,
    resolution: Literal["block_diagonal", "interpolate"] = "block_diagonal",
    approximate_gelu: bool | None = None,
    value_range: tuple[float, float] | None = None,
    rematerialize: bool = False,
    **unknown,
) -> keras.Model:
    """Build an MLP-Mixer of any size (section 2 of the paper; table 1 has the usual sizes).

    The layers are named `stem`, `MixerBlock_0` …, `pre_head_layer_norm` and `head`, as in the
    published checkpoints; `model.get_layer("MixerBlock_5").output` is an intermediate feature.

    Args:
        patch_size: P, the side of a square patch in pixels, or `(height, width)`.
        hidden_dim: C, the width of a token.
        num_blocks: Number of Mixer blocks.
        tokens_mlp_dim: D_S, hidden width of the token-mixing MLPs.
        channels_mlp_dim: D_C, hidden width of the channel-mixing MLPs.
        include_top: Whether the model ends in the classification head.
        include_preprocessing: If True, the model takes pixels in [0, 255], uint8 or float, and
            scales them to what its weights want. If False, it takes that range itself.
        weights: `None` for random ones, or the path of a file of weights: `.npz`,
            `.safetensors`, `.weights.h5` or `.keras`, recognised by content and loaded strictly.
            The constructors of the variants take names of published checkpoints as well.
        input_tensor: Keras tensor of images to build on, instead of a new input.
        input_shape: `(height, width, channels)`; height and width in pixels, multiples of the
            patch. Defaults to the size at which a file of weights was trained, otherwise to
            `(224, 224, 3)`. For another size than the one trained at, see `resolution`.
        pooling: Without the head: `None` for tokens, `"avg"` or `"max"` for their mean or
            maximum.
        classes: Number of classes of the head. If not given, as many as the weights have, or
            1000. Another number than the weights' gives a new head of zeros.
        classifier_activation: Activation of the head; `None` for logits.
        drop_path_rate: Stochastic depth of the last block; the others have less, on a linear
            ramp that starts at 0 in the first (appendix B).
        dropout_rate: Dropout inside the MLPs.
        name: Name of the model.
        dtype: Dtype or dtype policy of the layers, such as `"mixed_bfloat16"`; Keras's global
            policy if not given. Preprocessing, pooling and head keep the variables' dtype.
        rescale_drop_path: Whether stochastic depth rescales the survivors; the authors' code
            does not.
        resolution: What to do with weights at another image size than they were trained at.
            `"block_diagonal"`: at integer multiples, mix each part of that size by itself
            (appendix C); other sizes are an error. `"interpolate"`: at any size, resize the
            maps of the hidden units; this is our method and not the paper's.
        approximate_gelu: Whether GELU is the tanh approximation or the exact one by erf. If not
            given, as the weights want it: tanh for Google's layout and random weights, erf for
            timm's.
        value_range: `(low, high)`, to which `include_preprocessing` scales the pixels. If not
            given, as the weights want it; `(-1, 1)` where a file does not say.
        rematerialize: Whether training computes each block again for the gradient instead of
            keeping what lies inside: less memory, about a third more time, the same result.
        **unknown: Nothing; any other argument is an error that names the nearest one.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to `(batch, classes)`; without
        the head to `(batch, patches, hidden_dim)`, or pooled to `(batch, hidden_dim)`.

    Raises:
        ValueError: If an argument is unknown or not as described, or if a file of weights is
            damaged or does not hold exactly the arrays of this model.

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
    patch = check_patch_size(name, patch_size)
    hidden_dim = check_positive_int(name, "hidden_dim", hidden_dim)
    num_blocks = check_positive_int(name, "num_blocks", num_blocks)
    tokens_mlp_dim = check_positive_int(name, "tokens_mlp_dim", tokens_mlp_dim)
    channels_mlp_dim = check_positive_int(name, "channels_mlp_dim", channels_mlp_dim)
    check_rate(name, "drop_path_rate", drop_path_rate)
    check_rate(name, "dropout_rate", dropout_rate)
    classes = check_top(name, include_top, pooling, classes)
    check_numerics(name, approximate_gelu, value_range)
    if value_range is not None and not include_preprocessing:
        raise ValueError(
            f"{name}: `value_range` is what the preprocessing inside the model scales to. "
            f"Received: value_range={value_range!r} with include_preprocessing=False. "
            "Scale the images yourself, or leave one of the two out."
        )
    policy = keras.dtype_policies.get(dtype)  # Keras's global policy for None
    _check_weights(name, weights, policy)
    images = _images(name, input_tensor, input_shape, weights, patch)
    check_image_shape(name, images.shape, patch, include_preprocessing)
    grid = (images.shape[1] // patch[0], images.shape[2] // patch[1])
    # Published weights are checked before they are fetched; see also `for_model`.
    trained = trained_grid(weights) if isinstance(weights, Checkpoint) else grid
    resolutions.check(name, trained, grid, resolution)
    architecture = Architecture(
        patch_size=patch,
        channels=images.shape[3],
        hidden_dim=hidden_dim,
        num_blocks=num_blocks,
        num_patches=grid[0] * grid[1],
        tokens_mlp_dim=tokens_mlp_dim,
        channels_mlp_dim=channels_mlp_dim,
        classes=classes or DEFAULT_CLASSES if include_top else None,
    )
    numerics = Numerics(approximate_gelu, value_range)
    graph = functools.partial(
        _graph,
        images,
        include_preprocessing=include_preprocessing,
        pooling=pooling,
        classifier_activation=classifier_activation,
        drop_path_rate=drop_path_rate,
        dropout_rate=dropout_rate,
        rescale_drop_path=rescale_drop_path,
        rematerialize=rematerialize,
        policy=policy,
    )
    inputs = images if input_tensor is None else keras.utils.get_source_inputs(input_tensor)

    if weights is None:
        outputs = graph(architecture, numerics.or_else(DEFAULT_NUMERICS))
        return keras.Model(inputs, outputs, name=name)
    with open_weights(weights) as opened:
        if include_top and classes is None:
            architecture = dataclasses.replace(architecture, classes=_classes(name, opened))
        loader = opened.for_model(name, architecture, grid, resolution)
        # To draw weights that are replaced at once would cost more time and memory than to load.
        numerics = numerics.or_else(opened.numerics)
        outputs = graph(loader.architecture, numerics, kernel_initializer="zeros")
        model = keras.Model(inputs, outputs, name=name)
        loader.fill(model)
    _set_kernel_initializers(model)
    return model


def _graph(
    images,
    architecture,
    numerics,
    include_preprocessing,
    pooling,
    classifier_activation,
    drop_path_rate,
    dropout_rate,
    rescale_drop_path,
    rematerialize,
    policy,
    kernel_initializer=KERNEL_INITIALIZER,
):
    """Return what the model computes of `images`, a Keras tensor: images → tokens → logits."""
    hidden_dim, num_blocks = architecture.hidden_dim, architecture.num_blocks
    # Pixels, the mean over tokens and the logits lose too much in half precision.
    exact = policy.variable_dtype

    x = images
    if include_preprocessing:
        low, high = numerics.value_range
        x = keras.layers.Rescaling(
            (high - low) / 255, offset=low, name="preprocessing", dtype=exact
        )(x)
    x = keras.layers.Conv2D(
        hidden_dim,
        architecture.patch_size,
        strides=architecture.patch_size,
        kernel_initializer=kernel_initializer,
        data_format="channels_last",
        name="stem",
        dtype=policy,
    )(x)  # (batch, height / P, width / P, hidden_dim)
    x = keras.layers.Reshape((-1, hidden_dim), name="tokens", dtype=policy)(x)
    # (batch, patches, hidden_dim)
    for i in range(num_blocks):
        x = MixerBlock(
            architecture.tokens_mlp_dim,
            architecture.channels_mlp_dim,
            drop_path_rate=drop_path_rate * i / max(num_blocks - 1, 1),
            dropout_rate=dropout_rate,
            approximate_gelu=numerics.approximate_gelu,
            rescale_drop_path=rescale_drop_path,
            kernel_initializer=kernel_initializer,
            rematerialize=rematerialize,
            name=f"MixerBlock_{i}",
            dtype=policy,
        )(x)
    x = keras.layers.LayerNormalization(
        epsilon=LAYER_NORM_EPSILON, name="pre_head_layer_norm", dtype=policy
    )(x)

    if architecture.classes or pooling == "avg":
        x = keras.layers.GlobalAveragePooling1D(
            data_format="channels_last", name="avg_pool", dtype=exact
        )(x)  # (batch, hidden_dim)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling1D(
            data_format="channels_last", name="max_pool", dtype=exact
        )(x)  # (batch, hidden_dim)
    if architecture.classes:
        x = keras.layers.Dense(
            architecture.classes,
            activation=classifier_activation,
            kernel_initializer="zeros",
            name="head",
            dtype=exact,
        )(x)  # (batch, classes)
    return x


def _set_kernel_initializers(model):
    """Let a loaded model be as any other for whom clones it, which draws weights anew."""
    for layer in model.layers:
        if layer.name == "stem":
            layer.kernel_initializer = keras.initializers.get(KERNEL_INITIALIZER)
        elif isinstance(layer, MixerBlock):
            layer.set_kernel_initializer(KERNEL_INITIALIZER)


def _images(name, input_tensor, input_shape, weights, patch_size):
    """Return the Keras tensor of images that the arguments ask for."""
    if input_tensor is None:
        if input_shape is None:
            shape = _default_shape(weights, patch_size)
        else:
            shape = check_shape(name, input_shape)
        return keras.Input(shape, name="images")
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            f"{name}: `input_tensor` must be a symbolic Keras tensor. "
            f"Received: input_tensor={input_tensor!r}. Make one by `keras.Input(shape)`, or build "
            "the model without it and call the model on your data."
        )
    if len(input_tensor.shape) != 4:
        raise ValueError(
            f"{name}: `input_tensor` must be a batch of images, (batch, height, width, channels). "
            f"Received: input_tensor of shape {input_tensor.shape}. Reshape it first."
        )
    shape = tuple(input_tensor.shape[1:])
    if input_shape is not None and check_shape(name, input_shape) != shape:
        raise ValueError(
            f"{name}: `input_shape` must agree with `input_tensor`. "
            f"Received: input_shape={input_shape!r} and input_tensor of shape "
            f"{input_tensor.shape}. Leave `input_shape` out."
        )
    return input_tensor


def _default_shape(weights, patch_size):
    """Return the shape of images at which the weights were trained, or the usual one."""
    if weights is not None and not isinstance(weights, Checkpoint):
        with open_weights(weights) as opened:
            if opened.grid is not None:
                height, width = (n * p for n, p in zip(opened.grid, patch_size, strict=True))
                return (height, width, opened.file.architecture.channels)
    return (IMAGE_SIZE, IMAGE_SIZE, 3)


def _check_weights(name, weights, policy):
    if weights is None:
        return
    if not isinstance(weights, (str, os.PathLike, Checkpoint, Weights)):
        raise ValueError(
            f"{name}: `weights` must be the path of a file of weights, or None. "
            f"Received: weights={weights!r}. Pass weights=None for random weights."
        )
    if isinstance(weights, str) and weights in NAMES:
        raise ValueError(
            f"{name}: `weights` can be the name of a published checkpoint for the variants of the "
            f"paper only. Received: weights={weights!r}. Use a constructor such as "
            "keras_mixer.MixerB16, or pass a path or None."
        )
    if policy.quantization_mode is not None:
        raise ValueError(
            f"{name}: `weights` are loaded into a model of floating-point type. Received: "
            f"dtype policy {policy.name!r}. Build the model without it, then call "
            f"model.quantize({policy.quantization_mode!r})."
        )


def _classes(name, weights):
    """Return the number of classes of opened weights, for a head that was not given one."""
    if weights.classes is None:
        raise ValueError(
            f"{name}: `classes` must be given for weights without a head. Received: classes=None "
            f"with {str(weights.file.path)!r}. Pass the number of classes, or include_top=False."
        )
    return weights.classes
