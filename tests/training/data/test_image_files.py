"""Which files can be read: the defects of real folders, one by one."""

import errno
import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from training.data import image_files
from training.data.crop import decode
from training.data.splits import Encoded

pytestmark = pytest.mark.backend("tensorflow")  # tf.data alone does this

RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (9, 12, 3)).astype("uint8")
PIXELS = np.asarray(Image.fromarray(SMALL).resize((60, 45), Image.Resampling.BICUBIC))
IMAGE = Image.fromarray(PIXELS)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=100, subsampling=0, **options)
    return buffer.getvalue()


def png_of_16_bits(pixels):
    """An RGB PNG of 16 bits a channel, which Pillow cannot write."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)


def with_orientation(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(IMAGE, kind, exif=exif)


JPEG, PNG, WEBP = (encoded(IMAGE, kind) for kind in ("JPEG", "PNG", "WEBP"))
GIF, BMP = encoded(IMAGE.convert("P"), "GIF"), encoded(IMAGE, "BMP")
GREY = np.repeat(np.asarray(IMAGE.convert("L"))[..., None], 3, axis=2)
PALETTE = np.asarray(IMAGE.convert("P").convert("RGB"))
ANIMATED = {"save_all": True, "append_images": [Image.new("RGB", (60, 45))]}

# Name, contents, what a person would see, and how far pixels may be from it: JPEG is lossy.
READABLE = [
    ("a.jpg", JPEG, PIXELS, 30),
    ("progressive.jpeg", encoded(IMAGE, "JPEG", progressive=True), PIXELS, 30),
    ("grey.jpg", encoded(IMAGE.convert("L"), "JPEG"), GREY, 30),
    ("cmyk.jpg", encoded(IMAGE.convert("CMYK"), "JPEG"), PIXELS, 30),
    ("a.PNG", PNG, PIXELS, 0),
    ("rgba.png", encoded(IMAGE.convert("RGBA"), "PNG"), PIXELS, 0),
    ("palette.png", encoded(IMAGE.convert("P"), "PNG"), PALETTE, 0),
    ("see-through.png", encoded(IMAGE.convert("P"), "PNG", transparency=3), PALETTE, 0),
    ("16 bits.png", png_of_16_bits(PIXELS.astype("uint16") * 257), PIXELS, 0),
    (
        "grey 16 bits.png",
        encoded(Image.fromarray(GREY[..., 0].astype("uint16") * 257), "PNG"),
        GREY,
        0,
    ),
    ("black and white.png", encoded(IMAGE.convert("1"), "PNG"), None, 0),
    ("a.webp", encoded(IMAGE, "WEBP", lossless=True), PIXELS, 0),
    ("a.bmp", BMP, PIXELS, 0),
    ("grey.bmp", encoded(IMAGE.convert("L"), "BMP"), GREY, 0),
    ("a.gif", GIF, PALETTE, 0),
    ("animated.gif", encoded(IMAGE.convert("P"), "GIF", **ANIMATED), PALETTE, 0),
    ("really a png.jpg", PNG, PIXELS, 0),
    ("really a jpeg.png", JPEG, PIXELS, 30),
    ("one pixel.png", encoded(IMAGE.crop((0, 0, 1, 1)), "PNG"), PIXELS[:1, :1], 0),
    ("one pixel.jpg", encoded(IMAGE.crop((0, 0, 1, 1)), "JPEG"), PIXELS[:1, :1], 30),
]
UNREADABLE = [
    ("empty.jpg", b"", "it is empty"),
    ("text.jpg", b"not an image at all", "not an image that can be read"),
    ("half.jpg", JPEG[: len(JPEG) // 2], "JPEG data are damaged"),
    ("almost whole.jpg", JPEG[:-2], "JPEG data are damaged"),
    ("half.png", PNG[: len(PNG) // 2], "PNG data are damaged"),
    ("almost whole.png", PNG[:-4], "PNG data are damaged"),
    ("flipped.png", PNG[:2000] + bytes([PNG[2000] ^ 255]) + PNG[2001:], "PNG data are damaged"),
    ("half.gif", GIF[: len(GIF) // 2], "GIF data are damaged"),
    ("half.bmp", BMP[: len(BMP) // 2], "not an image that can be read"),
    ("half.webp", WEBP[: len(WEBP) // 2], "not an image that can be read|WEBP data are damaged"),
    ("animated.webp", encoded(IMAGE, "WEBP", **ANIMATED), "WEBP data are .* of an unknown kind"),
    ("really a tiff.png", encoded(IMAGE, "TIFF"), "TIFF data are .* of an unknown kind"),
    ("palette.bmp", encoded(IMAGE.convert("P"), "BMP"), "a BMP with a palette"),
    ("notes.txt", b"x", r"it is none of \.jpg"),
]


def examine(tmp_path, name, contents):
    path = tmp_path / name
    path.write_bytes(contents)
    return image_files.examine([path], tmp_path)[0]


@pytest.mark.parametrize("name, contents, seen, distance", READABLE, ids=lambda v: str(v)[:20])
def test_images_that_can_be_read(tmp_path, name, contents, seen, distance):
    assert examine(tmp_path, name, contents) == (None, 1)
    image = Encoded(tf.constant(contents), tf.constant(1))
    pixels = decode(image, 3).numpy().astype(int)
    if seen is None:
        assert set(np.unique(pixels)) == {0, 255}
    else:
        assert pixels.shape == seen.shape
        assert np.abs(pixels - seen).max() <= distance
        assert np.abs(pixels - seen).mean() <= distance / 6


@pytest.mark.parametrize("name, contents, fault", UNREADABLE, ids=lambda v: str(v)[:20])
def test_images_that_cannot_be_read(tmp_path, name, contents, fault):
    finding = examine(tmp_path, name, contents)
    assert finding.fault is not None
    assert re.search(fault, finding.fault)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_read(tmp_path, kind):
    for orientation in (1, 3, 6, 8):
        contents = with_orientation(kind, orientation)
        assert examine(tmp_path, "photo.jpg", contents) == (None, orientation)
    assert examine(tmp_path, "photo.jpg", with_orientation(kind, 9)) == (None, 1)


def test_links_to_nothing_and_images_too_large_to_open(tmp_path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (finding,) = image_files.examine([tmp_path / "link.jpg"], tmp_path)
    assert finding.fault == "it cannot be opened: No such file or directory"
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = PNG[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + PNG[33:]
    assert "exceeds limit" in examine(tmp_path, "bomb.png", bomb).fault


class TestMemory:
    @pytest.fixture
    def decoded(self, monkeypatch):
        """The paths that were decoded."""
        paths, examine = [], image_files._examine
        monkeypatch.setattr(
            image_files, "_examine", lambda path: paths.append(path.name) or examine(path)
        )
        return paths

    @pytest.fixture
    def files(self, tmp_path):
        paths = [tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg")]
        for path, contents in zip(paths, [JPEG, b"", with_orientation("JPEG", 6)], strict=True):
            path.write_bytes(contents)
        return paths

    def test_files_are_decoded_once(self, files, tmp_path, decoded):
        first = image_files.examine(files, tmp_path)
        assert first == [(None, 1), ("it is empty", 1), (None, 6)]
        assert sorted(decoded) == ["a.jpg", "b.jpg", "c.jpg"]
        assert image_files.examine(files, tmp_path) == first
        assert len(decoded) == 3

    def test_files_that_changed_are_decoded_again(self, files, tmp_path, decoded):
        image_files.examine(files, tmp_path)
        files[1].write_bytes(PNG)
        os.utime(files[0], (1, 1))  # as some tools do after copying
        decoded.clear()
        assert image_files.examine(files, tmp_path) == [(None, 1), (None, 1), (None, 6)]
        assert sorted(decoded) == ["a.jpg", "b.jpg"]

    def test_what_was_found_before_ctrl_c_is_kept(self, files, tmp_path, monkeypatch):
        def interrupted(findings, *_, **__):
            yield next(iter(findings))
            raise KeyboardInterrupt

        monkeypatch.setattr(image_files, "tqdm", interrupted)
        with pytest.raises(KeyboardInterrupt):
            image_files.examine(files, tmp_path)
        monkeypatch.undo()
        assert list(image_files._Memory(tmp_path).entries) == ["a.jpg"]

    def test_what_a_disk_refused_once_is_tried_again(self, files, tmp_path, monkeypatch):
        def refuse(path):
            raise OSError(errno.ESTALE, "Stale file handle")

        with monkeypatch.context() as patch:
            patch.setattr(image_files, "_look_at", refuse)
            first = image_files.examine(files, tmp_path)
        assert first == [("it cannot be opened: Stale file handle", 1)] * 3
        assert image_files.examine(files, tmp_path) == [(None, 1), ("it is empty", 1), (None, 6)]

    def test_a_memory_of_another_version_is_not_used(self, files, tmp_path, decoded, monkeypatch):
        image_files.examine(files, tmp_path)
        monkeypatch.setattr(image_files, "VERSION", [0, ""])
        decoded.clear()
        image_files.examine(files, tmp_path)
        assert len(decoded) == 3

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 5}', '{"version": 1}'])
    def test_a_damaged_memory_is_no_harm(self, files, tmp_path, decoded, text):
        image_files.examine(files, tmp_path)
        image_files._Memory(tmp_path).path.write_text(text)
        decoded.clear()
        image_files.examine(files, tmp_path)
        assert len(decoded) == 3

    def test_a_home_that_cannot_be_written_is_no_harm(self, files, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
        assert image_files.examine(files[:1], tmp_path) == [(None, 1)]
