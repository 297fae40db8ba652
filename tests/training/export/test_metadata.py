"""What the metadata of an exported model says."""

import dataclasses
import json

import pytest

import keras_mixer
from keras_mixer.weights.catalog import find
from tests.support.exported import gray_mixer
from training.export.metadata import describe_model, to_json
from training.model_argument import LoadedModel

pytestmark = pytest.mark.backend("torch")  # nothing is computed


@pytest.fixture(scope="module")
def loaded():
    return LoadedModel(gray_mixer(), tuple("abcdefghij"), activation="sigmoid")


def test_a_model_without_published_weights(loaded):
    entries = describe_model(loaded, "runs/digits@best")
    assert json.loads(to_json(entries)) == entries
    assert entries["model"] == "digits@best" and entries["weights"] is None
    assert entries["keras_mixer"] == keras_mixer.__version__
    assert entries["input"]["shape"] == ["batch", 8, 8, 1]
    assert entries["input"]["channels"] == "gray" and entries["input"]["value_range"] == [0, 255]
    assert entries["outputs"]["probabilities"]["activation"] == "sigmoid"
    assert entries["outputs"]["logits"]["shape"] == ["batch", 10]
    assert entries["class_names"] == list("abcdefghij")
    assert entries["evaluation_transform"]["name"] == "resmall-crop"
    _, resize, crop, _ = entries["evaluation_transform"]["steps"]
    assert (resize["height"], crop["height"]) == (9, 8)


def test_names_that_are_not_known(loaded):
    assert describe_model(dataclasses.replace(loaded, class_names=None), "")["class_names"] is None


def test_published_weights_and_their_license(loaded):
    published = dataclasses.replace(loaded, published=True)
    weights = describe_model(published, "MixerB16:imagenet")["weights"]
    row = find("MixerB16", "imagenet1k")
    assert weights["name"] == "MixerB16:imagenet1k" and weights["url"] == row.url
    assert weights["license"] == row.licence and weights["warning"] == row.warning
    assert weights["top1"][0] == {"percent": 76.44, "reported_by": "paper, table 3"}
    assert describe_model(loaded, "MixerB16:imagenet1k.npz")["weights"] is None
