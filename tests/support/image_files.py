"""Contents of image files of every kind that a folder may hold, valid and invalid."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 60, 45
_NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype("uint8"))
IMAGE = _NOISE.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
PIXELS = np.asarray(IMAGE)
GRAY = np.repeat(np.asarray(IMAGE.convert("L"))[..., None], 3, axis=2)
PALETTE = np.asarray(IMAGE.convert("P").convert("RGB"))
BLACK_AND_WHITE = np.asarray(IMAGE.convert("1").convert("RGB"))
ANIMATED = {"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT))]}


def encode(image, kind, **options):
    """Return the contents of a file; JPEG with the highest quality."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 100, "subsampling": 0} | options))
    return buffer.getvalue()


def encode_oriented(kind, orientation, image=IMAGE, **options):
    """Return the contents of a file with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, kind, exif=exif, **options)


def _chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def encode_png_16_bits(pixels):
    """Return an RGB PNG of 16 bits per channel, which Pillow cannot write."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*parts) for parts in chunks)


def png_of_size(width, height):
    """Return a PNG whose header claims a size that its data do not have."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]


JPEG, PNG, WEBP = (encode(IMAGE, kind) for kind in ("JPEG", "PNG", "WEBP"))
GIF, BMP = encode(IMAGE.convert("P"), "GIF"), encode(IMAGE, "BMP")

# Name, contents, the pixels that a person sees, and the tolerance: JPEG is lossy.
READABLE = [
    ("a.jpg", JPEG, PIXELS, 30),
    ("progressive.jpeg", encode(IMAGE, "JPEG", progressive=True), PIXELS, 30),
    ("gray.jpg", encode(IMAGE.convert("L"), "JPEG"), GRAY, 30),
    ("cmyk.jpg", encode(IMAGE.convert("CMYK"), "JPEG"), PIXELS, 30),
    ("a.PNG", PNG, PIXELS, 0),
    ("rgba.png", encode(IMAGE.convert("RGBA"), "PNG"), PIXELS, 0),
    ("gray alpha.png", encode(IMAGE.convert("LA"), "PNG"), GRAY, 0),
    ("palette.png", encode(IMAGE.convert("P"), "PNG"), PALETTE, 0),
    ("transparent.png", encode(IMAGE.convert("P"), "PNG", transparency=3), PALETTE, 0),
    ("16 bits.png", encode_png_16_bits(PIXELS.astype("uint16") * 257), PIXELS, 0),
    (
        "gray 16 bits.png",
        encode(Image.fromarray(GRAY[..., 0].astype("uint16") * 257), "PNG"),
        GRAY,
        0,
    ),
    ("black and white.png", encode(IMAGE.convert("1"), "PNG"), BLACK_AND_WHITE, 0),
    ("a.webp", encode(IMAGE, "WEBP", lossless=True), PIXELS, 0),
    ("a.bmp", BMP, PIXELS, 0),
    ("gray.bmp", encode(IMAGE.convert("L"), "BMP"), GRAY, 0),
    ("a.gif", GIF, PALETTE, 0),
    ("animated.gif", encode(IMAGE.convert("P"), "GIF", **ANIMATED), PALETTE, 0),
    ("really a png.jpg", PNG, PIXELS, 0),
    ("really a jpeg.png", JPEG, PIXELS, 30),
    ("one pixel.png", encode(IMAGE.crop((0, 0, 1, 1)), "PNG"), PIXELS[:1, :1], 0),
    ("one pixel.jpg", encode(IMAGE.crop((0, 0, 1, 1)), "JPEG"), PIXELS[:1, :1], 30),
]
# Name, contents, and the reason in the message.
UNREADABLE = [
    ("empty.jpg", b"", "it is empty"),
    ("text.jpg", b"not an image at all", "not an image of a known format"),
    ("half.jpg", JPEG[: len(JPEG) // 2], "JPEG data are corrupt"),
    ("without end.jpg", JPEG[:-2], "JPEG data are corrupt"),
    ("half.png", PNG[: len(PNG) // 2], "PNG data are corrupt"),
    ("without end.png", PNG[:-4], "PNG data are corrupt"),
    ("flipped.png", PNG[:2000] + bytes([PNG[2000] ^ 255]) + PNG[2001:], "PNG data are corrupt"),
    ("half.gif", GIF[: len(GIF) // 2], "GIF data are corrupt"),
    ("half.bmp", BMP[: len(BMP) // 2], "not a readable image"),
    ("half.webp", WEBP[: len(WEBP) // 2], "not a readable image|WEBP data are corrupt"),
    ("animated.webp", encode(IMAGE, "WEBP", **ANIMATED), "WEBP data are .* not supported"),
    ("really a tiff.png", encode(IMAGE, "TIFF"), "TIFF data are .* not supported"),
    ("palette.bmp", encode(IMAGE.convert("P"), "BMP"), "a BMP with a palette"),
    ("too large.png", png_of_size(60_000, 60_000), "exceeds limit"),
]
