"""The layers that files of trained study models may name are those that exist."""

import importlib
import inspect
import pkgutil

import keras
import pytest

from training.studies import models
from training.studies.models.registration import LAYERS, PACKAGE, registered_layers

pytestmark = pytest.mark.backend("torch")  # Keras registers alike on every backend


def registered_classes(module_name):
    """Return the names of the classes that a module registers."""
    module = importlib.import_module(f"{models.__name__}.{module_name}")
    return {
        name
        for name, found in inspect.getmembers(module, inspect.isclass)
        if found.__module__ == module.__name__
        and keras.saving.get_registered_name(found) == f"{PACKAGE}>{name}"
    }


def test_the_table_holds_all_registered_classes():
    found = {module.name: registered_classes(module.name) for module in _modules()}
    assert {name: set(classes) for name, classes in LAYERS.items() if classes} == {
        name: classes for name, classes in found.items() if classes
    }


def test_the_names_are_those_by_which_keras_finds_the_classes():
    names = registered_layers()
    assert f"{PACKAGE}>PixelPermutation" in names
    for name in names:
        found = keras.saving.get_registered_object(name)
        assert issubclass(found, keras.layers.Layer)
        assert name == f"{PACKAGE}>{found.__name__}"


def _modules():
    return pkgutil.iter_modules(models.__path__)
