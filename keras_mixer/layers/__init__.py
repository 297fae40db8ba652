"""The layers of MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601, section 2 and figure 1)."""

from keras_mixer.layers.conv2d import Conv2D  # noqa: F401  registers the class
from keras_mixer.layers.image_shape_check import ImageShapeCheck
from keras_mixer.layers.mixer_block import MixerBlock
from keras_mixer.layers.mlp_block import MlpBlock
from keras_mixer.layers.stochastic_depth import StochasticDepth

__all__ = ["ImageShapeCheck", "MixerBlock", "MlpBlock", "StochasticDepth"]
