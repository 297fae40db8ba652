"""The layers of MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601, section 2 and figure 1).

The composite layers leave `training` out of their `call`: Keras hands it on to the layers inside
by itself, and as an argument it would keep JAX and TensorFlow from rematerialising a block.

What is computed again for the gradient must be what was computed before, so whatever is random
about a block can be drawn in advance: the `keep` of `call` says what stays, and `draw_keep` gives
what `call` would draw.
"""

import keras
from keras import ops

from keras_mixer.validation import check_positive_int, check_rate

LAYER_NORM_EPSILON = 1e-6  # Flax's default, with which every published checkpoint was trained


def serialize_dtype(layer, mlp_blocks):
    """Return the `dtype` entry of `layer.get_config()`, with what `quantize` did to its parts.

    Keras saves the policy of a composite layer only. The policies of quantized dense layers in
    its `mlp_blocks` are added as a map, from which `MlpBlock` takes them when a file is loaded.
    """
    policy = layer.dtype_policy
    if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        policy = policy.default_policy
    quantized = {
        f"{block.name}/{dense.name}": dense.dtype_policy
        for block in mlp_blocks
        for dense in block.dense_layers
        if dense.quantization_mode is not None
    }
    if quantized:
        policy = keras.dtype_policies.DTypePolicyMap(policy, policy_map=quantized)
    return keras.dtype_policies.serialize(policy)


@keras.saving.register_keras_serializable("keras_mixer")
class MlpBlock(keras.layers.Layer):
    """Two dense layers with a GELU between them, along the last axis.

    In equation 1 of the paper `W2 σ(W1 x)` when it mixes tokens and `W4 σ(W3 x)` when it mixes
    channels: W1 or W3 is `Dense_0`, W2 or W4 is `Dense_1`, both with a bias, which the equation
    leaves out, and σ is the GELU. `MixerBlock` lists the shapes.

    The input is `(..., width)`, and so is the output.

    Args:
        mlp_dim: Width of the hidden layer, D_S when mixing tokens, D_C when mixing channels.
        dropout_rate: Probability of dropping a unit, after the GELU and after `Dense_1`.
        approximate_gelu: The tanh approximation of GELU (Flax's, so Google's checkpoints) if
            True, the exact one by erf (PyTorch's) if False.
        kernel_initializer: Of both dense layers.
        **kwargs: Of every Keras layer, `name` and `dtype` among them.

    Raises:
        ValueError: If `mlp_dim` is not a positive integer or `dropout_rate` not in [0, 1).

    Examples:
        The token mixing of Mixer-B/16, whose input has a row for each channel:

        >>> import keras
        >>> import keras_mixer
        >>> mlp = keras_mixer.MlpBlock(mlp_dim=384)
        >>> tuple(mlp(keras.random.normal((2, 768, 196))).shape)
        (2, 768, 196)
    """

    def __init__(
        self,
        mlp_dim: int,
        dropout_rate: float = 0.0,
        approximate_gelu: bool = True,
        kernel_initializer="lecun_normal",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.mlp_dim = check_positive_int("MlpBlock", "mlp_dim", mlp_dim)
        self.dropout_rate = check_rate("MlpBlock", "dropout_rate", dropout_rate)
        self.approximate_gelu = approximate_gelu
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

        # At rate 0 nothing that asks for `training`, so that JAX can rematerialise all.
        self.dropout = (
            keras.layers.Dropout(self.dropout_rate, dtype=self.dtype_policy)
            if self.dropout_rate
            else keras.layers.Identity(dtype=self.dtype_policy)
        )

    def build(self, input_shape):
        self.dense_0 = self._dense(self.mlp_dim, "Dense_0")
        self.dense_0.build(input_shape)
        self.dense_1 = self._dense(input_shape[-1], "Dense_1")
        self.dense_1.build((*input_shape[:-1], self.mlp_dim))

    def set_kernel_initializer(self, initializer):
        """Change what a clone of the block draws its weights by; its own stay."""
        self.kernel_initializer = keras.initializers.get(initializer)
        for dense in self.dense_layers:
            dense.kernel_initializer = self.kernel_initializer.clone()

    @property
    def dense_layers(self):
        """The two dense layers in order; none before the block is built."""
        return [self.dense_0, self.dense_1] if self.built else []

    def _dense(self, units, name):
        policy = self.dtype_policy
        if isinstance(policy, keras.dtype_policies.DTypePolicyMap):  # see `serialize_dtype`
            policy = policy[f"{self.name}/{name}"]
        initializer = self.kernel_initializer.clone()  # or both layers would draw alike
        return keras.layers.Dense(units, kernel_initializer=initializer, name=name, dtype=policy)

    def call(self, x, keep=None):
        keep_hidden, keep_output = keep or (None, None)
        x = self.dense_0(x)  # (..., mlp_dim)
        x = self.activation(x)
        x = self._drop(x, keep_hidden)
        x = self.dense_1(x)  # (..., width)
        return self._drop(x, keep_output)

    def _drop(self, x, keep):
        if keep is None:
            return self.dropout(x)
        return ops.where(keep, x / (1 - self.dropout_rate), ops.zeros_like(x))

    def draw_keep(self, x):
        """Return which units of training stay for an input `x`: two boolean masks, or None."""
        if self.dropout_rate == 0:
            return None
        *batch, _ = ops.shape(x)
        ones = [
            ops.ones((*batch, width), self.compute_dtype) for width in (self.mlp_dim, x.shape[-1])
        ]
        return [ops.not_equal(self.dropout(units, training=True), 0) for units in ones]

    def activation(self, x):
        """σ, under the name by which Keras finds activations to rematerialise."""
        return keras.activations.gelu(x, approximate=self.approximate_gelu)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "dtype": serialize_dtype(self, [self]),
            "mlp_dim": self.mlp_dim,
            "dropout_rate": self.dropout_rate,
            "approximate_gelu": self.approximate_gelu,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable("keras_mixer")
class StochasticDepth(keras.layers.Layer):
    """Drop a whole residual branch, for each example independently (Huang et al. 2016).

    The survivors keep their scale unless `rescale` is set, and inference is the identity: so
    the authors trained the published checkpoints. (timm and others rescale.)

    The input is `(batch, ...)`, and so is the output.

    Args:
        drop_path_rate: Probability of dropping an example's branch in training.
        rescale: Divide the survivors by `1 - drop_path_rate`, which keeps the expectation.
        seed: Integer seed of the masks, or None for a random one.
        **kwargs: Of every Keras layer, `name` and `dtype` among them.

    Raises:
        ValueError: If `drop_path_rate` is not in [0, 1).

    Examples:
        >>> import keras
        >>> import keras_mixer
        >>> branch = keras.ops.ones((8, 196, 768))
        >>> stochastic_depth = keras_mixer.StochasticDepth(drop_path_rate=0.1)
        >>> bool(keras.ops.all(stochastic_depth(branch, training=False) == branch))
        True
    """

    def __init__(
        self,
        drop_path_rate: float,
        rescale: bool = False,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.drop_path_rate = check_rate("StochasticDepth", "drop_path_rate", drop_path_rate)
        self.rescale = rescale
        self.seed = seed
        if self.drop_path_rate > 0:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, x, training=None, keep=None):
        if keep is None:
            if self.drop_path_rate == 0 or not training:
                return x
            keep = self.draw_keep(x)
        mask = ops.cast(keep, x.dtype)
        if self.rescale:
            mask = mask / (1 - self.drop_path_rate)
        return x * mask

    def draw_keep(self, x):
        """Return which examples keep the branch, a boolean `(batch, 1, ...)`, or None for all."""
        if self.drop_path_rate == 0:
            return None
        mask_shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)  # one draw per example
        # Drawn in float32: bfloat16 has too few values for a fair comparison with the rate.
        draw = keras.random.uniform(mask_shape, dtype="float32", seed=self.seed_generator)
        return draw >= self.drop_path_rate

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "drop_path_rate": self.drop_path_rate,
            "rescale": self.rescale,
            "seed": self.seed,
        }


class IsTraining(keras.layers.Layer):
    """Tells a layer around it, whose own `call` does not ask, whether it is being trained."""

    def call(self, x, training=None):
        return bool(training)


@keras.saving.register_keras_serializable("keras_mixer")
class MixerBlock(keras.layers.Layer):
    """Mix the tokens, then the channels (equation 1 of the paper).

    X is a table of S patches by C channels, a row for each patch, and so are U and Y:

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
    `(batch, patches, hidden_dim)`, with S patches and hidden_dim = C, and so is the output.

    Args:
        tokens_mlp_dim: D_S, hidden width of the token-mixing MLP.
        channels_mlp_dim: D_C, hidden width of the channel-mixing MLP.
        drop_path_rate: Probability with which an example skips each of the two MLPs in
            training; they draw independently.
        dropout_rate: Probability of dropping a unit inside the MLPs.
        approximate_gelu: See `MlpBlock`.
        rescale_drop_path: See `StochasticDepth.rescale`.
        kernel_initializer: See `MlpBlock`.
        rematerialize: In training, keep only the input and compute the block again for the
            gradient: less memory, about a third more time, the same result, also with stochastic
            depth and dropout. Their masks are drawn once and kept, which for dropout, with one
            for each unit, gives back a part of the memory.
        **kwargs: Of every Keras layer, `name` and `dtype` among them.

    Raises:
        ValueError: If a width is not a positive integer or a rate not in [0, 1), or if the input
            is not a batch of tables of one fixed size.

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
        self.approximate_gelu = approximate_gelu
        self.rescale_drop_path = rescale_drop_path
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.rematerialize = rematerialize

        self.layer_norm_0 = self._layer_norm("LayerNorm_0")
        self.token_mixing = self._mlp(tokens_mlp_dim, "token_mixing")
        self.layer_norm_1 = self._layer_norm("LayerNorm_1")
        self.channel_mixing = self._mlp(channels_mlp_dim, "channel_mixing")
        # One layer for both branches: each call draws masks of its own.
        self.stochastic_depth = StochasticDepth(
            drop_path_rate, rescale_drop_path, name="stochastic_depth", dtype=self.dtype_policy
        )
        if rematerialize:
            self.is_training = IsTraining(name="is_training", dtype=self.dtype_policy)

    def _layer_norm(self, name):
        return keras.layers.LayerNormalization(
            epsilon=LAYER_NORM_EPSILON, name=name, dtype=self.dtype_policy
        )

    def _mlp(self, mlp_dim, name):
        return MlpBlock(
            mlp_dim,
            self.dropout_rate,
            self.approximate_gelu,
            self.kernel_initializer.clone(),
            name=name,
            dtype=self.dtype_policy,
        )

    def set_kernel_initializer(self, initializer):
        """See `MlpBlock.set_kernel_initializer`."""
        self.kernel_initializer = keras.initializers.get(initializer)
        for mlp in (self.token_mixing, self.channel_mixing):
            mlp.set_kernel_initializer(self.kernel_initializer.clone())

    def build(self, input_shape):
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                "MixerBlock: the input must be (batch, patches, hidden_dim), the last two fixed. "
                f"Received: input of shape {tuple(input_shape)}. Reshape the tokens so."
            )
        batch, patches, hidden_dim = input_shape
        self.layer_norm_0.build(input_shape)
        self.token_mixing.build((batch, hidden_dim, patches))
        self.layer_norm_1.build(input_shape)
        self.channel_mixing.build(input_shape)

    def call(self, x):
        if not (self.rematerialize and self.is_training(x)):
            return self._mix(x)
        keep = self._draw_keep(x)
        return keras.remat(lambda x: self._mix(x, *keep))(x)  # a new function: JAX keeps traces

    def _mix(self, x, keep_units_0=None, keep_0=None, keep_units_1=None, keep_1=None):
        y = self.layer_norm_0(x)
        y = ops.transpose(y, (0, 2, 1))  # (batch, hidden_dim, patches)
        y = self.token_mixing(y, keep_units_0)
        y = ops.transpose(y, (0, 2, 1))  # (batch, patches, hidden_dim)
        u = x + self.stochastic_depth(y, keep=keep_0)  # equation 1, first line

        y = self.layer_norm_1(u)
        y = self.channel_mixing(y, keep_units_1)
        return u + self.stochastic_depth(y, keep=keep_1)  # equation 1, second line

    def _draw_keep(self, x):
        """Return the masks of `_mix` in the order in which it would draw them."""
        return (
            self.token_mixing.draw_keep(ops.transpose(x, (0, 2, 1))),
            self.stochastic_depth.draw_keep(x),
            self.channel_mixing.draw_keep(x),
            self.stochastic_depth.draw_keep(x),
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "dtype": serialize_dtype(self, [self.token_mixing, self.channel_mixing]),
            "tokens_mlp_dim": self.tokens_mlp_dim,
            "channels_mlp_dim": self.channels_mlp_dim,
            "drop_path_rate": self.drop_path_rate,
            "dropout_rate": self.dropout_rate,
            "approximate_gelu": self.approximate_gelu,
            "rescale_drop_path": self.rescale_drop_path,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "rematerialize": self.rematerialize,
        }
