"""The evaluation transform of the page in `examples/browser`, run by Node."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

import run
from keras_mixer.preprocessing import prepare_image
from keras_mixer.transforms import TRANSFORMS
from tests.support.models import random_pixels
from tests.support.pixels import PHOTO
from training.export.transform_steps import describe_transform

pytestmark = pytest.mark.backend("torch")  # NumPy computes the expected pixels

# Reads images and steps, and returns the input of the model.
PROGRAM = """
import { readFileSync } from "node:fs";

const { prepare } = await import(process.argv[1]);
const results = JSON.parse(readFileSync(0)).map(({ data, height, width, steps }) => {
  const result = prepare({ data: Buffer.from(data, "base64"), height, width }, steps);
  return { ...result, data: Array.from(result.data) };
});
console.log(JSON.stringify(results));
"""
IMAGES = {
    "photo": PHOTO,
    "odd size": PHOTO[:227, :201],
    "tall": PHOTO[:, :50],
    "wide": PHOTO[:37],
    "3 x 150": PHOTO[:3, :150],
    "8 x 8": PHOTO[:8, :8],
    "1 x 1": PHOTO[:1, :1],
    "noise": random_pixels((131, 173, 3)) // 128 * 255,
    "white": np.full((99, 157, 3), 255, "uint8"),
}
SIZES = [(8, 8), (40, 24), (37, 53), (224, 224)]


def prepare_in_node(images, steps):
    """Return what `transform.js` makes of RGB images."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    cases = []
    for seed, image in enumerate(images):
        alpha = random_pixels((*image.shape[:2], 1), seed)  # is dropped
        data = np.concatenate([image, alpha], axis=2).tobytes()
        cases.append(
            {
                "data": base64.b64encode(data).decode(),
                "height": image.shape[0],
                "width": image.shape[1],
                "steps": steps,
            }
        )
    result = subprocess.run(
        [
            node,
            "--input-type=module",
            "--eval",
            PROGRAM,
            run.ROOT / "examples/browser/transform.js",
        ],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return [
        np.reshape(one["data"], (one["height"], one["width"], one["channels"]))
        for one in json.loads(result.stdout)
    ]


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_are_those_of_the_evaluation_bit_for_bit(name, size, channels):
    prepared = prepare_in_node(IMAGES.values(), describe_transform(name, size, channels))
    for kind, image, pixels in zip(IMAGES, IMAGES.values(), prepared, strict=True):
        if channels == 1:
            image = np.asarray(Image.fromarray(image).convert("L"))[..., None]
        expected = prepare_image(image, name, size)[..., :channels]
        np.testing.assert_array_equal(pixels, expected, err_msg=kind)


def test_an_unknown_method_is_an_error():
    steps = describe_transform("resize", (8, 8), 3)
    steps[1]["method"] = "lanczos"
    with pytest.raises(AssertionError, match="does not know the resize method lanczos"):
        prepare_in_node([PHOTO], steps)
