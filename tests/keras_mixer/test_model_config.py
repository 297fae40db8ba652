"""What the configuration of a saved model may name."""

import importlib
import json
import zipfile

import keras
import numpy as np
import pytest

from keras_mixer.model_config import OBJECTS, ModelConfigError, check_model_config
from tests.support.models import SMALL_IMAGE, small_mixer

pytestmark = pytest.mark.backend("torch")  # Keras serializes alike on every backend

FUNCTION = {
    "module": "keras.utils",
    "class_name": "function",
    "config": "get_file",
    "registered_name": "get_file",
}
DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "mine", "units": 2}}


def saved_config(model, folder):
    model.save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras") as archive:
        return json.loads(archive.read("config.json"))


def without_compilation(value):
    """Return a configuration without the entries that only compile a model."""
    if isinstance(value, list):
        return [without_compilation(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {k: without_compilation(v) for k, v in value.items() if k != "compile_config"}


def test_every_listed_object_exists():
    for module, names in OBJECTS.items():
        for name in names:
            assert isinstance(getattr(importlib.import_module(module), name), type)


def test_the_configuration_of_a_mixer_is_kept():
    config = keras.saving.serialize_keras_object(small_mixer(dropout_rate=0.1, drop_path_rate=0.1))
    assert check_model_config(json.loads(json.dumps(config))) == without_compilation(
        json.loads(json.dumps(config))
    )


def test_plain_layers_around_a_mixer_are_kept(tmp_path):
    layers = keras.layers
    body = small_mixer(include_top=False, pooling="avg")
    model = keras.Sequential(
        [
            keras.Input(SMALL_IMAGE),
            layers.RandomFlip(),
            layers.RandomRotation(0.1),
            layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 2.0, 3.0]),
            layers.Rescaling(np.array([1.0, 2.0, 3.0])),
            layers.Resizing(*SMALL_IMAGE[:2]),
            body,
            layers.Dropout(0.5),
            layers.BatchNormalization(),
            layers.Dense(
                5, "relu", kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(2)
            ),
            layers.Activation(layers.LeakyReLU()),
            layers.Dense(5, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    config = saved_config(model, tmp_path)
    assert "compile_config" in config
    assert check_model_config(config) == without_compilation(config)


def test_operations_of_keras_are_kept(tmp_path):
    body = small_mixer(include_top=False, pooling="avg")
    x = keras.ops.mean(body.output[:, :4] * 2.0 + 1.0, axis=-1, keepdims=True)
    config = saved_config(keras.Model(body.input, keras.ops.sigmoid(x)), tmp_path)
    assert check_model_config(config) == without_compilation(config)


REFUSED = {
    "a layer that calls a function": DENSE | {"class_name": "Lambda"},
    "a layer that loads a file": DENSE | {"class_name": "TFSMLayer"},
    "a vocabulary": DENSE | {"class_name": "StringLookup"},
    "a function": FUNCTION,
    "a function as an activation": DENSE | {"config": {"activation": FUNCTION}},
    "a function deep inside": DENSE | {"config": {"a": [{"b": [1, {"c": FUNCTION}]}]}},
    "a function in build_config": DENSE | {"build_config": {"input_shape": [FUNCTION]}},
    "a function in inbound_nodes": DENSE | {"inbound_nodes": [{"args": [FUNCTION]}]},
    "a lambda": {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}},
    "a lambda in a value": {"class_name": "__slice__", "config": {"start": FUNCTION}},
    "a value that is an object": {"class_name": "__numpy__", "config": FUNCTION},
    "an array of objects": {
        "class_name": "__numpy__",
        "config": {"value": ["a"], "dtype": "object"},
    },
    "a typespec": {"class_name": "__typespec__", "spec_name": "x", "module": "os", "config": []},
    "another module": DENSE | {"module": "keras.src.layers.core.dense"},
    "another package": DENSE | {"module": "os", "class_name": "system"},
    "no module": {"class_name": "Dense", "config": {}},
    "a module that is no string": DENSE | {"module": ["keras.layers"]},
    "a name that is no string": DENSE | {"class_name": ["Dense"]},
    "a registered name that is no string": DENSE | {"registered_name": ["keras_mixer>Dense"]},
    "another registered name": DENSE | {"registered_name": "keras_cv>Rescaling"},
    "an unknown layer of the library": DENSE | {"registered_name": "keras_mixer>Dense"},
    "the name of a registered class": DENSE | {"config": {"activation": "keras_mixer>MlpBlock"}},
    "a configuration that is an object": DENSE | {"config": DENSE},
    "a configuration that is no dictionary": DENSE | {"config": "Dense"},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_anything_else_is_refused(kind):
    check_model_config([DENSE])
    with pytest.raises(ModelConfigError):
        check_model_config({"layers": [DENSE, REFUSED[kind]]})


def test_the_message_names_the_object_and_its_layer():
    config = DENSE | {"config": {"name": "mine", "activation": FUNCTION}}
    with pytest.raises(ModelConfigError, match=r"keras.utils.function .*get_file.* in 'mine'"):
        check_model_config(config)


def test_a_class_registered_under_the_name_of_one_of_keras_is_refused():
    with keras.saving.custom_object_scope({"Dense": keras.layers.Lambda}):
        with pytest.raises(ModelConfigError, match="keras.layers.Dense in 'mine'"):
            check_model_config(DENSE)


@keras.saving.register_keras_serializable("test_model_config")
class Registered(keras.layers.Layer):
    """A layer of another package."""


def test_other_registered_classes_are_accepted_by_name_only():
    config = keras.saving.serialize_keras_object(
        keras.Sequential([Registered(), keras.layers.Dense(2)])
    )
    config = json.loads(json.dumps(config))
    name = "test_model_config>Registered"
    for others in (frozenset(), frozenset({"test_model_config>Other"})):
        with pytest.raises(ModelConfigError, match=name):
            check_model_config(config, others)
    assert check_model_config(config, frozenset({name})) == without_compilation(config)
    (layer,) = (one for one in config["config"]["layers"] if one["class_name"] == "Registered")
    with pytest.raises(ModelConfigError, match=name):  # Keras reads both names
        check_model_config(layer | {"class_name": "Lambda"}, frozenset({name}))
    with pytest.raises(ModelConfigError, match="Lambda"):
        check_model_config([layer, REFUSED["a layer that calls a function"]], frozenset({name}))
