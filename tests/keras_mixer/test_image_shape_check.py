"""Images of another shape than the model's are refused, wherever Keras would let them pass."""

import keras
import numpy as np
import pytest

from keras_mixer.layers import ImageShapeCheck
from tests.support.models import random_pixels, small_mixer

BACKEND = keras.backend.backend()
WRONG = {
    "larger": (2, 12, 16, 3),
    "cropped by the stem": (2, 11, 12, 3),
    "as many patches in another grid": (2, 12, 8, 3),
    "gray": (2, 8, 12, 1),
    "alpha": (2, 8, 12, 4),
    "channels first": (2, 3, 8, 12),
    "not a batch": (8, 12, 3),
}


def compiled():
    model = small_mixer(num_blocks=1)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    compiled().save(path)
    return path


@pytest.mark.parametrize("shape", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("loaded", [False, True])
def test_images_of_another_shape_are_refused(shape, loaded, saved):
    images, labels = np.zeros(shape, "float32"), np.zeros(shape[0])
    # A new model for each, since a failed step of JAX leaves a model without weights.
    for use in (
        lambda model: model(images),
        lambda model: model.predict(images, verbose=0),
        lambda model: model.evaluate(images, labels, verbose=0),
        lambda model: model.train_on_batch(images, labels),
        lambda model: model(keras.Input(shape[1:])),
    ):
        model = keras.saving.load_model(saved) if loaded else compiled()
        with pytest.raises(ValueError, match=r"(?i)expected.*8, 12, 3|images must have the size"):
            use(model)


@pytest.mark.backend("jax")  # where Keras checks the first batch only
@pytest.mark.parametrize("name", ["cropped by the stem", "as many patches in another grid"])
def test_images_of_another_shape_are_refused_after_right_ones(name):
    images = np.zeros(WRONG[name], "float32")
    model = compiled()
    model.fit(np.zeros((2, 8, 12, 3)), np.zeros(2), verbose=0)
    with pytest.raises(ValueError, match=r"(?s)image_shape_check: images must.*8 × 12 pixels with"):
        model.evaluate(images, np.zeros(2), verbose=0)


@pytest.mark.backend("tensorflow")  # which then traces a step for images of any size
@pytest.mark.parametrize("shape", [(2, 11, 12, 3), (2, 12, 8, 3), (2, 1, 1, 3), (2, 8, 12, 1)])
def test_a_step_of_unknown_sizes_compares_them(shape):
    model = compiled()
    pixels = random_pixels((2, 8, 12, 3))
    expected = model.predict(pixels, verbose=0)
    for _ in range(2):
        with pytest.raises(Exception, match=r"image_shape_check|expected.*8, 12, 3|must have the"):
            model.predict(np.zeros(shape), verbose=0)
    np.testing.assert_array_equal(model.predict(pixels, verbose=0), expected)


@pytest.mark.parametrize(
    "shape, expected, code",
    [
        ((2, 9, 8, 3), (8, 8, 3), 'image.resize(images, (8, 8), data_format="channels_last")'),
        ((2, 3, 8, 8), (8, 8, 3), "transpose(images, (0, 2, 3, 1))"),
        ((2, 8, 8, 1), (8, 8, 3), "repeat(images, 3, axis=-1)"),
        ((2, 8, 8, 4), (8, 8, 3), "images[..., :3]"),
        ((2, 8, 8, 3), (8, 8, 1), "image.rgb_to_grayscale(images)"),
    ],
)
def test_the_advice_works(shape, expected, code):
    code = code if code.startswith("images") else f"keras.ops.{code}"
    check = ImageShapeCheck(name="check")
    check.build((None, *expected))
    images = keras.ops.ones(shape)
    with pytest.raises(ValueError, match="check: images must have the size") as refusal:
        check(images)
    assert f": {code}." in str(refusal.value)
    assert ("load the model again" in str(refusal.value)) == (BACKEND == "jax")
    assert check(eval(code, {"keras": keras, "images": images})).shape == (2, *expected)


def test_the_check_changes_nothing():
    pixels = random_pixels((2, 8, 12, 3))
    check = ImageShapeCheck(dtype="float16")
    assert check(keras.Input((8, 12, 3), dtype="uint8")).dtype == "uint8"
    result = check(keras.ops.convert_to_tensor(pixels))
    assert keras.ops.dtype(result) == "uint8"
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(result), pixels)
    assert not check.weights


def test_sizes_that_are_not_known_pass():
    inputs = keras.Input((None, None, 3))
    assert small_mixer()(inputs).shape == (None, 5)
