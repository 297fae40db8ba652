"""Classification of image files, batch by batch."""

import itertools

import keras
import numpy as np
import pytest
from PIL import Image

from keras_mixer.preprocessing import prepare_image
from tests.support.models import random_pixels, randomize, small_mixer
from tests.support.reference import LARGEST_ERROR, mixer_features, relative_error
from training.errors import UserError
from training.evaluation import prediction
from training.evaluation.prediction import name_classes, predict_images, with_features

NAMES = ["night", "day"]


@pytest.fixture
def brightness_model():
    """A model that finds class 1 the likelier, the brighter the image."""
    images = keras.Input((4, 4, 1))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    return keras.Model(images, keras.layers.Concatenate()([1 - mean, mean]))


@pytest.fixture
def batches(monkeypatch):
    """The batches that the model computes."""
    batches = []

    def predict_batch(model, images):
        batches.append(images)
        return model.predict_on_batch(images)

    monkeypatch.setattr(prediction, "predict_batch", predict_batch)
    return batches


def save(path, value, mode="L", size=(4, 4)):
    Image.new(mode, size, value).save(path)
    return path


def predict(model, paths, transform="resize", activation="softmax", top=2, batch_size=32):
    """Return the predictions, and `path: reason` of the files that cannot be decoded."""
    predictions, faults = [], []
    for outputs in predict_images(model, paths, transform, batch_size):
        predictions += name_classes(outputs, NAMES, top, activation)
        faults += outputs.faults
    return predictions, faults


def test_the_most_likely_classes_come_first(tmp_path, brightness_model):
    paths = [save(tmp_path / "dark.png", 0), save(tmp_path / "bright.png", 255)]
    (dark, bright), _ = predict(brightness_model, paths)
    high, low = np.e / (np.e + 1), 1 / (np.e + 1)
    assert [name for name, _ in dark.classes] == ["night", "day"]
    assert [name for name, _ in bright.classes] == ["day", "night"]
    assert [p for _, p in bright.classes] == pytest.approx([high, low], rel=1e-5)
    assert dark.image == str(paths[0])


def test_probabilities_are_those_of_the_activation(tmp_path, brightness_model):
    """The logits are 0.8 and 0.2."""
    path = save(tmp_path / "dusk.png", 51)
    (found,), _ = predict(brightness_model, [path], activation="sigmoid")
    expected = [1 / (1 + np.exp(-0.8)), 1 / (1 + np.exp(-0.2))]
    assert [name for name, _ in found.classes] == NAMES
    assert [p for _, p in found.classes] == pytest.approx(expected, rel=1e-5)


def test_top_limits_the_classes_and_may_exceed_them(tmp_path, brightness_model):
    path = save(tmp_path / "dark.png", 0)
    for top, count in [(1, 1), (5, 2)]:
        (found,), _ = predict(brightness_model, [path], top=top)
        assert len(found.classes) == count


def test_images_are_resized_as_in_the_evaluation(tmp_path, brightness_model):
    """By the transform's crop, the bright border is not seen."""
    image = np.full((64, 64), 255, np.uint8)
    image[8:-8, 8:-8] = 0
    Image.fromarray(image).save(tmp_path / "framed.png")
    paths = [tmp_path / "framed.png"]
    (squashed,), _ = predict(brightness_model, paths, "resize", top=1)
    (cropped,), _ = predict(brightness_model, paths, "resmall-crop", top=1)
    assert cropped.classes[0][1] > squashed.classes[0][1]


@pytest.mark.parametrize("bad", [(), (0,), (1, 2, 3), (6,), range(7)])
def test_files_that_cannot_be_decoded_do_not_hide_the_others(
    tmp_path, brightness_model, batches, bad
):
    paths = [save(tmp_path / f"{i}.png", 30 * i) for i in range(7)]
    for i in bad:
        paths[i].write_text("not a picture")
    found, faults = predict(brightness_model, paths, batch_size=3)
    good = [i for i in range(7) if i not in bad]
    assert [p.image for p in found] == [str(paths[i]) for i in good]
    day = [dict(p.classes)["day"] for p in found]
    assert day == pytest.approx([1 / (1 + np.exp(1 - 60 * i / 255)) for i in good], rel=1e-5)
    assert [f.partition(": ")[0] for f in faults] == [str(paths[i]) for i in bad]
    assert all(f.endswith(": it is not an image of a known format") for f in faults)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "number, batch_size, shapes",
    [(1, 32, [1]), (32, 32, [32]), (33, 32, [17, 17]), (7, 3, [3] * 3)],
)
def test_batches_have_one_size_and_little_padding(
    tmp_path, brightness_model, batches, number, batch_size, shapes
):
    paths = [save(tmp_path / f"{i}.png", 9) for i in range(number)]
    found, _ = predict(brightness_model, paths, batch_size=batch_size)
    assert len(found) == number
    assert [len(batch) for batch in batches] == shapes


def test_logits_that_are_not_finite_are_refused(tmp_path):
    inputs = keras.Input((4, 4, 1))
    outputs = keras.ops.log(keras.layers.GlobalAveragePooling2D()(inputs))
    paths = [save(tmp_path / "a.png", 9), save(tmp_path / "dark.png", 0)]
    with pytest.raises(UserError, match=r"MODEL must .* Received: -inf for .*dark\.png"):
        predict(keras.Model(inputs, outputs), paths)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_and_logits_of_one_pass(tmp_path, channels):
    """Of color and gray models whose images are not square."""
    model = small_mixer(input_shape=(8, 12, channels))
    weights = randomize(model)
    images = random_pixels((5, 20, 30, channels))
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image.squeeze()).save(path)
    prepared = np.stack([prepare_image(image, "resmall-crop", (8, 12)) for image in images])
    prepared = prepared[..., :channels]
    nested = keras.Sequential([keras.Input((8, 12, channels)), model])
    for other in (model, nested):
        found = list(predict_images(with_features(other), paths, "resmall-crop", 2))
        features, logits = (np.concatenate([getattr(o, n) for o in found]) for n in FIELDS)
        assert features.dtype == "float32"
        assert relative_error(features, mixer_features(weights, prepared)) <= LARGEST_ERROR
        expected = model.predict(prepared, verbose=0)
        assert relative_error(logits, expected) <= LARGEST_ERROR
        assert list(itertools.chain(*(o.paths for o in found))) == paths


FIELDS = ("features", "logits")
