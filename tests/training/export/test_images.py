"""The images that exported models are compared on."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from keras_mixer.preprocessing import prepare_image
from tests.support.models import random_pixels
from tests.support.pixels import PHOTO
from training.config import Data
from training.data.source import Source
from training.data.splits import in_memory
from training.export.images import crop_photos, read_files, read_test_split

pytestmark = pytest.mark.backend("torch")  # NumPy and tf.data


@pytest.mark.parametrize("channels", [1, 3])
def test_crops_of_photos(channels):
    crops = crop_photos(6, "resmall-crop", (24, 32, channels))
    assert crops.shape == (6, 24, 32, channels) and crops.dtype == np.uint8
    assert len(np.unique(crops.reshape(6, -1), axis=0)) == 6
    assert crops.std(axis=(1, 2, 3)).min() > 10  # a photograph everywhere
    np.testing.assert_array_equal(crop_photos(3, "resmall-crop", (24, 32, channels)), crops[:3])


def test_files(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    (read,) = read_files([tmp_path / "photo.png"], "timm-bicubic", (32, 32, 3))
    np.testing.assert_array_equal(read, prepare_image(PHOTO, "timm-bicubic", 32))
    (gray,) = read_files([tmp_path / "photo.png"], "resize", (16, 24, 1))
    assert gray.shape == (16, 24, 1)


@pytest.mark.parametrize(("number", "kept"), [(4, [0, 2, 4, 6]), (9, range(9)), (99, range(9))])
def test_the_whole_test_split_is_sampled(number, kept):
    images = random_pixels((9, 8, 8, 1))
    split = in_memory(images, np.arange(9) % 3)
    nothing = dataclasses.replace(split, labels=split.labels[:0])
    source = Source(("a", "b", "c"), 1, nothing, nothing, split)
    read = read_test_split(source, Data(image_size=8), number)
    np.testing.assert_array_equal(read, images[list(kept)])
