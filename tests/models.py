"""Small models and random weights for tests: every array random, biases and norms too."""

import numpy as np

import keras_mixer

SMALL_IMAGE = (8, 12, 3)  # 6 patches


def small_mixer(**changes):
    """Return a Mixer that builds fast: by default one that gives logits of 5 classes."""
    arguments = {
        "patch_size": 4,
        "hidden_dim": 16,
        "num_blocks": 2,
        "tokens_mlp_dim": 8,
        "channels_mlp_dim": 24,
        "input_shape": SMALL_IMAGE,
        "classifier_activation": None,
    }
    if changes.get("include_top", True):
        arguments["classes"] = 5
    return keras_mixer.MlpMixer(**{**arguments, **changes})


def randomize(model, seed=0):
    """Fill the weights of `model` and return them as {variable path: float32 array}."""
    rng = np.random.default_rng(seed)
    weights = {}
    for variable in model.weights:
        array = rng.standard_normal(variable.shape)
        if variable.name == "kernel":
            array /= np.sqrt(np.prod(variable.shape[:-1]))  # keeps the scale of activations
        elif variable.name == "gamma":
            array = 1 + 0.1 * array
        else:
            array = 0.1 * array
        weights[variable.path] = array.astype("float32")
        variable.assign(weights[variable.path])
    return weights


def random_pixels(shape, seed=0):
    """Return uint8 pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
