"""Resizing and scaling of images for a Mixer."""

import sys

import keras
import keras_hub
import numpy as np

from keras_mixer.keras_hub.backbone import MixerBackbone
from keras_mixer.keras_hub.image_shape import check_data_format
from keras_mixer.keras_hub.presets import PRESETS, is_checkpoint, open_checkpoint


@keras.saving.register_keras_serializable("keras_mixer")
class MixerImageConverter(keras_hub.layers.ImageConverter):
    """Convert images with pixels in [0, 255] to what a Mixer takes.

    `keras_hub.layers.ImageConverter` documents the arguments. Their defaults here are those of
    Google's weights: 224 × 224 pixels in [-1, 1]. Images are reduced with antialiasing, and values
    are scaled in float32 whatever the global dtype policy is.

    Args:
        image_size: `(height, width)` in pixels, or None to keep the size.
        scale: Factor of the pixels.
        offset: Added to the scaled pixels.
        antialias: Whether to filter images that are made smaller.
        data_format: Defaults to `keras.config.image_data_format()`.
        **kwargs: Other arguments of `keras_hub.layers.ImageConverter`.
    """

    backbone_cls = MixerBackbone
    presets = PRESETS

    def __init__(
        self,
        image_size=(224, 224),
        scale=2 / 255,
        offset=-1.0,
        antialias=True,
        data_format=None,
        dtype="float32",
        **kwargs,
    ):
        super().__init__(
            image_size=image_size,
            scale=scale,
            offset=offset,
            antialias=antialias,
            data_format=check_data_format("MixerImageConverter", data_format),
            dtype=dtype,
            **kwargs,
        )
        self.resizing.built = True  # Keras refuses to quantize a model if a layer is not built

    def call(self, inputs):
        # Of integers, some backends would round what resizing returns, and others would not.
        if isinstance(inputs, dict):  # with bounding boxes
            images = keras.tree.map_structure(_to_float, inputs["images"])
            return super().call({**inputs, "images": images})
        return super().call(keras.tree.map_structure(_to_float, inputs))

    def _expand_non_channel_dims(self, value, inputs):
        # KerasHub's method fails for a single number with the channels first.
        return super()._expand_non_channel_dims(value, inputs) if np.ndim(value) else value

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}

    @classmethod
    def from_preset(cls, preset, **kwargs):
        """Load the image size and the scaling of a preset; see `MixerBackbone.from_preset`."""
        if not is_checkpoint(preset):
            return super().from_preset(preset, **kwargs)
        with open_checkpoint(preset, load_weights=False) as checkpoint:
            kwargs = {**checkpoint.scaling, **kwargs}
            if "image_size" not in kwargs:
                kwargs["image_size"] = checkpoint.image_size(cls.__name__, "image_size")
            return cls(**kwargs)


def _to_float(x):
    """Return a tensor of the backend or of TensorFlow, an array or a number in float32."""
    if keras.ops.is_tensor(x):
        return keras.ops.cast(x, "float32")
    tf = sys.modules.get("tensorflow")  # a caller that passes one of its tensors has imported it
    if tf is not None and tf.is_tensor(x):
        return tf.cast(x, "float32")
    return np.asarray(x, "float32")
