"""The decoder: the same pixels in training, evaluation and prediction, and the same refusals."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_mixer.preprocessing import prepare_image
from tests.support.image_files import (
    IMAGE,
    PIXELS,
    READABLE,
    UNREADABLE,
    encode,
    encode_oriented,
)
from training.config import Augmentation, Data
from training.data import image_files
from training.data.decode import Encoded, decode, decode_jpeg_window, read_image
from training.data.pipeline import evaluation_batches, training_batches
from training.data.source import Source
from training.data.splits import IndexedSplit
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # tf.data decodes under every backend

SIDE = 40
SQUARE = IMAGE.crop((0, 0, SIDE, SIDE))


def square(kind, mode="RGB", **options):
    """The contents of a square image, which needs no resizing."""
    return encode(SQUARE.convert(mode), kind, **options)


SQUARES = [contents for _, contents, pixels, _ in READABLE if pixels.shape[:2] == (1, 1)] + [
    square("JPEG"),
    square("JPEG", quality=75, subsampling=2),
    square("JPEG", progressive=True),
    square("JPEG", "L"),
    square("JPEG", "CMYK"),
    square("PNG"),
    square("PNG", "RGBA"),
    square("PNG", "LA"),
    square("PNG", "P", transparency=3),
    square("GIF", "P", save_all=True, append_images=[Image.new("P", (SIDE, SIDE))]),
    square("WEBP", lossless=True),
    square("WEBP", quality=50),
    square("BMP"),
    encode(Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, -1) * 40), "PNG"),
]
ORIENTED = [
    encode_oriented(kind, orientation, SQUARE)
    for kind in ("JPEG", "PNG", "WEBP")
    for orientation in range(1, 9)
]
SAME = SQUARES + ORIENTED


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of image files of the kinds that training accepts."""
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{i}.jpg" for i in range(len(SAME))]
    for path, contents in zip(paths, SAME, strict=True):
        path.write_bytes(contents)
    findings = image_files.inspect_files(paths, folder)
    assert all(finding.fault is None for finding in findings)
    return paths, [finding.orientation for finding in findings]


def load(files, channels):
    """Return a source whose image of class i is file i, as `folder:PATH` reads them."""
    paths = tf.constant([str(path) for path in files[0]])
    orientations = tf.constant(files[1])
    split = IndexedSplit(
        np.arange(len(SAME)), lambda i: Encoded(tf.io.read_file(paths[i]), orientations[i])
    )
    return Source(tuple(map(str, range(len(SAME)))), channels, split, split, split)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", [SIDE, 24])
def test_training_evaluation_and_prediction_see_the_same_pixels(files, channels, image_size):
    source = load(files, channels)
    data = Data(image_size=image_size, batch_size=len(SAME), evaluation_transform="resize")
    ((evaluated, labels, _),) = evaluation_batches(source.test, source, data)
    np.testing.assert_array_equal(labels.numpy().argmax(axis=1), np.arange(len(SAME)))
    ((batch, labels),) = training_batches(source, data, Augmentation(), seed=0).take(1)
    trained = batch.numpy()[np.argsort(labels.numpy().argmax(axis=1))]
    predicted = [
        prepare_image(read_image(path, channels), "resize", image_size)[..., :channels]
        for path in files[0]
    ]
    np.testing.assert_array_equal(evaluated, predicted)
    np.testing.assert_array_equal(trained, predicted)
    assert len({image.tobytes() for image in predicted}) > len(SAME) / 2


@pytest.mark.parametrize("name, contents, expected, tolerance", READABLE, ids=lambda v: str(v)[:20])
def test_readable_images(tmp_path, name, contents, expected, tolerance):
    path = tmp_path / name
    path.write_bytes(contents)
    (finding,) = image_files.inspect_files([path], tmp_path)
    assert finding[:2] == (None, 1)
    pixels = read_image(path, 3)
    assert (pixels.dtype, pixels.shape) == (np.uint8, expected.shape)
    difference = np.abs(pixels.astype(int) - expected)
    assert difference.max() <= tolerance
    assert difference.mean() <= tolerance / 6


@pytest.mark.parametrize("name, contents, reason", UNREADABLE, ids=lambda v: str(v)[:20])
def test_training_and_prediction_refuse_the_same_files_for_the_same_reason(
    tmp_path, name, contents, reason
):
    path = tmp_path / name
    path.write_bytes(contents)
    (finding,) = image_files.inspect_files([path], tmp_path)
    with pytest.raises(UserError, match=reason) as error:
        read_image(path, 3)
    assert str(error.value) == (
        f"IMAGE must be an image file that can be decoded. Received: {path}: {finding.fault}. "
        "Pass a JPEG, PNG, BMP, GIF or WebP file."
    )


def test_files_that_cannot_be_opened_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing.png"):
        with pytest.raises(UserError, match=f"Received: {path}: it cannot be opened: "):
            read_image(path, 3)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP"])
def test_colors_become_gray_as_with_pillow(tmp_path, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / "image"
    path.write_bytes(encode(IMAGE, kind, **options))
    expected = np.asarray(Image.open(path).convert("RGB").convert("L"))[..., None]
    np.testing.assert_array_equal(read_image(path, 1), expected)


def test_gray_and_color_files_for_models_of_either(tmp_path):
    Image.new("L", (4, 4), 7).save(tmp_path / "gray.png")
    Image.new("RGB", (9, 6), (7, 7, 7)).save(tmp_path / "color.png")
    for name, shape in [("gray.png", (4, 4)), ("color.png", (6, 9))]:
        for channels in (1, 3):
            image = read_image(tmp_path / name, channels)
            assert image.shape == (*shape, channels) and image.dtype == np.uint8
            assert np.all(image == 7)


def test_the_upper_8_of_16_bits_are_read(tmp_path):
    ramp = np.arange(0, 65536, 13, dtype=np.uint16)[None]
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    np.testing.assert_array_equal(read_image(tmp_path / "ramp.png", 1)[..., 0], ramp >> 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_as_with_pillow(tmp_path, orientation):
    contents = encode_oriented("PNG", orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))))
    image = Encoded(tf.constant(contents), tf.constant(orientation))
    np.testing.assert_array_equal(tf.function(decode)(image, 3), expected)
    (tmp_path / "image.png").write_bytes(contents)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 3), expected)


def test_the_window_of_a_jpeg_is_that_of_the_whole_image():
    contents = tf.constant(encode(IMAGE, "JPEG"))
    whole = decode(Encoded(contents, tf.constant(1)), 3).numpy()
    for channels in (1, 3):
        part = decode_jpeg_window(contents, [8, 16, 24, 32], channels).numpy()
        assert part.shape == (24, 32, channels)
    # Without chroma subsampling, a crop decodes to the same pixels.
    np.testing.assert_array_equal(part, whole[8:32, 16:48])
    assert np.abs(whole.astype(int) - PIXELS).mean() < 5
