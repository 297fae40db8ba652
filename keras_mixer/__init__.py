"""MLP-Mixer (arXiv 2105.01601) for Keras 3, on TensorFlow, JAX and PyTorch.

Names are imported on first use (PEP 562), so that `import keras_mixer` does not import Keras.
"""

import importlib

from keras_mixer.registration import register_layers

# As in `typing`, which is not imported: with `python -m keras_mixer`, the working folder, whose
# files may be someone else's, is on the path until `__main__` takes it off.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from keras_mixer import preprocessing
    from keras_mixer.labels import decode_predictions
    from keras_mixer.layers import MixerBlock, MlpBlock, StochasticDepth
    from keras_mixer.models import (
        MixerB16,
        MixerB32,
        MixerH14,
        MixerL16,
        MixerL32,
        MixerS8,
        MixerS16,
        MixerS32,
        MlpMixer,
    )
    from keras_mixer.preprocessing import preprocess_input
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

_MODULES = {  # modules that define public names; "models" defines the others
    "MixerBlock": "layers",
    "MlpBlock": "layers",
    "StochasticDepth": "layers",
    "decode_predictions": "labels",
    "list_weights": "weights.table",
    "preprocess_input": "preprocessing",
}
_SUBMODULES = (
    "convert",
    "explain",
    "labels",
    "layers",
    "preprocessing",
    "sizes",
    "transforms",
    "weights",
)


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'models')}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__():
    return sorted({*globals(), *__all__, *_SUBMODULES})


register_layers()
