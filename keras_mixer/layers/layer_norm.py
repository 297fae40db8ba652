"""Layer normalization as in the published weights."""

import keras
from keras import ops

from keras_mixer import kernels

EPSILON = 1e-6  # Flax's default, which all published weights were trained with


@keras.saving.register_keras_serializable("keras_mixer")
class LayerNormalization(keras.layers.LayerNormalization):
    """Normalize each token over its channels (the last axis), then scale and shift it.

    Keras's layer of this name, with the epsilon of the published weights, and the gradient of
    `keras_mixer.kernels`.

    The input is `(..., width)`, and so is the output.

    Args:
        epsilon: Added to the variance.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.
    """

    def __init__(self, epsilon: float = EPSILON, **kwargs) -> None:
        super().__init__(epsilon=epsilon, **kwargs)

    def call(self, inputs):
        gamma, beta = map(ops.convert_to_tensor, (self.gamma, self.beta))
        y = kernels.layer_norm(inputs, gamma, beta, self.epsilon)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**keras.layers.Layer.get_config(self), "epsilon": self.epsilon}
