"""Preprocessing of images and labels for the classifier."""

import keras
import keras_hub

from keras_mixer.keras_hub.backbone import MixerBackbone
from keras_mixer.keras_hub.image_converter import MixerImageConverter
from keras_mixer.keras_hub.presets import PRESETS, is_checkpoint


@keras.saving.register_keras_serializable("keras_mixer")
class MixerImageClassifierPreprocessor(keras_hub.models.ImageClassifierPreprocessor):
    """Apply a `MixerImageConverter` to images, and pass labels and sample weights through."""

    backbone_cls = MixerBackbone
    image_converter_cls = MixerImageConverter
    presets = PRESETS

    @classmethod
    def from_preset(cls, preset, **kwargs):
        """Load the preprocessing of a preset; see `MixerBackbone.from_preset`."""
        if not is_checkpoint(preset):
            return super().from_preset(preset, **kwargs)
        if "image_converter" not in kwargs:
            kwargs["image_converter"] = cls.image_converter_cls.from_preset(preset)
        return cls(**kwargs)
