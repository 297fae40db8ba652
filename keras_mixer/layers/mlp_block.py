"""MLP of a Mixer block."""

import keras
from keras import ops

from keras_mixer import kernels
from keras_mixer.layers.composite import CompositeLayer
from keras_mixer.layers.dense import Dense
from keras_mixer.layers.initialization import build
from keras_mixer.layers.seeds import Dropout
from keras_mixer.validation import check_bool, check_positive_int, check_rate


@keras.saving.register_keras_serializable("keras_mixer")
class MlpBlock(CompositeLayer):
    """Two dense layers with a GELU between them, along the last axis.

    In equation 1 of the paper this is `W2 σ(W1 x)` for token mixing and `W4 σ(W3 x)` for channel
    mixing: W1 or W3 is `Dense_0`, W2 or W4 is `Dense_1`, both with a bias, which the equation
    omits, and σ is the GELU. `MixerBlock` lists the shapes.

    The input is `(..., width)`, and so is the output.

    A mask of the input is passed on.

    `call` takes `training`, but does not name it: Keras passes the flag on to the layers inside,
    and with an argument of that name JAX and TensorFlow could not rematerialize a block.

    Args:
        mlp_dim: Width of the hidden layer: D_S for token mixing, D_C for channel mixing.
        dropout_rate: Probability of dropping a unit, after the GELU and after `Dense_1`.
        approximate_gelu: Whether GELU uses the tanh approximation (Flax's, so Google's
            weights) or the exact erf (PyTorch's).
        kernel_initializer: Initializer of both dense layers.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Raises:
        ValueError: If `mlp_dim` is not a positive integer, `dropout_rate` not in [0, 1), or
            `approximate_gelu` not a boolean.

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
        self.approximate_gelu = check_bool("MlpBlock", "approximate_gelu", approximate_gelu)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

        # At rate 0 no layer that reads `training`, so that JAX can rematerialize all of it.
        with keras.name_scope(self.name):
            self.dropout = (
                Dropout(self.dropout_rate, name="dropout", dtype=self.dtype_policy)
                if self.dropout_rate
                else keras.layers.Identity(name="dropout", dtype=self.dtype_policy)
            )
        # `build` sets the widths and the initializers.
        self.dense_0, self.dense_1 = (
            Dense(1, kernel_initializer="zeros", name=name, dtype=self.dtype_policy)
            for name in ("Dense_0", "Dense_1")
        )
        self.inherit_trainable()
        self.supports_masking = True

    def build(self, input_shape):
        self.dropout.build(input_shape)
        self._build_dense(self.dense_0, self.mlp_dim, input_shape)
        self._build_dense(self.dense_1, input_shape[-1], (*input_shape[:-1], self.mlp_dim))

    def _build_dense(self, dense, units, input_shape):
        dense.units = units
        dense.kernel_initializer = self.kernel_initializer.clone()  # with a seed of its own
        policy, lora_alpha = dense.dtype_policy, dense.lora_alpha
        if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
            # A Dense cannot be quantized under a map. Files of 0.1.0 have the first path.
            path = f"{self.name}/{dense.name}"
            dense.dtype_policy = policy[path if path in policy else f"{self.path}/{dense.name}"]
        build(dense, input_shape)
        dense.lora_alpha = lora_alpha  # Keras sets it to the rank

    def call(self, x, keep=None, **flags):
        keep_hidden, keep_output = keep or (None, None)
        shape = ops.shape(x)
        x = kernels.rows(x)
        x = self.dense_0(x, **flags)  # (..., mlp_dim)
        x = self.activation(x)
        x = self._drop(x, keep_hidden, flags)
        x = self.dense_1(x, **flags)  # (..., width)
        x = self._drop(x, keep_output, flags)
        return x if len(x.shape) == len(shape) else ops.reshape(x, shape)

    def _drop(self, x, keep, flags):
        if self.dropout_rate == 0:
            return x  # the call of a layer costs as much as a small product
        if keep is None:
            return self.dropout(x, **flags)
        keep = kernels.rows(keep)
        return ops.where(keep, x / (1 - self.dropout_rate), ops.zeros_like(x))

    def sample_masks(self, x):
        """Sample the two boolean dropout masks of `call` for an input `x`; None without dropout."""
        if self.dropout_rate == 0:
            return None
        # Dropout samples in the order in memory, which the dense layers change on PyTorch.
        ones = [kernels.ones(x, width, self.compute_dtype) for width in (self.mlp_dim, x.shape[-1])]
        return [ops.not_equal(self.dropout(units, training=True), 0) for units in ones]

    def activation(self, x):
        """Apply σ, in an attribute whose name Keras rematerializes in its mode "activations"."""
        return kernels.gelu(x, self.approximate_gelu)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "mlp_dim": self.mlp_dim,
            "dropout_rate": self.dropout_rate,
            "approximate_gelu": self.approximate_gelu,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
