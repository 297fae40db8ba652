"""Images that a browser sends: checked before they are decoded, and never executed or stored."""

import contextlib
import io
import struct
from typing import NamedTuple

from PIL import Image

from training.data.decode import DecodeError
from training.evaluation.prepared_images import prepare_contents

GIF = b"GIF8"
EXTENSION, FRAME = 0x21, 0x2C  # first byte of a block of a GIF


class Limits(NamedTuple):
    """The largest file, in bytes, and the largest image, in pixels, that is accepted."""

    num_bytes: int
    pixels: int


def prepare_upload(contents, limits, transform, image_shape):
    """Return an uploaded file as uint8 pixels, `(height, width, channels)`.

    Args:
        contents: Bytes of the file.
        limits: The `Limits`.
        transform: Name of the transform, of `keras_mixer.preprocessing`, that resizes images.
        image_shape: `(height, width, channels)` of the result.

    Raises:
        DecodeError: If it is too large, or cannot be decoded.
    """
    pixels = _count_pixels(contents)
    if pixels > limits.pixels:
        raise DecodeError(f"it has {pixels:,} pixels, more than {limits.pixels:,}")
    return prepare_contents(contents, transform, image_shape)


def _count_pixels(contents):
    """Return the number of pixels that are decoded, from the header; 0 if it is not valid.

    The decoder states the reason then.
    """
    try:
        with Image.open(io.BytesIO(contents)) as image:
            width, height = image.size
    except MemoryError:
        raise
    except Exception:  # Pillow raises many types of errors for files it cannot read
        return 0
    return max(width * height, _count_gif_pixels(contents) if contents.startswith(GIF) else 0)


def _count_gif_pixels(contents):
    """Return the pixels of all frames of a GIF: TensorFlow decodes all, to return the first."""
    pixels = 0
    with contextlib.suppress(IndexError, struct.error):  # truncated, as the decoder says
        at = 13 + _table_bytes(contents[10])
        while contents[at] in (EXTENSION, FRAME):
            if contents[at] == FRAME:
                width, height, flags = struct.unpack_from("<HHB", contents, at + 5)
                pixels += width * height
                at += 11 + _table_bytes(flags)
            else:
                at += 2
            while contents[at]:  # sub-blocks, each after its length
                at += 1 + contents[at]
            at += 1
    return pixels


def _table_bytes(flags):
    """Return the bytes of a table of colors in a GIF."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
