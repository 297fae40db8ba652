"""The layers of MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601, section 2 and figure 1)."""

from keras_mixer.layers.mixer_block import LAYER_NORM_EPSILON, MixerBlock, MlpBlock, StochasticDepth

__all__ = ["LAYER_NORM_EPSILON", "MixerBlock", "MlpBlock", "StochasticDepth"]
