"""Images that a browser sends: checked before they are decoded, and never executed or stored."""

import io
import math
from typing import NamedTuple

from PIL import Image

from training.data.decode import DecodeError
from training.evaluation.prepared_images import prepare_contents


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
    size = _read_size(contents)
    if size and math.prod(size) > limits.pixels:
        raise DecodeError(
            f"it has {size[0]} × {size[1]} pixels, more than {limits.pixels:,} in total"
        )
    return prepare_contents(contents, transform, image_shape)


def _read_size(contents):
    """Return width and height of an image in pixels, from its header; None if it has no valid one.

    The decoder states the reason then.
    """
    try:
        with Image.open(io.BytesIO(contents)) as image:
            return image.size
    except MemoryError:
        raise
    except Exception:  # Pillow raises many types of errors for files it cannot read
        return None
