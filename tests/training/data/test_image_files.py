"""Inspection of the files in a folder, and the cache of its findings."""

import errno
import json
import os

import numpy as np
import pytest
from PIL import Image

from tests.support.image_files import JPEG, PNG, encode, encode_oriented, encode_png_16_bits
from training.data import image_files

pytestmark = pytest.mark.backend("torch")  # tf.data decodes under every backend


def inspect(tmp_path, name, contents):
    path = tmp_path / name
    path.write_bytes(contents)
    return image_files.inspect_files([path], tmp_path)[0]


def inspect_files(files, root):
    """Return the fault and the orientation of each file."""
    return [found[:2] for found in image_files.inspect_files(files, root)]


def test_files_with_other_suffixes_are_faults(tmp_path):
    finding = inspect(tmp_path, "notes.txt", PNG)
    assert finding.fault == "its name does not end in .jpg, .jpeg, .png, .bmp, .gif, .webp"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_found(tmp_path, kind):
    for orientation in (1, 3, 6, 8):
        contents = encode_oriented(kind, orientation)
        assert inspect(tmp_path, "photo.jpg", contents)[:2] == (None, orientation)
    assert inspect(tmp_path, "photo.jpg", encode_oriented(kind, 9))[:2] == (None, 1)


def test_the_largest_value_is_found(tmp_path):
    pixels = np.zeros((4, 4, 3), "uint16")
    pixels[1, 2, 1] = 3000
    assert inspect(tmp_path, "scan.png", encode_png_16_bits(pixels)) == (None, 1, 3000, 65535)
    gray = Image.fromarray(pixels[..., 1])
    assert inspect(tmp_path, "gray.png", encode(gray, "PNG")) == (None, 1, 3000, 65535)
    clear = Image.fromarray(np.uint8([[[7, 9, 255]]]).repeat(4, 1)[..., [0, 1, 0, 2]])
    assert inspect(tmp_path, "clear.png", encode(clear, "PNG")) == (None, 1, 9, 255)


def test_broken_links_are_faults(tmp_path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (finding,) = image_files.inspect_files([tmp_path / "link.jpg"], tmp_path)
    assert finding.fault == "it cannot be opened: No such file or directory"


class TestFindingsCache:
    @pytest.fixture
    def decoded(self, monkeypatch):
        """The names of the files that were decoded."""
        names, inspect = [], image_files._inspect_with_stamp
        monkeypatch.setattr(
            image_files,
            "_inspect_with_stamp",
            lambda path: names.append(path.name) or inspect(path),
        )
        return names

    @pytest.fixture
    def files(self, tmp_path):
        paths = [tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg")]
        for path, contents in zip(paths, [JPEG, b"", encode_oriented("JPEG", 6)], strict=True):
            path.write_bytes(contents)
        return paths

    def test_files_are_decoded_once(self, files, tmp_path, decoded):
        first = inspect_files(files, tmp_path)
        assert first == [(None, 1), ("it is empty", 1), (None, 6)]
        assert sorted(decoded) == ["a.jpg", "b.jpg", "c.jpg"]
        assert inspect_files(files, tmp_path) == first
        assert len(decoded) == 3

    def test_files_that_changed_are_decoded_again(self, files, tmp_path, decoded):
        inspect_files(files, tmp_path)
        files[1].write_bytes(PNG)
        os.utime(files[0], (1, 1))  # as some tools do after copying
        decoded.clear()
        assert inspect_files(files, tmp_path) == [(None, 1), (None, 1), (None, 6)]
        assert sorted(decoded) == ["a.jpg", "b.jpg"]

    def test_findings_before_an_interruption_are_saved(self, files, tmp_path, monkeypatch):
        def interrupted(findings, *_, **__):
            yield next(iter(findings))
            raise KeyboardInterrupt

        monkeypatch.setattr(image_files, "tqdm", interrupted)
        with pytest.raises(KeyboardInterrupt):
            inspect_files(files, tmp_path)
        monkeypatch.undo()
        assert list(image_files._FindingsCache(tmp_path).entries) == ["a.jpg"]

    def test_errors_of_the_file_system_are_not_cached(self, files, tmp_path, monkeypatch):
        def refuse(path):
            raise OSError(errno.ESTALE, "Stale file handle")

        with monkeypatch.context() as patch:
            patch.setattr(image_files, "_inspect", refuse)
            first = inspect_files(files, tmp_path)
        assert first == [("it cannot be opened: Stale file handle", 1)] * 3
        findings = inspect_files(files, tmp_path)
        assert findings == [(None, 1), ("it is empty", 1), (None, 6)]

    def test_a_cache_of_another_version_is_ignored(self, files, tmp_path, decoded, monkeypatch):
        inspect_files(files, tmp_path)
        monkeypatch.setattr(image_files, "VERSION", [0, ""])
        decoded.clear()
        inspect_files(files, tmp_path)
        assert len(decoded) == 3

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 5}', '{"version": 1}'])
    def test_a_corrupt_cache_is_ignored(self, files, tmp_path, decoded, text):
        inspect_files(files, tmp_path)
        image_files._FindingsCache(tmp_path).path.write_text(text)
        decoded.clear()
        inspect_files(files, tmp_path)
        assert len(decoded) == 3

    @pytest.mark.parametrize(
        "change",
        [
            lambda entry: 5,
            lambda entry: [],
            lambda entry: entry[:1],
            lambda entry: entry[:-1],
            lambda entry: [*entry, 1],
            lambda entry: {"a": 1},
            lambda entry: [entry[0], 5, *entry[2:]],
            lambda entry: [*entry[:2], 99, *entry[3:]],
            lambda entry: [*entry[:2], "1", *entry[3:]],
        ],
    )
    def test_a_corrupt_entry_is_ignored(self, files, tmp_path, decoded, change):
        expected = inspect_files(files, tmp_path)
        path = image_files._FindingsCache(tmp_path).path
        contents = json.loads(path.read_text())
        contents["entries"] = {k: change(v) for k, v in contents["entries"].items()}
        path.write_text(json.dumps(contents))
        decoded.clear()
        assert inspect_files(files, tmp_path) == expected
        assert len(decoded) == 3

    def test_a_read_only_home_is_accepted(self, files, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
        assert inspect_files(files[:1], tmp_path) == [(None, 1)]
