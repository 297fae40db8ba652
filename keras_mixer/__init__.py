"""MLP-Mixer (arXiv 2105.01601) for Keras 3, on TensorFlow, JAX and PyTorch."""

from keras_mixer import preprocessing
from keras_mixer.labels import decode_predictions
from keras_mixer.layers import MixerBlock, MlpBlock, StochasticDepth
from keras_mixer.model import MlpMixer
from keras_mixer.preprocessing import preprocess_input
from keras_mixer.variants import (
    MixerB16,
    MixerB32,
    MixerH14,
    MixerL16,
    MixerL32,
    MixerS8,
    MixerS16,
    MixerS32,
)
from keras_mixer.weights.table import list_weights

__version__ = "0.2.0"

__all__ = [
    "MixerB16",
    "MixerB32",
    "MixerBlock",
    "MixerH14",
    "MixerL16",
    "MixerL32",
    "MixerS16",
    "MixerS32",
    "MixerS8",
    "MlpBlock",
    "MlpMixer",
    "StochasticDepth",
    "decode_predictions",
    "list_weights",
    "preprocess_input",
    "preprocessing",
]
