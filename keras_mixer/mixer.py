"""MLP-Mixer on one page: images → patches → tokens → logits (figure 1 of the paper).

A pure function of a configuration and a Keras tensor: it opens no file and fills no weights.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_mixer.layers import MixerBlock
from keras_mixer.layers.conv2d import Conv2D
from keras_mixer.layers.image_shape_check import ImageShapeCheck
from keras_mixer.layers.initialization import build
from keras_mixer.layers.layer_norm import LayerNormalization


@dataclasses.dataclass(frozen=True)
class MixerConfig:
    """Everything that the function from images to outputs depends on, validated."""

    patch_size: tuple[int, int]  # P, height and width in pixels
    hidden_dim: int  # C
    num_blocks: int
    tokens_mlp_dim: int  # D_S
    channels_mlp_dim: int  # D_C
    approximate_gelu: bool  # tanh, or else erf
    value_range: tuple[float, float] | None  # that pixels in [0, 255] are scaled to; None: as is
    classes: int | None  # None: no head
    classifier_activation: str | Callable | None
    pooling: str | None  # without the head: "avg", "max" or None
    drop_path_rate: float
    rescale_drop_path: bool
    dropout_rate: float
    rematerialize: bool
    policy: Any  # Keras's dtype policy

    @property
    def exact_dtype(self):
        """Dtype of pixels, pooling and logits, which lose too much in half precision."""
        return self.policy.variable_dtype

    def drop_path_rate_of(self, block):
        """Return the rate of block number `block`, on a linear ramp from 0 (appendix B)."""
        return self.drop_path_rate * block / max(self.num_blocks - 1, 1)


def mixer(images, config):
    """Return the output for `images`, a Keras tensor `(batch, height, width, channels)`.

    Args:
        images: Pixels in [0, 255], or already scaled if `config.value_range` is None.
        config: A `MixerConfig`.

    Returns:
        `(batch, classes)`; without the head `(batch, patches, hidden_dim)`, or pooled
        `(batch, hidden_dim)`.
    """
    x = ImageShapeCheck(name="image_shape_check", dtype=config.policy)(images)
    x = _scale(x, config) if config.value_range else x
    x = _tokens(x, config)  # (batch, patches, hidden_dim)
    for i in range(config.num_blocks):
        x = MixerBlock(
            config.tokens_mlp_dim,
            config.channels_mlp_dim,
            drop_path_rate=config.drop_path_rate_of(i),
            dropout_rate=config.dropout_rate,
            approximate_gelu=config.approximate_gelu,
            rescale_drop_path=config.rescale_drop_path,
            rematerialize=config.rematerialize,
            name=f"MixerBlock_{i}",
            dtype=config.policy,
        )(x)
    x = LayerNormalization(name="pre_head_layer_norm", dtype=config.policy)(x)
    if config.classes is None:
        return _pool(x, config.pooling, config)
    return _head(_pool(x, "avg", config), config)


def _scale(images, config):
    low, high = config.value_range
    return keras.layers.Rescaling(
        (high - low) / 255, offset=low, name="preprocessing", dtype=config.exact_dtype
    )(images)


def _tokens(images, config):
    """Project each patch to a token; a convolution with stride P is one matrix for all patches."""
    stem = Conv2D(
        config.hidden_dim,
        config.patch_size,
        strides=config.patch_size,
        kernel_initializer="lecun_normal",
        data_format="channels_last",
        name="stem",
        dtype=config.policy,
    )
    build(stem, images.shape)
    x = stem(images)  # (batch, height / P, width / P, hidden_dim)
    flatten = keras.layers.Reshape((-1, config.hidden_dim), name="tokens", dtype=config.policy)
    return flatten(x)  # (batch, patches, hidden_dim)


def _pool(x, pooling, config):
    if pooling is None:
        return x
    pool = {
        "avg": keras.layers.GlobalAveragePooling1D,
        "max": keras.layers.GlobalMaxPooling1D,
    }[pooling]
    return pool(data_format="channels_last", name=f"{pooling}_pool", dtype=config.exact_dtype)(x)


def _head(features, config):
    return keras.layers.Dense(
        config.classes,
        activation=config.classifier_activation,
        kernel_initializer="zeros",
        name="head",
        dtype=config.exact_dtype,
    )(features)  # (batch, classes)
