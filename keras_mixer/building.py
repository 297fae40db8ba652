"""Construction of a Mixer: validate the arguments, resolve the weights, build, fill."""

import contextlib
import math
import os

import keras

from keras_mixer.layers.dtype_policy import get_policy
from keras_mixer.layers.initialization import skip_initialization
from keras_mixer.mixer import MixerConfig, mixer
from keras_mixer.validation import (
    check_bools,
    check_image_shape,
    check_input_tensor,
    check_name,
    check_numerics,
    check_patch_size,
    check_positive_ints,
    check_rate,
    check_shape,
    check_top,
    reject_fixed,
    reject_unknown,
)
from keras_mixer.weights import resolution as resolutions
from keras_mixer.weights.architecture import Architecture
from keras_mixer.weights.catalog import IMAGE_SIZE, NAMES, PretrainedWeights, resolve
from keras_mixer.weights.load import DEFAULT_NUMERICS, OpenedWeights, open_weights
from keras_mixer.weights.numerics import Numerics

DEFAULT_CLASSES = 1000  # ImageNet


def build_mixer(
    *,
    patch_size,
    hidden_dim,
    num_blocks,
    tokens_mlp_dim,
    channels_mlp_dim,
    include_top=True,
    include_preprocessing=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=None,
    classifier_activation="softmax",
    drop_path_rate=0.0,
    dropout_rate=0.0,
    name="mlp_mixer",
    dtype=None,
    rescale_drop_path=False,
    resolution="block_diagonal",
    approximate_gelu=None,
    value_range=None,
    rematerialize=False,
):
    """Build a Mixer. `keras_mixer.MlpMixer` documents the arguments.

    Besides, `weights` may be a row of the catalog or an `OpenedWeights`.
    """
    # Validate.
    check_name(name)
    policy = _policy(name, dtype)
    _check_weights(name, weights, policy)
    check_numerics(name, approximate_gelu, value_range, include_preprocessing)
    patch_size = check_patch_size(name, patch_size)
    sizes = check_positive_ints(
        name,
        hidden_dim=hidden_dim,
        num_blocks=num_blocks,
        tokens_mlp_dim=tokens_mlp_dim,
        channels_mlp_dim=channels_mlp_dim,
    )
    flags = check_bools(name, rescale_drop_path=rescale_drop_path, rematerialize=rematerialize)
    drop_path_rate = check_rate(name, "drop_path_rate", drop_path_rate)
    dropout_rate = check_rate(name, "dropout_rate", dropout_rate)
    classes = check_top(name, include_top, pooling, classes, classifier_activation)
    shape = _requested_shape(name, input_tensor, include_preprocessing, input_shape, weights)
    if shape is not None:  # before a file is downloaded or opened
        check_image_shape(name, shape, patch_size, include_preprocessing)
        _check_resolution(name, weights, _grid(shape, patch_size), resolution)

    with _open_if_any(weights) as opened:
        # Resolve.
        if shape is None:
            shape = _trained_shape(opened, patch_size)
            check_image_shape(name, shape, patch_size, include_preprocessing)
        if include_top and classes is None:
            classes = _default_classes(name, opened)
        defaults = opened.numerics if opened else DEFAULT_NUMERICS
        numerics = Numerics(approximate_gelu, value_range).or_else(defaults)
        grid = _grid(shape, patch_size)
        architecture = Architecture(
            patch_size, channels=shape[2], num_patches=math.prod(grid), classes=classes, **sizes
        )
        loader = opened and opened.for_model(name, architecture, grid, resolution)
        if loader:
            sizes["tokens_mlp_dim"] = loader.architecture.tokens_mlp_dim  # wider on a larger grid
        # Build and fill.
        config = MixerConfig(
            patch_size=patch_size,
            approximate_gelu=bool(numerics.approximate_gelu),
            value_range=numerics.value_range if include_preprocessing else None,
            classes=classes,
            classifier_activation=classifier_activation,
            pooling=pooling,
            drop_path_rate=drop_path_rate,
            dropout_rate=dropout_rate,
            policy=policy,
            **sizes,
            **flags,
        )
        return _build(name, input_tensor, shape, config, loader)


def build_variant(constructor, size, unknown, weights, **arguments):
    """Build the variant of a `MixerSize`; `weights` may be a name in the catalog.

    Args:
        constructor: The public function, for messages.
        size: Its row in `keras_mixer.sizes.SIZES`.
        unknown: Keyword arguments that the function does not have; any is an error.
        weights: Name, path or None.
        **arguments: The other arguments of `build_mixer`.
    """
    reject_fixed(constructor, size, unknown)
    reject_unknown(constructor, unknown)
    weights = resolve(size.constructor_name, weights)
    return build_mixer(**size.dimensions, weights=weights, **arguments)


def _build(name, input_tensor, shape, config, loader):
    """Return the model on `input_tensor`, or on a new input of `shape`, filled by `loader`."""
    images = keras.Input(shape, name="images") if input_tensor is None else input_tensor
    inputs = images if input_tensor is None else keras.utils.get_source_inputs(images)
    with skip_initialization() if loader else contextlib.nullcontext():
        outputs = mixer(images, config)
    try:
        model = keras.Model(inputs, outputs, name=name)
    except ValueError as error:  # two layers of one name, which only `input_tensor` can cause
        raise ValueError(
            f"{name}: `input_tensor` must come from layers with other names than those of a "
            f"Mixer. Received: {error} Build the model without it, and call the model on the "
            "tensor."
        ) from error
    if loader:
        loader.fill(model)
    return model


def _policy(name, dtype):
    policy = get_policy(dtype)
    if not keras.backend.is_float_dtype(policy.variable_dtype):
        raise ValueError(
            f"{name}: `dtype` must be a floating-point dtype or policy. Received: dtype={dtype!r}. "
            "Pass 'float32' or 'mixed_bfloat16'; to quantize, call model.quantize('int8') later."
        )
    return policy


def _check_weights(name, weights, policy):
    if weights is None:
        return
    if not isinstance(weights, (str, os.PathLike, PretrainedWeights, OpenedWeights)):
        raise ValueError(
            f"{name}: `weights` must be the path of a weight file, or None. "
            f"Received: weights={weights!r}. Pass weights=None for random weights."
        )
    if isinstance(weights, str) and weights in NAMES:
        raise ValueError(
            f"{name}: `weights` can be the name of published weights for the variants of the "
            f"paper only. Received: weights={weights!r}. Use a constructor such as "
            "keras_mixer.MixerB16, or pass a path or None."
        )
    if policy.quantization_mode is not None:
        raise ValueError(
            f"{name}: `weights` are loaded into a model of floating-point type. Received: "
            f"dtype policy {policy.name!r}. Build the model without it, then call "
            f"model.quantize({policy.quantization_mode!r})."
        )


def _requested_shape(name, input_tensor, include_preprocessing, input_shape, weights):
    """Return the image shape that the arguments ask for; None if the weight file decides."""
    if input_tensor is None:
        if input_shape is not None:
            return check_shape(name, input_shape)
        if weights is None or isinstance(weights, PretrainedWeights):
            return (IMAGE_SIZE, IMAGE_SIZE, 3)
        return None
    check_input_tensor(name, input_tensor, include_preprocessing)
    shape = tuple(input_tensor.shape[1:])
    if input_shape is not None and check_shape(name, input_shape) != shape:
        raise ValueError(
            f"{name}: `input_shape` must agree with `input_tensor`. "
            f"Received: input_shape={input_shape!r} and input_tensor of shape "
            f"{input_tensor.shape}. Leave `input_shape` out."
        )
    return shape


def _grid(shape, patch_size):
    """Return the number of patches (down, across) in images of `shape`."""
    return shape[0] // patch_size[0], shape[1] // patch_size[1]


def _check_resolution(name, weights, grid, resolution):
    # For published weights, the grid is known without opening the file.
    trained = weights.grid if isinstance(weights, PretrainedWeights) else grid
    resolutions.check(name, trained, grid, resolution)


def _open_if_any(weights):
    return contextlib.nullcontext() if weights is None else open_weights(weights)


def _trained_shape(opened, patch_size):
    """Return the shape of the images that opened weights were trained on, or the usual one."""
    if opened.grid is None:
        return (IMAGE_SIZE, IMAGE_SIZE, 3)
    height, width = (n * p for n, p in zip(opened.grid, patch_size, strict=True))
    return (height, width, opened.file.architecture.channels)


def _default_classes(name, opened):
    """Return the number of classes of a head that was not given one."""
    if opened is None:
        return DEFAULT_CLASSES
    if opened.classes is None:
        raise ValueError(
            f"{name}: `classes` must be given for weights without a head. Received: classes=None "
            f"with {str(opened.file.path)!r}. Pass the number of classes, or include_top=False."
        )
    return opened.classes
