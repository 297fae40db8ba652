"""Small models and random weights for tests; biases and norms are random, too."""

import numpy as np

import keras_mixer
from keras_mixer.weights.architecture import Architecture

SMALL_IMAGE = (8, 12, 3)  # 6 patches


def small_mixer(**changes):
    """Return a Mixer that builds fast; by default it returns logits of 5 classes."""
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
    """Return the architecture of `small_mixer()`."""
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


def architecture_of(size, image_size=224, **changes):
    """Return the architecture of a row of `SIZES`."""
    patch = size.patch_size
    sizes = {
        **size.dimensions,
        "patch_size": (patch, patch),
        "channels": 3,
        "num_patches": (image_size // patch) ** 2,
        "classes": 1000,
    }
    return Architecture(**{**sizes, **changes})


def random_arrays(shapes, seed=0):
    """Return random float32 arrays for `{canonical name: shape}` that keep activations in scale."""
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
    """Fill the weights of `model`; return them as `{canonical name: float32 array}`."""
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
