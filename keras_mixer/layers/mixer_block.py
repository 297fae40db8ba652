"""The Mixer block: token mixing, then channel mixing."""

import keras
from keras import ops

from keras_mixer.layers.composite import CompositeLayer
from keras_mixer.layers.initialization import build
from keras_mixer.layers.layer_norm import LayerNormalization
from keras_mixer.layers.mlp_block import MlpBlock
from keras_mixer.layers.stochastic_depth import StochasticDepth
from keras_mixer.validation import check_bool, check_positive_int, check_rate


class TrainingFlag(keras.layers.Layer):
    """Expose the training flag to a parent layer whose `call` omits it."""

    def call(self, x, training=None):
        return bool(training)

    def compute_mask(self, inputs, previous_mask):
        return None  # instead of a warning that the mask is lost


@keras.saving.register_keras_serializable("keras_mixer")
class MixerBlock(CompositeLayer):
    """Mix the tokens, then the channels (equation 1 of the paper).

    X is a table of S patches by C channels with one row per patch, and so are U and Y:

        U[:, i] = X[:, i] + W2 σ(W1 LayerNorm(X)[:, i])  for i = 1 … C  token mixing
        Y[j, :] = U[j, :] + W4 σ(W3 LayerNorm(U)[j, :])  for j = 1 … S  channel mixing

    All columns share W1 and W2, and all rows share W3 and W4. LayerNorm is over the channels of
    each patch.

    | equation 1 | shape | Keras's kernel, transposed | shape |
    |---|---|---|---|
    | W1 | (D_S, S) | `token_mixing/Dense_0` | (S, D_S) |
    | W2 | (S, D_S) | `token_mixing/Dense_1` | (D_S, S) |
    | W3 | (D_C, C) | `channel_mixing/Dense_0` | (C, D_C) |
    | W4 | (C, D_C) | `channel_mixing/Dense_1` | (D_C, C) |

    The first LayerNorm is `LayerNorm_0`, the second `LayerNorm_1`. The input is
    `(batch, patches, hidden_dim)`, with S patches and hidden_dim = C, and so is the output. A mask
    of the input is passed on, but masked patches are mixed, too.

    `call` takes `training`; `MlpBlock` says why it does not name it.

    Args:
        tokens_mlp_dim: D_S, hidden width of the token-mixing MLP.
        channels_mlp_dim: D_C, hidden width of the channel-mixing MLP.
        drop_path_rate: Probability that an example skips each of the two MLPs in training,
            independently.
        dropout_rate: Probability of dropping a unit inside the MLPs.
        approximate_gelu: See `MlpBlock`.
        rescale_drop_path: See `StochasticDepth.rescale`.
        kernel_initializer: See `MlpBlock`.
        rematerialize: Whether training keeps only the input of the block and recomputes the rest
            for the gradient: less memory, about a third more time and the same result, even with
            stochastic depth and dropout. Their masks are sampled once and kept; those of dropout,
            one value per unit, take back a part of the memory saved.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Raises:
        ValueError: If a width is not a positive integer, a rate not in [0, 1) or a flag not a
            boolean, or if the input is not a batch of tables of one fixed size.

    Examples:
        A block of Mixer-B/16 on two images of 224 × 224 pixels:

        >>> import keras
        >>> import keras_mixer
        >>> block = keras_mixer.MixerBlock(tokens_mlp_dim=384, channels_mlp_dim=3072)
        >>> tuple(block(keras.random.normal((2, 196, 768))).shape)
        (2, 196, 768)
        >>> tuple(block.token_mixing.dense_0.kernel.shape)
        (196, 384)
    """

    def __init__(
        self,
        tokens_mlp_dim: int,
        channels_mlp_dim: int,
        drop_path_rate: float = 0.0,
        dropout_rate: float = 0.0,
        approximate_gelu: bool = True,
        rescale_drop_path: bool = False,
        kernel_initializer="lecun_normal",
        rematerialize: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.tokens_mlp_dim = check_positive_int("MixerBlock", "tokens_mlp_dim", tokens_mlp_dim)
        self.channels_mlp_dim = check_positive_int(
            "MixerBlock", "channels_mlp_dim", channels_mlp_dim
        )
        self.drop_path_rate = check_rate("MixerBlock", "drop_path_rate", drop_path_rate)
        self.dropout_rate = check_rate("MixerBlock", "dropout_rate", dropout_rate)
        self.approximate_gelu = check_bool("MixerBlock", "approximate_gelu", approximate_gelu)
        self.rescale_drop_path = check_bool("MixerBlock", "rescale_drop_path", rescale_drop_path)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.rematerialize = check_bool("MixerBlock", "rematerialize", rematerialize)
        self.supports_masking = True

        with keras.name_scope(self.name):
            self.layer_norm_0 = LayerNormalization(name="LayerNorm_0", dtype=self.dtype_policy)
            self.token_mixing = self._mlp(tokens_mlp_dim, "token_mixing")
            self.layer_norm_1 = LayerNormalization(name="LayerNorm_1", dtype=self.dtype_policy)
            self.channel_mixing = self._mlp(channels_mlp_dim, "channel_mixing")
            # One layer for both branches: each call samples its own masks.
            self.stochastic_depth = StochasticDepth(
                drop_path_rate, rescale_drop_path, name="stochastic_depth", dtype=self.dtype_policy
            )
            if self.rematerialize:
                self.is_training = TrainingFlag(name="is_training", dtype=self.dtype_policy)
        self.inherit_trainable()

    def _mlp(self, mlp_dim, name):
        return MlpBlock(
            mlp_dim,
            self.dropout_rate,
            self.approximate_gelu,
            self.kernel_initializer.clone(),
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                "MixerBlock: the input must be (batch, patches, hidden_dim), the last two fixed. "
                f"Received: input of shape {tuple(input_shape)}. Reshape the tokens first."
            )
        batch, patches, hidden_dim = input_shape
        build(self.layer_norm_0, input_shape)
        self.token_mixing.build((batch, hidden_dim, patches))
        build(self.layer_norm_1, input_shape)
        self.channel_mixing.build(input_shape)

    def call(self, x, **flags):
        if not (self.rematerialize and self.is_training(x, **flags)):
            return self._mix(x, **flags)
        # The second computation must repeat the first one exactly, so the random masks are
        # sampled outside of it. A new function in each call, since JAX caches traces by function.
        masks = self._sample_masks(x)
        return keras.remat(lambda x: self._mix(x, *masks, **flags))(x)

    def _mix(self, x, keep_units_0=None, keep_0=None, keep_units_1=None, keep_1=None, **flags):
        y = self.layer_norm_0(x)
        y = ops.transpose(y, (0, 2, 1))  # (batch, hidden_dim, patches)
        y = self.token_mixing(y, keep_units_0, **flags)
        y = ops.transpose(y, (0, 2, 1))  # (batch, patches, hidden_dim)
        y = self._drop_path(y, keep_0, flags)
        u = x + ops.cast(y, x.dtype)  # equation 1, first line; y may have another dtype policy

        y = self.layer_norm_1(u)
        y = self.channel_mixing(y, keep_units_1, **flags)
        y = self._drop_path(y, keep_1, flags)
        return u + ops.cast(y, u.dtype)  # equation 1, second line

    def _drop_path(self, y, keep, flags):
        if self.drop_path_rate == 0:
            return y  # the call of a layer costs as much as a small product
        return self.stochastic_depth(y, keep=keep, **flags)

    def _sample_masks(self, x):
        """Sample the masks of `_mix` in the order in which it would sample them itself."""
        return (
            self.token_mixing.sample_masks(ops.transpose(x, (0, 2, 1))),
            self.stochastic_depth.sample_mask(x),
            self.channel_mixing.sample_masks(x),
            self.stochastic_depth.sample_mask(x),
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "tokens_mlp_dim": self.tokens_mlp_dim,
            "channels_mlp_dim": self.channels_mlp_dim,
            "drop_path_rate": self.drop_path_rate,
            "dropout_rate": self.dropout_rate,
            "approximate_gelu": self.approximate_gelu,
            "rescale_drop_path": self.rescale_drop_path,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "rematerialize": self.rematerialize,
        }
