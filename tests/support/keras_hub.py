"""Small models and weight files for the tests of KerasHub's classes."""

import safetensors.numpy

from keras_mixer.keras_hub import MixerBackbone, MixerImageClassifier, MixerImageConverter
from keras_mixer.keras_hub import MixerImageClassifierPreprocessor as Preprocessor
from keras_mixer.weights.layouts import TIMM
from keras_mixer.weights.writers import write_npz
from tests.support.layouts import in_layout
from tests.support.models import random_arrays, randomize, small_architecture

SIZES = {
    "patch_size": 4,
    "hidden_dim": 16,
    "num_blocks": 2,
    "tokens_mlp_dim": 8,
    "channels_mlp_dim": 24,
}
GRID = (2, 3)  # of `small_architecture`


def small_backbone(**changes):
    """Return a `MixerBackbone` for images of 8 × 12 pixels, with random weights."""
    backbone = MixerBackbone(**{**SIZES, "image_shape": (8, 12, 3), **changes})
    randomize(backbone)
    return backbone


def small_classifier(backbone=None, **changes):
    """Return a `MixerImageClassifier` of 5 classes with its preprocessor."""
    converter = MixerImageConverter(image_size=(8, 12))
    arguments = {"num_classes": 5, "preprocessor": Preprocessor(image_converter=converter)}
    return MixerImageClassifier(backbone or small_backbone(), **{**arguments, **changes})


def google_file(path, **changes):
    """Write random weights of `small_architecture` as Google's files have them; return the path."""
    write_npz(path, random_arrays(small_architecture(**changes).shapes()).items())
    return str(path)


def timm_file(path, value_range, **changes):
    """Write random weights as timm's files have them, with the numerics that MIIL's have."""
    arrays = in_layout(TIMM, random_arrays(small_architecture(**changes).shapes()))
    metadata = {
        "keras_mixer.approximate_gelu": "false",
        "keras_mixer.value_range": " ".join(map(repr, value_range)),
        "keras_mixer.grid": " ".join(map(str, GRID)),
    }
    safetensors.numpy.save_file(arrays, path, metadata)
    return str(path)
