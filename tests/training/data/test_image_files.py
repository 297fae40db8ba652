"""Inspection of the files in a folder, and the cache of its findings."""

import errno
import os

import pytest

from tests.support.image_files import JPEG, PNG, encode_oriented
from training.data import image_files

pytestmark = pytest.mark.backend("torch")  # tf.data decodes under every backend


def inspect(tmp_path, name, contents):
    path = tmp_path / name
    path.write_bytes(contents)
    return image_files.inspect_files([path], tmp_path)[0]


def test_files_with_other_suffixes_are_faults(tmp_path):
    finding = inspect(tmp_path, "notes.txt", PNG)
    assert finding.fault == "its name does not end in .jpg, .jpeg, .png, .bmp, .gif, .webp"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_found(tmp_path, kind):
    for orientation in (1, 3, 6, 8):
        contents = encode_oriented(kind, orientation)
        assert inspect(tmp_path, "photo.jpg", contents) == (None, orientation)
    assert inspect(tmp_path, "photo.jpg", encode_oriented(kind, 9)) == (None, 1)


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
        first = image_files.inspect_files(files, tmp_path)
        assert first == [(None, 1), ("it is empty", 1), (None, 6)]
        assert sorted(decoded) == ["a.jpg", "b.jpg", "c.jpg"]
        assert image_files.inspect_files(files, tmp_path) == first
        assert len(decoded) == 3

    def test_files_that_changed_are_decoded_again(self, files, tmp_path, decoded):
        image_files.inspect_files(files, tmp_path)
        files[1].write_bytes(PNG)
        os.utime(files[0], (1, 1))  # as some tools do after copying
        decoded.clear()
        assert image_files.inspect_files(files, tmp_path) == [(None, 1), (None, 1), (None, 6)]
        assert sorted(decoded) == ["a.jpg", "b.jpg"]

    def test_findings_before_an_interruption_are_saved(self, files, tmp_path, monkeypatch):
        def interrupted(findings, *_, **__):
            yield next(iter(findings))
            raise KeyboardInterrupt

        monkeypatch.setattr(image_files, "tqdm", interrupted)
        with pytest.raises(KeyboardInterrupt):
            image_files.inspect_files(files, tmp_path)
        monkeypatch.undo()
        assert list(image_files._FindingsCache(tmp_path).entries) == ["a.jpg"]

    def test_errors_of_the_file_system_are_not_cached(self, files, tmp_path, monkeypatch):
        def refuse(path):
            raise OSError(errno.ESTALE, "Stale file handle")

        with monkeypatch.context() as patch:
            patch.setattr(image_files, "_inspect", refuse)
            first = image_files.inspect_files(files, tmp_path)
        assert first == [("it cannot be opened: Stale file handle", 1)] * 3
        findings = image_files.inspect_files(files, tmp_path)
        assert findings == [(None, 1), ("it is empty", 1), (None, 6)]

    def test_a_cache_of_another_version_is_ignored(self, files, tmp_path, decoded, monkeypatch):
        image_files.inspect_files(files, tmp_path)
        monkeypatch.setattr(image_files, "VERSION", [0, ""])
        decoded.clear()
        image_files.inspect_files(files, tmp_path)
        assert len(decoded) == 3

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 5}', '{"version": 1}'])
    def test_a_corrupt_cache_is_ignored(self, files, tmp_path, decoded, text):
        image_files.inspect_files(files, tmp_path)
        image_files._FindingsCache(tmp_path).path.write_text(text)
        decoded.clear()
        image_files.inspect_files(files, tmp_path)
        assert len(decoded) == 3

    def test_a_read_only_home_is_accepted(self, files, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
        assert image_files.inspect_files(files[:1], tmp_path) == [(None, 1)]
