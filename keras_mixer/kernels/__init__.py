"""The operations of a Mixer, each the way in which the running backend computes it best.

`reference.py` defines them in `keras.ops`. The module named after a backend has the same functions
with the same signatures, and imports those from `reference.py` for which nothing faster was found.
`docs/performance.md` has the measurements.
"""

import importlib

import keras

_backend = keras.backend.backend()
_module = importlib.import_module(
    f"{__name__}.{_backend if _backend in ('jax', 'tensorflow', 'torch') else 'reference'}"
)

convolve_patches = _module.convolve_patches
gelu = _module.gelu
gradient = _module.gradient
layer_norm = _module.layer_norm
linear = _module.linear
ones = _module.ones
rows = _module.rows

__all__ = ["convolve_patches", "gelu", "gradient", "layer_norm", "linear", "ones", "rows"]
