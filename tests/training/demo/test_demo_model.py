"""What a model of a demo says about an image."""

import base64
import io

import keras
import numpy as np
import pytest
from PIL import Image

from keras_mixer import explain
from tests.support.demo import CLASSES, demo_model
from tests.support.models import random_pixels, randomize, small_mixer
from training.demo.demo_model import share_patch_size
from training.demo.shuffle import KINDS, Shuffle
from training.evaluation.logits import probabilities
from training.studies.models.permutation import permute_input

WHOLE = Shuffle()
PATCHWISE = KINDS[1:4]


def random_mixer(**changes):
    model = small_mixer(**changes)
    randomize(model)
    return model


def vector(classes):
    """Return the probabilities in an answer, in the order of the classes."""
    return [entry["probability"] for entry in sorted(classes, key=lambda entry: entry["index"])]


def read_png(url):
    with Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2]))) as image:
        return np.asarray(image)


def direct(model, pixels, activation="softmax"):
    """Return the probabilities that Keras predicts."""
    logits = model.predict(pixels[None], verbose=0).astype("float64")
    return probabilities(logits, activation)[0]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_classes_and_probabilities_are_those_of_the_model(activation):
    model = random_mixer()
    pixels = random_pixels((8, 12, 3))
    answer = demo_model(model, activation=activation).predict(pixels, WHOLE)
    expected = direct(model, pixels, activation)
    np.testing.assert_allclose(vector(answer["classes"]), expected, rtol=1e-5)
    found = [entry["probability"] for entry in answer["classes"]]
    assert found == sorted(found, reverse=True)
    assert all(entry["name"] == CLASSES[entry["index"]] for entry in answer["classes"])
    assert answer["reordered"] is None and answer["milliseconds"] > 0
    np.testing.assert_array_equal(read_png(answer["image"]), pixels)


@pytest.mark.parametrize("kind", PATCHWISE)
def test_a_mixer_whose_weights_are_reordered_alike_does_not_change(kind):
    model = random_mixer(num_blocks=3)
    demo = demo_model(model)
    for seed in (1, 2):
        pixels = random_pixels((8, 12, 3), seed)
        shuffle = Shuffle(kind, seed)
        answer = demo.predict(pixels, shuffle)
        expected = direct(model, pixels)
        np.testing.assert_allclose(vector(answer["reordered"]), expected, rtol=1e-4)
        shown = shuffle.permute(pixels, 4)
        np.testing.assert_array_equal(read_png(answer["image"]), shown)
        np.testing.assert_allclose(vector(answer["classes"]), direct(model, shown), rtol=1e-4)
        assert np.abs(np.subtract(vector(answer["classes"]), expected)).max() > 0.01
    np.testing.assert_allclose(vector(demo.predict(pixels, WHOLE)["classes"]), expected, rtol=1e-4)


def test_weights_that_change_are_reordered_again():
    model = random_mixer()
    demo, pixels = demo_model(model), random_pixels((8, 12, 3))
    demo.predict(pixels, Shuffle("both", 1))
    demo.predict(pixels, Shuffle("both", 2))
    answer = demo.predict(pixels, Shuffle("both", 1))
    np.testing.assert_allclose(vector(answer["reordered"]), direct(model, pixels), rtol=1e-4)


def test_gray_images():
    model = random_mixer(input_shape=(8, 12, 1))
    pixels = random_pixels((8, 12, 1))
    answer = demo_model(model).predict(pixels, Shuffle("both", 1))
    np.testing.assert_allclose(vector(answer["reordered"]), direct(model, pixels), rtol=1e-4)
    assert read_png(answer["image"]).shape == (8, 12)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "grad-cam"])
@pytest.mark.parametrize("class_index", [None, 2])
def test_maps_are_those_of_the_library(method, class_index):
    model = random_mixer()
    demo, pixels = demo_model(model), random_pixels((8, 12, 3))
    answer = demo.explain(pixels, WHOLE, method, class_index)
    chosen = int(direct(model, pixels).argmax()) if class_index is None else class_index
    assert (answer["class_index"], answer["class"]) == (chosen, CLASSES[chosen])
    compute = getattr(explain, method.replace("-", "_"))
    expected = compute(model, pixels[None], chosen)[0]
    np.testing.assert_allclose(answer["map"], expected, rtol=1e-3, atol=1e-4)
    assert np.shape(answer["map"]) == (2, 3)
    assert answer["peak"] == np.unravel_index(np.argmax(answer["map"]), (2, 3))


def test_maps_of_a_permuted_image_are_of_what_is_shown():
    model = random_mixer()
    pixels, shuffle = random_pixels((8, 12, 3)), Shuffle("patches", 1)
    shown = shuffle.permute(pixels, 4)
    found = demo_model(model).explain(pixels, shuffle, "occlusion", 1)
    expected = demo_model(model).explain(shown, WHOLE, "occlusion", 1)
    np.testing.assert_allclose(found["map"], expected["map"], rtol=1e-4, atol=1e-5)


def cnn(shape=(12, 18, 3)):
    images = keras.Input(shape)
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(images))
    return keras.Model(images, keras.layers.Dense(5)(features))


def wrapped_mixer():
    return keras.Sequential([keras.Input((8, 12, 3)), keras.layers.Rescaling(1.0), random_mixer()])


def adapted_mixer():
    model = random_mixer()
    model.get_layer("MixerBlock_0").token_mixing.dense_0.enable_lora(2)
    return model


@pytest.mark.parametrize(
    ("make_model", "methods", "patch_size"),
    [
        (cnn, 0, 6),
        (wrapped_mixer, 3, 4),
        (lambda: permute_input(random_mixer(), "patches", 4, 1), 1, 4),
    ],
)
def test_models_whose_weights_have_no_order_to_match(make_model, methods, patch_size):
    model = make_model()
    demo = demo_model(model)
    description = demo.describe()
    assert (len(description["methods"]), description["patch_size"]) == (methods, patch_size)
    assert description["parameters"] == model.count_params()
    pixels = random_pixels(model.input_shape[1:])
    for kind in KINDS:
        answer = demo.predict(pixels, Shuffle(kind, 1))
        assert answer["reordered"] is None
        shown = Shuffle(kind, 1).permute(pixels, patch_size)
        np.testing.assert_allclose(vector(answer["classes"]), direct(model, shown), rtol=1e-4)


def test_models_without_patches_permute_parts_of_the_same_size():
    models = [demo_model(cnn()), demo_model(random_mixer()), demo_model(cnn((10, 10, 3)))]
    share_patch_size(models)
    assert [model.patch_size for model in models] == [3, 4, 2]
    share_patch_size(models[:1])
    assert models[0].patch_size == 6


def test_a_mixer_behind_a_resize_permutes_squares_of_the_image():
    images = keras.Input((21, 18, 3))
    model = keras.Model(images, random_mixer()(keras.layers.Resizing(8, 12)(images)))
    demo = demo_model(model)
    assert demo.patch_size == 3 and len(demo.methods) == 3
    assert demo.predict(random_pixels((21, 18, 3)), Shuffle("both", 1))["reordered"] is None


def test_weights_that_are_not_plain_are_not_reordered():
    quantized = random_mixer()
    quantized.quantize("int8")
    for model in (adapted_mixer(), quantized):
        answer = demo_model(model).predict(random_pixels((8, 12, 3)), Shuffle("both", 1))
        assert answer["reordered"] is None


def test_a_frozen_mixer_in_bfloat16_is_reordered():
    model = random_mixer(dtype="mixed_bfloat16")
    model.trainable = False
    pixels = random_pixels((8, 12, 3))
    answer = demo_model(model).predict(pixels, Shuffle("both", 1))
    np.testing.assert_allclose(vector(answer["reordered"]), direct(model, pixels), atol=0.02)
