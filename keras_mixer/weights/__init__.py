"""Pretrained weights: the catalog, downloads, file formats and loading into a model."""

import importlib

_SUBMODULES = ("catalog", "download", "formats")  # which hold public names


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
