"""Images that are decoded ahead of the model."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mixer.transforms import TRANSFORMS
from tests.support.image_files import READABLE, UNREADABLE, encode_oriented
from training.config import Data
from training.data import image_files
from training.data.decode import Encoded
from training.data.pipeline import evaluation_batches
from training.data.source import Source
from training.data.splits import IndexedSplit
from training.evaluation import prepared_images as module
from training.evaluation.prepared_images import PreparedImage, prepared_images

pytestmark = pytest.mark.backend("torch")  # images are decoded alike under every backend


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of image files of every kind that can be decoded, and of every EXIF orientation."""
    folder = tmp_path_factory.mktemp("images")
    contents = [contents for _, contents, _, _ in READABLE]
    contents += [encode_oriented("JPEG", orientation) for orientation in range(1, 9)]
    paths = [folder / f"{i}.jpg" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_pixels_are_those_of_evaluation_bit_for_bit(files, transform, channels):
    findings = image_files.inspect_files(files, files[0].parent)
    names = tf.constant([str(path) for path in files])
    orientations = tf.constant([finding.orientation for finding in findings])
    split = IndexedSplit(
        np.zeros(len(files), int), lambda i: Encoded(tf.io.read_file(names[i]), orientations[i])
    )
    source = Source(("a",), channels, split, split, split)
    data = Data(image_size=32, batch_size=len(files), evaluation_transform=transform)
    ((expected, *_),) = evaluation_batches(split, source, data)
    found = list(prepared_images(files, transform, (32, 32, channels), ahead=4))
    assert [image.path for image in found] == files
    np.testing.assert_array_equal([image.pixels for image in found], expected)


def test_files_that_cannot_be_decoded_have_the_reasons_of_training(tmp_path):
    paths = [tmp_path / name for name, _, _ in UNREADABLE]
    for path, (_, contents, _) in zip(paths, UNREADABLE, strict=True):
        path.write_bytes(contents)
    good = tmp_path / "good.jpg"
    good.write_bytes(READABLE[0][1])
    found = list(prepared_images([*paths, good], "resize", (8, 8, 3), ahead=3))
    findings = image_files.inspect_files(paths, tmp_path)
    assert [image.fault for image in found] == [*(f.fault for f in findings), ""]
    assert [image.pixels is None for image in found] == [True] * len(paths) + [False]


def test_paths_that_are_no_files_have_a_reason(tmp_path):
    paths = [tmp_path / "missing.jpg", tmp_path]
    faults = [image.fault for image in prepared_images(paths, "resize", (8, 8, 3), ahead=3)]
    assert faults[0] == "it cannot be opened: No such file or directory"
    assert faults[1] == "it cannot be opened: not a regular file but a folder"


def test_no_more_images_are_prepared_than_asked_for(monkeypatch):
    lock, begun, taken = threading.Lock(), [], 0

    def prepare(path, transform, shape):
        with lock:
            begun.append(path)
        time.sleep(0.001 * (path % 3))  # they end in another order
        return PreparedImage(path)

    monkeypatch.setattr(module, "_prepare", prepare)
    for image in prepared_images(range(50), "resize", (8, 8, 3), ahead=6):
        assert image.path == taken
        taken += 1
        time.sleep(0.002)
        assert len(begun) <= taken + 6
    assert taken == 50


def test_closing_stops_the_threads(monkeypatch):
    begun, gate, before = [], threading.Event(), {*threading.enumerate()}

    class Pool(ThreadPoolExecutor):
        """Opens the gate once no further image can begin."""

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            gate.set()
            super().shutdown(wait)

    def prepare(path, transform, shape):
        begun.append(path)
        assert path == 0 or gate.wait(60)
        return PreparedImage(path)

    monkeypatch.setattr(module, "_prepare", prepare)
    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(module, "cores", lambda: 2)
    images = prepared_images(range(1000), "resize", (8, 8, 3), ahead=100)
    assert next(images).path == 0
    images.close()
    assert len(begun) <= 3
    assert {*threading.enumerate()} <= before


def test_an_image_of_12_bits_in_16_is_named(tmp_path, capsys):
    for peak, is_warned in ((4095, True), (65535, False)):
        Image.fromarray(np.full((4, 4), peak, "uint16")).save(tmp_path / "scan.png")
        list(prepared_images([tmp_path / "scan.png"], "resize", (4, 4, 1), ahead=1))
        err = capsys.readouterr().err
        assert ("scan.png is almost black: its values reach 4095 of 65535" in err) == is_warned
