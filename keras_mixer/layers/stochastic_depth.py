"""Stochastic depth: residual branches that training skips at random."""

import keras
from keras import ops

from keras_mixer.layers.seeds import seed_generator
from keras_mixer.validation import check_bool, check_rate, check_seed


@keras.saving.register_keras_serializable("keras_mixer")
class StochasticDepth(keras.layers.Layer):
    """Drop a residual branch, for each example independently (Huang et al. 2016).

    Survivors are not rescaled unless `rescale` is set, and inference is the identity. This is how
    the authors trained the published weights; timm and others rescale.

    The input is `(batch, ...)`, and so is the output.

    Args:
        drop_path_rate: Probability of dropping an example's branch in training.
        rescale: Whether to divide the survivors by `1 - drop_path_rate`, which keeps the
            expectation.
        seed: Integer seed of the masks, or None for a random one.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Raises:
        ValueError: If `drop_path_rate` is not in [0, 1), `rescale` not a boolean, or `seed` neither
            an integer nor None.

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
        self.rescale = check_bool("StochasticDepth", "rescale", rescale)
        self.seed = check_seed("StochasticDepth", seed)
        if self.drop_path_rate > 0:
            self.seed_generator = seed_generator(self, self.seed)
        self.supports_masking = True
        self._build_at_init()  # there is nothing to build, unless a subclass has something

    def call(self, x, training=None, keep=None):
        if keep is None:
            if self.drop_path_rate == 0 or not training:
                return x
            keep = self.sample_mask(x)
        mask = ops.cast(keep, x.dtype)
        if self.rescale:
            mask = mask / (1 - self.drop_path_rate)
        return x * mask

    def sample_mask(self, x):
        """Sample which examples keep the branch: a boolean `(batch, 1, ...)`; None keeps all."""
        if self.drop_path_rate == 0:
            return None
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)  # one value per example
        # In float32: bfloat16 has too few values to compare with the rate accurately.
        uniform = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return uniform >= self.drop_path_rate

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "drop_path_rate": self.drop_path_rate,
            "rescale": self.rescale,
            "seed": self.seed,
        }
