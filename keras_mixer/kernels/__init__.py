"""The operations of a Mixer, each the way in which the running backend computes it best.

`reference.py` defines them in `keras.ops`. The module named after a backend has the same functions
with the same signatures, and imports those from `reference.py` for which nothing faster was found.
`docs/performance.md` has the measurements.
"""

import keras

if keras.backend.backend() == "jax":
    from keras_mixer.kernels.jax import gelu, layer_norm, linear, rows
elif keras.backend.backend() == "tensorflow":
    from keras_mixer.kernels.tensorflow import gelu, layer_norm, linear, rows
elif keras.backend.backend() == "torch":
    from keras_mixer.kernels.torch import gelu, layer_norm, linear, rows
else:
    from keras_mixer.kernels.reference import gelu, layer_norm, linear, rows

__all__ = ["gelu", "layer_norm", "linear", "rows"]
