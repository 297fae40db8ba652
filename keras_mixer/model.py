"""MLP-Mixer as a Functional Keras model: images → patches → tokens → logits (figure 1)."""

import keras

from keras_mixer.arguments import check_positive_int, check_rate, reject_unknown
from keras_mixer.layers import LAYER_NORM_EPSILON, MixerBlock

DEFAULT_IMAGE_SIZE = 224  # pixels a side: the resolution of every published checkpoint
DEFAULT_CLASSES = 1000  # ImageNet


def MlpMixer(
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
    **unknown,
):
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
            scales them itself. If False, it takes values in [-1, 1].
        weights: `None` for random ones. (Checkpoints cannot be named yet.)
        input_tensor: Keras tensor of images to build on, instead of a new input.
        input_shape: `(height, width, channels)`; height and width in pixels, multiples of the
            patch. Defaults to `(224, 224, 3)`.
        pooling: Without the head: `None` for tokens, `"avg"` or `"max"` for their mean or
            maximum.
        classes: Number of classes of the head; 1000 if not given.
        classifier_activation: Activation of the head; `None` for logits.
        drop_path_rate: Stochastic depth of the last block; the others have less, on a linear
            ramp that starts at 0 in the first (appendix B).
        dropout_rate: Dropout inside the MLPs.
        name: Name of the model.
        dtype: Dtype or dtype policy of the layers, such as `"mixed_bfloat16"`; Keras's global
            policy if not given. Preprocessing, pooling and head keep the variables' dtype.
        rescale_drop_path: Whether stochastic depth rescales the survivors; the authors' code
            does not.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to `(batch, classes)`; without
        the head to `(batch, patches, hidden_dim)`, or pooled to `(batch, hidden_dim)`.

    Raises:
        ValueError: If an argument is unknown or not as described.
    """
    reject_unknown(MlpMixer, unknown)
    patch_size = _check_patch_size(name, patch_size)
    for argument, value in [
        ("hidden_dim", hidden_dim),
        ("num_blocks", num_blocks),
        ("tokens_mlp_dim", tokens_mlp_dim),
        ("channels_mlp_dim", channels_mlp_dim),
    ]:
        check_positive_int(name, argument, value)
    check_rate(name, "drop_path_rate", drop_path_rate)
    check_rate(name, "dropout_rate", dropout_rate)
    _check_top(name, include_top, pooling, classes)
    _check_weights(name, weights)
    images = _images(name, input_tensor, input_shape)
    _check_image_shape(name, images.shape, patch_size, include_preprocessing)

    policy = keras.dtype_policies.get(dtype)  # Keras's global policy for None
    # Pixels, the mean over tokens and the logits lose too much in half precision.
    exact = policy.variable_dtype

    x = images
    if include_preprocessing:
        # [0, 255] → [-1, 1]
        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing", dtype=exact)(x)
    x = keras.layers.Conv2D(
        hidden_dim,
        patch_size,
        strides=patch_size,
        kernel_initializer="lecun_normal",
        data_format="channels_last",
        name="stem",
        dtype=policy,
    )(x)  # (batch, height / P, width / P, hidden_dim)
    x = keras.layers.Reshape((-1, hidden_dim), name="tokens", dtype=policy)(x)
    # (batch, patches, hidden_dim)
    for i in range(num_blocks):
        x = MixerBlock(
            tokens_mlp_dim,
            channels_mlp_dim,
            drop_path_rate=drop_path_rate * i / max(num_blocks - 1, 1),
            dropout_rate=dropout_rate,
            rescale_drop_path=rescale_drop_path,
            name=f"MixerBlock_{i}",
            dtype=policy,
        )(x)
    x = keras.layers.LayerNormalization(
        epsilon=LAYER_NORM_EPSILON, name="pre_head_layer_norm", dtype=policy
    )(x)

    if include_top or pooling == "avg":
        x = keras.layers.GlobalAveragePooling1D(
            data_format="channels_last", name="avg_pool", dtype=exact
        )(x)  # (batch, hidden_dim)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling1D(
            data_format="channels_last", name="max_pool", dtype=exact
        )(x)  # (batch, hidden_dim)
    if include_top:
        x = keras.layers.Dense(
            DEFAULT_CLASSES if classes is None else classes,
            activation=classifier_activation,
            kernel_initializer="zeros",
            name="head",
            dtype=exact,
        )(x)  # (batch, classes)

    inputs = images if input_tensor is None else keras.utils.get_source_inputs(input_tensor)
    return keras.Model(inputs, x, name=name)


def _images(name, input_tensor, input_shape):
    """Return the Keras tensor of images that the arguments ask for."""
    if input_tensor is None:
        default = (DEFAULT_IMAGE_SIZE, DEFAULT_IMAGE_SIZE, 3)
        shape = default if input_shape is None else _as_shape(name, input_shape)
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
    if input_shape is not None and _as_shape(name, input_shape) != shape:
        raise ValueError(
            f"{name}: `input_shape` must agree with `input_tensor`. "
            f"Received: input_shape={input_shape!r} and input_tensor of shape "
            f"{input_tensor.shape}. Leave `input_shape` out."
        )
    return input_tensor


def _as_shape(name, input_shape):
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError(
            f"{name}: `input_shape` must be (height, width, channels). "
            f"Received: input_shape={input_shape!r}. Pass three integers, such as (224, 224, 3)."
        )
    return tuple(
        check_positive_int(name, f"input_shape[{axis}]", size)
        for axis, size in enumerate(input_shape)
    )


def _check_image_shape(name, shape, patch_size, include_preprocessing):
    _, height, width, channels = shape
    if None in (height, width, channels):
        raise ValueError(
            f"{name}: the image size must be fixed, since the token-mixing weights depend on the "
            f"number of patches. Received: images of shape {shape}. Resize to one size first."
        )
    if height % patch_size[0] or width % patch_size[1]:
        nearest = [
            max(round(s / p), 1) * p for s, p in zip((height, width), patch_size, strict=True)
        ]
        raise ValueError(
            f"{name}: `input_shape` must be divisible by the patch, {patch_size[0]} × "
            f"{patch_size[1]} pixels. Received: images of {height} × {width} pixels. "
            f"Resize or crop to a multiple, such as {nearest[0]} × {nearest[1]}."
        )
    if include_preprocessing and channels not in (1, 3):
        raise ValueError(
            f"{name}: `include_preprocessing=True` takes images of 1 (grey) or 3 (RGB) channels. "
            f"Received: images of {channels} channels. Pass include_preprocessing=False and "
            "scale the values to [-1, 1] yourself."
        )


def _check_patch_size(name, patch_size):
    """Return `patch_size` as (height, width)."""
    if not isinstance(patch_size, (tuple, list)):
        patch_size = (patch_size, patch_size)
    if len(patch_size) != 2:
        raise ValueError(
            f"{name}: `patch_size` must be one integer or (height, width), in pixels. "
            f"Received: patch_size={patch_size!r}. Pass an integer for square patches."
        )
    return tuple(check_positive_int(name, "patch_size", side) for side in patch_size)


def _check_top(name, include_top, pooling, classes):
    if pooling not in (None, "avg", "max"):
        raise ValueError(
            f"{name}: `pooling` must be None, 'avg' or 'max'. Received: pooling={pooling!r}. "
            "Use 'avg' for the features that the head would see."
        )
    if include_top and pooling is not None:
        raise ValueError(
            f"{name}: `pooling` applies to a model without head only. Received: "
            f"pooling={pooling!r} with include_top=True. Pass include_top=False, or leave "
            "`pooling` out (the head averages over the patches)."
        )
    if classes is not None:
        if not include_top:
            raise ValueError(
                f"{name}: `classes` is the size of the head. Received: classes={classes!r} with "
                "include_top=False. Leave `classes` out, or pass include_top=True."
            )
        check_positive_int(name, "classes", classes)


def _check_weights(name, weights):
    if weights is not None:
        raise ValueError(
            f"{name}: `weights` must be None in this version, which cannot load checkpoints yet. "
            f"Received: weights={weights!r}. Pass weights=None for random weights."
        )
