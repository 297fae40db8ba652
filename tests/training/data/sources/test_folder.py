"""Folders of images as a source."""

import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support.splits import assert_refused, images_of, read_examples
from training.config import Data
from training.data.pipeline import evaluation_batches
from training.data.sources import load_source

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend


@pytest.fixture
def root(tmp_path):
    """Three classes of ten images each, with a gray level per class."""
    for split in ("train", "test"):
        for label, name in enumerate(["cat", "dog", "emu"]):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(10):
                suffix = ["jpg", "png", "BMP", "gif", "webp"][i % 5]
                image = Image.new("RGB", (20 + i, 15), (80 * label,) * 3)
                image.save(folder / f"{i}.{suffix}", quality=95)
            (folder / ".DS_Store").write_text("ignored")
    return tmp_path


def test_splits(root):
    source = load_source(Data(source=f"folder:{root}", validation_fraction=0.2))
    assert source.class_names == ("cat", "dog", "emu")
    assert source.channels == 3
    assert [len(s) for s in (source.train, source.validation, source.test)] == [24, 6, 30]
    for split in (source.train, source.validation, source.test):
        for image, label in zip(*read_examples(split), strict=True):
            pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
            assert abs(int(pixels[0, 0, 0]) - 80 * label) < 5


def test_splits_are_held_out_always_the_same(root):
    data = Data(source=f"folder:{root / 'train'}", test_fraction=0.2, validation_fraction=0.25)
    one, other = load_source(data), load_source(data)
    assert [len(s) for s in (one.train, one.validation, one.test)] == [18, 6, 6]
    assert images_of(one.test) == images_of(other.test)
    np.testing.assert_array_equal(np.bincount(read_examples(one.test)[1]), [2, 2, 2])


def test_invalid_folders(root, tmp_path):
    where = f"folder:{root}"
    assert_refused("nowhere must be a folder", source=f"folder:{root / 'nowhere'}")
    (root / "train" / "cat" / "kittens").mkdir()
    assert_refused("cat must not have folders, .* not nested. Received: kittens", source=where)
    (root / "train" / "cat" / "kittens").rmdir()
    (root / "train" / "cat" / "notes.txt").write_text("x")
    assert_refused(
        "1 of 61 files that cannot be decoded:\n.*notes.txt: its name does not end in .jpg",
        source=where,
    )
    (root / "train" / "cat" / "notes.txt").unlink()
    (root / "train" / "Dog").mkdir()
    assert_refused("differ in more than case .*Received: Dog and dog", source=where)
    (root / "train" / "Dog").rename(root / "train" / "fox")
    assert_refused("fox must have images that can be decoded. Received: none", source=where)
    (root / "train" / "fox").rename(root / "test" / "fox")
    assert_refused("no classes that train does not have. Received: fox", source=where)
    assert_refused(
        "at least two class folders. Received: none", source=f"folder:{root / 'test' / 'cat'}"
    )
    (root / "train").rename(root / "test" / "train")
    assert_refused("must have a folder train .* Received: test without train", source=where)


def test_invalid_images_are_listed_or_skipped(root):
    where = f"folder:{root}"
    (root / "train" / "cat" / "empty.jpg").write_bytes(b"")
    contents = (root / "test" / "dog" / "0.jpg").read_bytes()
    (root / "test" / "dog" / "half.jpg").write_bytes(contents[: len(contents) // 2])
    assert_refused(
        r"2 of 62 files that cannot be decoded:\n.*cat/empty.jpg: it is empty\n.*dog/half.jpg",
        source=where,
    )
    source = load_source(Data(source=where, on_bad_image="skip", validation_fraction=0.2))
    assert [len(s) for s in (source.train, source.validation, source.test)] == [24, 6, 30]
    assert [line.rpartition("/")[2].partition(":")[0] for line in source.skipped] == [
        "empty.jpg",
        "half.jpg",
    ]
    old = root / "train" / "cat" / "0.jpg"
    old.rename(os.fsdecode(bytes(old.parent / "caf") + b"\xe9.jpg"))  # as from an old archive
    renamed = load_source(Data(source=where, on_bad_image="skip", validation_fraction=0.0))
    assert len(read_examples(renamed.train)[0]) == 30
    for image in (root / "train" / "emu").glob("[0-9]*"):
        image.write_bytes(b"")
    message = "emu must have images that can be decoded"
    assert_refused(message, source=where, on_bad_image="skip")


def test_many_invalid_images_are_counted(root):
    for i in range(30):
        (root / "train" / "cat" / f"bad {i:02}.png").write_bytes(b"")
    assert_refused(
        "(?s)30 of 90 files that .*bad 09.png: it is empty\n  and 20 more", source=f"folder:{root}"
    )


def test_the_exif_orientation_is_applied(root):
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise: the left side is displayed at the top
    Image.fromarray(pixels).save(root / "test" / "cat" / "! photo.jpg", exif=exif)
    data = Data(source=f"folder:{root}", image_size=8)
    source = load_source(data)
    batch = next(iter(evaluation_batches(source.test, source, data)))
    photo = batch[0][0].numpy()
    assert photo[:4].min() > 200 and photo[4:].max() < 50
