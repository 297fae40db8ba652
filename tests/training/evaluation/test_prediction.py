import keras
import numpy as np
import pytest
from PIL import Image

from training.errors import UserError
from training.evaluation.prediction import predict_images


@pytest.fixture
def brightness_model():
    """A model that finds class 1 the likelier, the brighter the image."""
    images = keras.Input((4, 4, 1))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    return keras.Model(images, keras.layers.Concatenate()([1 - mean, mean]))


def save(path, value, mode="L", size=(4, 4)):
    Image.new(mode, size, value).save(path)
    return path


def test_the_most_likely_classes_come_first(tmp_path, brightness_model):
    paths = [save(tmp_path / "dark.png", 0), save(tmp_path / "bright.png", 255)]
    dark, bright = predict_images(brightness_model, ["night", "day"], paths, 2, "resize")
    high, low = np.e / (np.e + 1), 1 / (np.e + 1)
    assert [name for name, _ in dark.classes] == ["night", "day"]
    assert [name for name, _ in bright.classes] == ["day", "night"]
    assert [p for _, p in bright.classes] == pytest.approx([high, low], rel=1e-5)
    assert dark.image == str(paths[0])


def test_probabilities_are_those_of_the_activation(tmp_path, brightness_model):
    """The logits are 0.8 and 0.2."""
    path = save(tmp_path / "dusk.png", 51)
    names = ["night", "day"]
    (prediction,) = predict_images(brightness_model, names, [path], 2, "resize", "sigmoid")
    expected = [1 / (1 + np.exp(-0.8)), 1 / (1 + np.exp(-0.2))]
    assert [name for name, _ in prediction.classes] == names
    assert [p for _, p in prediction.classes] == pytest.approx(expected, rel=1e-5)


def test_top_limits_the_classes_and_may_exceed_them(tmp_path, brightness_model):
    path = save(tmp_path / "dark.png", 0)
    for top, count in [(1, 1), (5, 2)]:
        (prediction,) = predict_images(brightness_model, ["night", "day"], [path], top, "resize")
        assert len(prediction.classes) == count


def test_files_that_are_not_images_are_named(tmp_path, brightness_model, monkeypatch):
    text, empty = tmp_path / "text.png", tmp_path / "empty.png"
    text.write_text("not a picture")
    empty.touch()
    truncated = save(tmp_path / "truncated.png", 9, size=(64, 64))
    truncated.write_bytes(truncated.read_bytes()[:60])
    good = save(tmp_path / "good.png", 0)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    huge = save(tmp_path / "huge.png", 0, size=(100, 100))
    for bad in (text, empty, truncated, huge, tmp_path, tmp_path / "missing.png"):
        with pytest.raises(UserError, match=f"IMAGE must be .* Received: {bad}"):
            predict_images(brightness_model, ["night", "day"], [good, bad], 1, "resize")


def test_images_are_resized_as_in_the_evaluation(tmp_path, brightness_model):
    """By the transform's crop, the bright border is not seen."""
    image = np.full((64, 64), 255, np.uint8)
    image[8:-8, 8:-8] = 0
    Image.fromarray(image).save(tmp_path / "framed.png")
    paths = [tmp_path / "framed.png"]
    (squashed,) = predict_images(brightness_model, ["night", "day"], paths, 1, "resize")
    (cropped,) = predict_images(brightness_model, ["night", "day"], paths, 1, "resmall-crop")
    assert cropped.classes[0][1] > squashed.classes[0][1]


@pytest.mark.backend("torch")
def test_an_image_of_12_bits_in_16_is_named(tmp_path, brightness_model, capsys):
    for peak, is_warned in ((4095, True), (65535, False)):
        pixels = np.full((4, 4), peak, "uint16")
        Image.fromarray(pixels).save(tmp_path / "scan.png")
        predict_images(brightness_model, ["night", "day"], [tmp_path / "scan.png"], 1, "resize")
        err = capsys.readouterr().err
        assert ("scan.png is almost black: its values reach 4095 of 65535" in err) == is_warned
