"""MLP-Mixer for KerasHub: backbone, image converter, preprocessor, classifier and presets.

Optional: only this package imports KerasHub. Importing it registers the classes with Keras, so
that KerasHub finds them for a preset that was saved.
"""

try:
    import keras_hub  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "keras_hub":  # KerasHub is installed, but a package that it needs is not
        raise
    raise ImportError(
        "keras_mixer.keras_hub: KerasHub must be installed. Received: no module named "
        "'keras_hub'. Install it with: pip install -e \".[keras-hub]\"",
        name=error.name,
    ) from None

from keras_mixer.keras_hub.backbone import MixerBackbone
from keras_mixer.keras_hub.image_classifier import MixerImageClassifier
from keras_mixer.keras_hub.image_converter import MixerImageConverter
from keras_mixer.keras_hub.preprocessor import MixerImageClassifierPreprocessor

__all__ = [
    "MixerBackbone",
    "MixerImageClassifier",
    "MixerImageClassifierPreprocessor",
    "MixerImageConverter",
]
