"""The steps of the metadata, followed by an independent program."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mixer.preprocessing import prepare_image
from keras_mixer.transforms import TRANSFORMS
from tests.support.pixels import PHOTO
from training.export.transform_steps import describe_transform

pytestmark = pytest.mark.backend("torch")  # TensorFlow and Pillow compute

PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def follow(steps, image, from_below):
    """Return the image after the steps; `from_below` rounds the other side as the text says."""
    for step in steps:
        if step["step"] == "resize":
            size = [step["height"], step["width"]]
            if step["keep_aspect_ratio"]:
                assert ("round the other side down" in step["text"]) == from_below
                factor = max(goal / old for goal, old in zip(size, image.shape, strict=False))
                sides = [old * factor for old in image.shape[:2]]
                size = [int(side + 1e-9) if from_below else round(side) for side in sides]
            image = resize(image, size, step["method"], step["antialias"])
        elif step["step"] == "center_crop":
            margins = [
                image.shape[0] - step["height"],
                image.shape[1] - step["width"],
            ]
            halves_to_even = "halves to even" in step["text"]
            top, left = (round(m / 2) if halves_to_even else m // 2 for m in margins)
            image = image[top : top + step["height"], left : left + step["width"]]
    return image


def resize(image, size, method, antialias):
    if antialias:
        return np.asarray(Image.fromarray(image).resize(size[::-1], PILLOW[method]))
    resized = tf.image.resize(image, size, method).numpy()
    return (resized if method == "area" else np.rint(resized)).astype("uint8")


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
@pytest.mark.parametrize("photo", [PHOTO[:, :150], PHOTO[:101]], ids=["tall", "wide"])
def test_the_steps_are_the_transform(name, size, photo):
    steps = describe_transform(name, size, 3)
    assert [step["step"] for step in steps][-1] == "batch"
    followed = follow(steps, np.ascontiguousarray(photo), TRANSFORMS[name].library == "timm")
    np.testing.assert_array_equal(followed, prepare_image(photo, name, size))


def test_the_paper_transform_in_numbers():
    _, resize, crop, batch = describe_transform("resmall-crop", (224, 224), 3)
    assert (resize["height"], resize["width"], resize["keep_aspect_ratio"]) == (256, 256, True)
    assert (resize["method"], resize["antialias"]) == ("area", False)
    assert "max(256 / height, 256 / width)" in resize["text"]
    assert (crop["height"], crop["width"]) == (224, 224)
    assert "(height - 224) // 2" in crop["text"]
    assert (batch["value_range"], batch["dtype"]) == ([0, 255], "float32")


def test_gray_images():
    decode = describe_transform("resize", (8, 8), 1)[0]
    assert decode["channels"] == 1 and "19595 red + 38470 green + 7471 blue" in decode["text"]
