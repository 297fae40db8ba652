"""Small models and random weights for tests: every array random, biases and norms too."""

import numpy as np

import keras_mixer
from keras_mixer.weights.architecture import Architecture

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


def small_architecture(**changes):
    """Return the sizes of `small_mixer()`."""
    sizes = {
        "patch_size": (4, 4),
        "channels": 3,
        "hidden_dim": 16,
        "num_blocks": 2,
        "num_patches": 6,
        "tokens_mlp_dim": 8,
        "channels_mlp_dim": 24,
        "classes": 5,
    }
    return Architecture(**{**sizes, **changes})


def architecture_of(variant, image_size=224, **changes):
    """Return the sizes of a row of `SIZES`."""
    patch = variant.patch_size
    sizes = {
        "patch_size": (patch, patch),
        "channels": 3,
        "hidden_dim": variant.hidden_dim,
        "num_blocks": variant.num_blocks,
        "num_patches": (image_size // patch) ** 2,
        "tokens_mlp_dim": variant.tokens_mlp_dim,
        "channels_mlp_dim": variant.channels_mlp_dim,
        "classes": 1000,
    }
    return Architecture(**{**sizes, **changes})


def random_arrays(shapes, seed=0):
    """Return random float32 arrays for `{published name: shape}`, activations kept in scale."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes.items():
        array = rng.standard_normal(shape)
        kind = name.rpartition("/")[2]
        if kind == "kernel":
            array /= np.sqrt(np.prod(shape[:-1]))
        elif kind == "scale":
            array = 1 + 0.1 * array
        else:
            array *= 0.1
        arrays[name] = array.astype("float32")
    return arrays


def randomize(model, seed=0):
    """Fill the weights of `model` and return them as {published name: float32 array}."""
    names = [
        variable.path.replace("gamma", "scale").replace("beta", "bias")
        for variable in model.weights
    ]
    shapes = [tuple(variable.shape) for variable in model.weights]
    arrays = random_arrays(dict(zip(names, shapes, strict=True)), seed)
    for name, variable in zip(names, model.weights, strict=True):
        variable.assign(arrays[name])
    return arrays


def random_pixels(shape, seed=0):
    """Return uint8 pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
