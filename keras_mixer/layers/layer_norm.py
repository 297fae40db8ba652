"""Layer normalization as in the published weights."""

import keras

EPSILON = 1e-6  # Flax's default, which all published weights were trained with


def layer_norm(name, dtype):
    """Return a layer that normalizes each token over its channels (the last axis)."""
    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name, dtype=dtype)
