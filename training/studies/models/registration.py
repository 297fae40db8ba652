"""Layers of the study models that the file of a trained model may name."""

import importlib

PACKAGE = "keras_mixer_studies"  # of the names under which Keras knows the layers
LAYERS = {
    "permutation": ("PixelPermutation",),
    "resnet": ("WeightStandardizedConv2D",),
    "vit": ("ClassTokenAndPositions",),
}


def registered_layers():
    """Register all layers and return the names under which Keras knows them."""
    for module in LAYERS:
        importlib.import_module(f"training.studies.models.{module}")
    return frozenset(f"{PACKAGE}>{name}" for names in LAYERS.values() for name in names)
