"""Variations of MLP-Mixer from appendix A.1 of the paper, "Things that did not help".

images → patches → tokens → blocks → logits of the mean token, as in `keras_mixer.mixer`. Only the
token mixing differs. The paper describes the variations in words and published no code for them;
what it leaves open is marked UNCONFIRMED.

With X the table of S tokens by C channels, and W2 σ(W1 ·) the token-mixing MLP of hidden width D_S:

* `mixer-untied`: C MLPs, one for each channel, instead of one that all channels share.
* `mixer-grouped`: The G = 2 neighboring columns 2q and 2q + 1 of LayerNorm(X) are concatenated to
  one vector, so the table is (S · G) × (C / G) and the MLP maps S · G to S · G numbers. The reverse
  reshape gives S × C numbers, which are added to X. UNCONFIRMED: the hidden width; here it is D_S.
* `mixer-views`: Before the same grouping, G = 2 trainable linear functions without a bias map each
  token of LayerNorm(X) to C / G features: G views of the token. The vector of feature q is its
  column in the first view, then in the second. UNCONFIRMED: the hidden width, and the way back to
  S × C; here it is the reverse reshape, so that channel 2q + g of X receives feature q of view g.
* `mixer-pyramid`: The first block of the second and of the last third of the blocks maps S tokens
  to S' = ⌈S / 4⌉. Its skip connection cannot be the identity: it is a trainable linear function
  from S to S' tokens without a bias, which all channels share. UNCONFIRMED: which blocks, S' and
  the skip connection; D_S is the same in all blocks.
"""

import dataclasses
import math
from typing import Any

import keras

from keras_mixer.layers import ImageShapeCheck, MlpBlock, StochasticDepth
from keras_mixer.layers.conv2d import Conv2D
from keras_mixer.layers.layer_norm import LayerNormalization
from keras_mixer.layers.seeds import Dropout
from keras_mixer.sizes import MixerSize
from keras_mixer.validation import check_image_shape
from training.validation import refuse_unless

GROUPS = 2  # G
REDUCTION = 4  # S / S'


def build_mixer_variation(
    variation,
    size,
    image_size,
    channels=3,
    classes=1000,
    dtype=None,
    drop_path_rate=0.0,
    dropout_rate=0.0,
):
    """Build a variation of the Mixer as a plain `keras.Model` of pixels in [0, 255].

    `model.get_layer("block_5").output` is the output of a block: `(batch, tokens, hidden_dim)`.

    Args:
        variation: A name in `training.config.study_models.MIXERS`.
        size: A `keras_mixer.sizes.MixerSize`.
        image_size: Side of the square images in pixels, a multiple of the patch size.
        channels: 3, or 1 for grayscale images.
        classes: Number of classes.
        dtype: Keras dtype or policy. Preprocessing, pooling and head keep the variables' dtype.
        drop_path_rate: Rate of stochastic depth in the last block, on a linear ramp from 0.
        dropout_rate: Dropout rate inside the MLPs.

    Raises:
        UserError: If the groups do not divide the channels of a token.
        ValueError: If another argument is invalid.
    """
    _check(variation, size, (image_size, image_size, channels))
    policy = keras.dtype_policies.get(dtype)
    exact = policy.variable_dtype
    images = keras.Input((image_size, image_size, channels), name="images")
    x = ImageShapeCheck(name="image_shape_check", dtype=policy)(images)
    x = keras.layers.Rescaling(2 / 255, offset=-1, name="preprocessing", dtype=exact)(x)
    x = Conv2D(
        size.hidden_dim,
        size.patch_size,
        strides=size.patch_size,
        kernel_initializer="lecun_normal",
        data_format="channels_last",
        name="stem",
        dtype=policy,
    )(x)  # (batch, height / P, width / P, hidden_dim)
    x = keras.layers.Reshape((-1, size.hidden_dim), name="tokens", dtype=policy)(x)
    for i in range(size.num_blocks):
        x = _Block(
            f"block_{i}",
            size,
            tokens=_tokens_after(variation, i, size.num_blocks, x.shape[1]),
            drop_path_rate=drop_path_rate * i / max(size.num_blocks - 1, 1),
            dropout_rate=dropout_rate,
            policy=policy,
        ).apply(x, TOKEN_MIXING[variation])
    x = LayerNormalization(name="pre_head_layer_norm", dtype=policy)(x)
    x = keras.layers.GlobalAveragePooling1D("channels_last", name="avg_pool", dtype=exact)(x)
    head = keras.layers.Dense(
        classes,
        kernel_initializer="zeros",
        name="head",
        dtype=exact,
    )
    return keras.Model(images, head(x), name=variation.replace("-", "_"))


def _check(variation, size, image_shape):
    if variation not in TOKEN_MIXING:
        raise ValueError(
            f"build_mixer_variation: `variation` must be one of {', '.join(TOKEN_MIXING)}. "
            f"Received: variation={variation!r}. Pass one of these names."
        )
    check_image_shape(variation, image_shape, (size.patch_size, size.patch_size), True)
    if variation in ("mixer-grouped", "mixer-views"):
        refuse_unless(
            size.hidden_dim % GROUPS == 0,
            "hidden_dim",
            f"must be a multiple of {GROUPS}, the number of groups of {variation}",
            size.hidden_dim,
            f"Pass {size.hidden_dim + 1}, for example.",
        )


def _tokens_after(variation, block, num_blocks, tokens):
    """Return the number of tokens that block number `block` maps `tokens` tokens to."""
    shortens = block in (num_blocks // 3, 2 * num_blocks // 3)
    return math.ceil(tokens / REDUCTION) if variation == "mixer-pyramid" and shortens else tokens


@dataclasses.dataclass(frozen=True)
class _Block:
    """One block (equation 1 of the paper), made of layers whose names begin with its own."""

    name: str
    size: MixerSize
    tokens: int  # number of tokens of the output
    drop_path_rate: float
    dropout_rate: float
    policy: Any  # Keras's dtype policy

    def apply(self, x, mix_tokens):
        """Return the output `(batch, tokens, hidden_dim)` for the tokens `x`.

        Args:
            x: `(batch, patches, hidden_dim)`.
            mix_tokens: A value of `TOKEN_MIXING`.
        """
        y = self._layer(LayerNormalization, "layer_norm_0")(x)
        y = mix_tokens(self, y)  # (batch, tokens, hidden_dim)
        y = self._layer(StochasticDepth, "drop_path_0", self.drop_path_rate)(y)
        u = self._layer(keras.layers.Add, "add")([self._skip(x), y])

        y = self._layer(LayerNormalization, "layer_norm_1")(u)
        y = self._mlp_block("channel_mixing", self.size.channels_mlp_dim)(y)
        y = self._layer(StochasticDepth, "drop_path_1", self.drop_path_rate)(y)
        return keras.layers.Add(name=self.name, dtype=self.policy)([u, y])

    def untied(self, x):
        """Mix tokens with an MLP for each channel."""
        return self._mlp(
            x,
            lambda units, name, **arguments: self._layer(
                keras.layers.EinsumDense,
                name,
                "bcs,csd->bcd",  # a batch of products, one for each channel
                (x.shape[2], units),
                bias_axes="cd",
                kernel_initializer="lecun_normal",
                **arguments,
            ),
        )

    def grouped(self, x):
        """Mix the tokens of G neighboring channels together."""
        _, patches, channels = x.shape
        y = self._transpose(x, "transpose_0")  # (batch, channels, patches)
        y = self._reshape(y, (channels // GROUPS, GROUPS * patches), "group")
        y = self._mlp_block("token_mixing", self.size.tokens_mlp_dim)(y)
        y = self._reshape(y, (channels, patches), "ungroup")
        return self._transpose(y, "transpose_1")  # (batch, patches, channels)

    def views(self, x):
        """Mix the tokens of G trainable views of the channels together.

        Kernel columns g, G + g, 2G + g … are the linear function of view g, so that `grouped` puts
        one feature in all views next to each other.
        """
        return self.grouped(self._linear(x, x.shape[2], "views"))

    def pyramid(self, x):
        """Mix tokens with an MLP whose output may have fewer tokens."""
        return self._mlp(x, self._dense)

    def _mlp(self, x, dense):
        """Return W2 σ(W1 ·) of the columns of `x`: `(batch, tokens, channels)`.

        Args:
            x: `(batch, patches, channels)`.
            dense: Function of the number of units, a name and an activation that returns a layer.
        """
        y = self._transpose(x, "transpose_0")  # (batch, channels, patches)
        width = self.size.tokens_mlp_dim
        y = dense(width, "token_mixing_dense_0")(y)  # (…, D_S)
        y = keras.ops.gelu(y, approximate=True)
        y = self._drop(y, "token_mixing_dropout_0")
        y = dense(self.tokens, "token_mixing_dense_1")(y)  # (batch, channels, tokens)
        y = self._drop(y, "token_mixing_dropout_1")
        return self._transpose(y, "transpose_1")  # (batch, tokens, channels)

    def _skip(self, x):
        """Return the tokens that the token mixing is added to."""
        if x.shape[1] == self.tokens:
            return x
        y = self._transpose(x, "skip_transpose_0")  # (batch, channels, patches)
        y = self._linear(y, self.tokens, "skip")  # (batch, channels, tokens)
        return self._transpose(y, "skip_transpose_1")  # (batch, tokens, channels)

    def _drop(self, x, name):
        return self._layer(Dropout, name, self.dropout_rate)(x) if self.dropout_rate else x

    def _mlp_block(self, name, mlp_dim):
        return self._layer(MlpBlock, name, mlp_dim, self.dropout_rate)

    def _dense(self, units, name, **arguments):
        return self._layer(
            keras.layers.Dense, name, units, kernel_initializer="lecun_normal", **arguments
        )

    def _linear(self, x, units, name):
        return self._dense(units, name, use_bias=False)(x)

    def _transpose(self, x, name):
        return self._layer(keras.layers.Permute, name, (2, 1))(x)

    def _reshape(self, x, shape, name):
        return self._layer(keras.layers.Reshape, name, shape)(x)

    def _layer(self, layer_class, name, *arguments, **keywords):
        return layer_class(*arguments, name=f"{self.name}_{name}", dtype=self.policy, **keywords)


TOKEN_MIXING = {
    "mixer-untied": _Block.untied,
    "mixer-grouped": _Block.grouped,
    "mixer-views": _Block.views,
    "mixer-pyramid": _Block.pyramid,
}
