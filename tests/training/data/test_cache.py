"""The cache of encoded images, in memory and on disk."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.config import Augmentation, Data
from training.data import cache
from training.data.cache import cached
from training.data.pipeline import training_batches
from training.data.sources import digits, load_source
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # tf.data does this under every backend


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (10, 12 + i, 3)).astype("uint8")
            exif = Image.Exif()
            exif[0x0112] = 1 + i % 8
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.jpg", exif=exif)
    return Data(
        source=f"folder:{tmp_path / 'images'}",
        cache_dir=str(tmp_path / "cache"),
        image_size=8,
        batch_size=4,
    )


def batches(source, data):
    dataset = training_batches(source, data, Augmentation(), seed=0).take(12)
    return [
        np.concatenate([images.ravel(), labels.ravel()])
        for images, labels in dataset.as_numpy_iterator()
    ]


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_batches_from_the_cache_are_the_same_without_the_files(data, where, tmp_path):
    data = dataclasses.replace(data, cache=where)
    source = load_source(data)
    expected = batches(source, data)
    from_cache = cached(source, data)
    shutil.rmtree(tmp_path / "images")
    np.testing.assert_array_equal(batches(from_cache, data), expected)
    for split in cache.CACHED_SPLITS:
        assert len(getattr(from_cache, split)) == len(getattr(source, split))
    assert from_cache.test is source.test


def test_a_cache_on_disk_is_reused_only_for_the_same_images(data, tmp_path, monkeypatch):
    data = dataclasses.replace(data, cache="disk")
    expected = batches(cached(load_source(data), data), data)
    writes = []
    write = cache._write
    monkeypatch.setattr(cache, "_write", lambda *args: writes.append(args) or write(*args))
    np.testing.assert_array_equal(batches(cached(load_source(data), data), data), expected)
    assert not writes
    path = tmp_path / "images" / "cat" / "0.jpg"
    contents = path.read_bytes()
    path.write_bytes(contents[:-3] + bytes([contents[-3] ^ 1]) + contents[-2:])  # same size
    cached(load_source(data), data)
    assert len(writes) == 2
    (tmp_path / "images" / "cat" / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    skipping = dataclasses.replace(data, on_bad_image="skip")
    cached(load_source(skipping), skipping)
    assert len(writes) == 2


def test_an_interrupted_cache_is_written_again(data, monkeypatch):
    data = dataclasses.replace(data, cache="disk")
    source = load_source(data)

    def interrupted(examples, *_, **__):
        yield from examples.take(3)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache, "tqdm", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cached(source, data)
    np.testing.assert_array_equal(batches(cached(source, data), data), batches(source, data))


def test_two_processes_write_one_cache(data, monkeypatch):
    data = dataclasses.replace(data, cache="disk")
    source = load_source(data)
    write = cache._write

    def write_twice(split, part, folder):
        write(split, part, folder)  # by another process that was faster
        write(split, part, folder)

    monkeypatch.setattr(cache, "_write", write_twice)
    from_cache = cached(source, data)
    np.testing.assert_array_equal(batches(from_cache, data), batches(source, data))
    folders = sorted(path.name.partition("-")[0] for path in Path(data.cache_dir).iterdir())
    assert folders == ["train", "validation"]


def test_an_incomplete_cache_is_refused_with_a_next_step(data, tmp_path):
    data = dataclasses.replace(data, cache="disk")
    source = load_source(data)
    cached(source, data)
    (index,) = tmp_path.glob(f"cache/train-*/{cache.INDEX}")
    message = "must hold the complete train split.*Delete this folder"
    right = index.read_text()
    for wrong in ("", "{}", "5", "[1, 2]", "[[0], [1]]", '["a", "b"]', "[" * 10**5):
        index.write_text(wrong)
        with pytest.raises(UserError, match=message):
            cached(source, data)
    index.write_text(right)
    (index.parent / "0" / "3").unlink()
    with pytest.raises(UserError, match=rf"it has \d+ of \d+ images. {message[-18:]}"):
        cached(source, data)
    shutil.rmtree(index.parent)
    cached(source, data)


def test_pixels_in_memory_are_not_cached():
    data = Data(cache="memory")
    source = digits.load(data)
    assert cached(source, data) == source


def test_folders_that_cannot_be_written_are_refused(data, tmp_path):
    (tmp_path / "file").write_text("")
    data = dataclasses.replace(data, cache="disk", cache_dir=str(tmp_path / "file"))
    with pytest.raises(UserError, match="--cache-dir must be a folder that can be written"):
        cached(load_source(data), data)
