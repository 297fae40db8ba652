"""The model that is exported: names, activation, float32."""

import keras
import numpy as np
import pytest

from tests.support.exported import GRAY, gray_mixer
from tests.support.models import random_pixels, small_mixer
from training.evaluation.logits import probabilities
from training.export.exporter import as_loaded
from training.export.serving_model import build_serving_model, in_float32
from training.model_argument import LoadedModel

IMAGES = random_pixels((3, *GRAY)).astype("float32")


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_logits_and_probabilities(activation):
    model = gray_mixer()
    serving = build_serving_model(LoadedModel(model, activation=activation))
    outputs = serving.predict_on_batch(IMAGES)
    assert [tensor.name for tensor in serving.inputs] == ["pixels"]
    np.testing.assert_allclose(outputs["logits"], model.predict_on_batch(IMAGES), rtol=1e-6)
    expected = probabilities(outputs["logits"].astype("float64"), activation)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "bfloat16", "mixed_float16"])
def test_half_precision_is_exported_in_float32(precision):
    model = gray_mixer(dtype=precision)
    weights = [np.asarray(w, "float32") for w in model.get_weights()]
    serving = build_serving_model(LoadedModel(model))
    float32 = small_mixer(patch_size=2, input_shape=GRAY, classes=10)
    float32.set_weights(weights)
    logits = serving.predict_on_batch(IMAGES)["logits"]
    np.testing.assert_allclose(logits, float32.predict_on_batch(IMAGES), rtol=1e-5, atol=1e-5)
    assert {layer.compute_dtype for layer in model.layers if "Mixer" in layer.name} == {
        precision.removeprefix("mixed_")
    }  # the model itself is not changed


def test_float32_is_not_copied():
    model = gray_mixer()
    assert in_float32(model) is model


def test_a_keras_model_keeps_its_activation():
    model = gray_mixer(classifier_activation="softmax")
    loaded = as_loaded(model)
    assert loaded.activation == "softmax"
    np.testing.assert_allclose(
        probabilities(loaded.model.predict_on_batch(IMAGES), "softmax"),
        model.predict_on_batch(IMAGES),
        atol=1e-6,
    )
    assert model.layers[-1].activation is keras.activations.softmax
    assert as_loaded(loaded) is loaded


def test_layers_around_a_mixer():
    body = small_mixer(include_top=False, pooling="avg", patch_size=2, input_shape=GRAY)
    model = keras.Sequential([body, keras.layers.Dense(4), keras.layers.Activation("sigmoid")])
    model.build((None, *GRAY))
    serving = build_serving_model(as_loaded(model))
    np.testing.assert_allclose(
        serving.predict_on_batch(IMAGES)["probabilities"], model.predict_on_batch(IMAGES), atol=1e-6
    )
