"""Decoder of image files, the same in training, evaluation and prediction.

TensorFlow decodes, since its operations run inside tf.data without Python. Pillow reads what
TensorFlow does not: the EXIF orientation.
"""

import io
import sys
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from keras_mixer.files import read_bytes
from training.data.brightness import FULL, find_peak, is_too_dark
from training.errors import UserError

FORMATS = "JPEG, PNG, BMP, GIF or WebP"
KINDS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "WEBP")  # Pillow's names; MPO is JPEG with previews
EXIF_ORIENTATION = 0x0112
LARGEST_FILE_BYTES = 2**28
UPRIGHT = 1  # the EXIF orientation of pixels that are stored as they are displayed
LUMA = (19595, 38470, 7471)  # ITU-R 601-2 in units of 1/65536, as in Pillow's convert("L")


class Encoded(NamedTuple):
    """The contents of an image file and its EXIF orientation, 1 to 8."""

    file: tf.Tensor
    orientation: tf.Tensor


class DecodeError(ValueError):
    """An image file cannot be decoded; the message completes "path: …"."""


def read_image(path, channels):
    """Return the image at `path` as upright uint8 pixels, `(height, width, channels)`.

    An image of 16 bits whose values use few of them is almost black, which is printed as a warning.

    Args:
        path: Path of an image file.
        channels: 1 or 3.

    Raises:
        UserError: If the file cannot be decoded; for the reasons that training gives.
    """
    try:
        contents = read_contents(path)
        pixels, _ = decode_contents(contents, channels)
    except (OSError, DecodeError) as error:
        reason = f"it cannot be opened: {error.strerror}" if isinstance(error, OSError) else error
        raise UserError(
            f"IMAGE must be an image file that can be decoded. Received: {path}: {reason}. "
            f"Pass a {FORMATS} file."
        ) from error
    peak, full = find_peak(contents, pixels)
    if full > FULL and is_too_dark(peak, full):
        print(
            f"warning: {path} is almost black: its values reach {peak} of {full}. Multiply them.",
            file=sys.stderr,
        )
    return pixels.numpy()


def read_contents(path):
    """Return the bytes of an image file; raise OSError unless it is a regular file."""
    return read_bytes(path, LARGEST_FILE_BYTES)


def decode_contents(contents, channels=3):
    """Check and decode the contents of an image file.

    Args:
        contents: Bytes of the file.
        channels: 1 or 3.

    Returns:
        Upright uint8 pixels, `(height, width, channels)`, and the EXIF orientation of the file.

    Raises:
        DecodeError: If the contents are not an image that TensorFlow can decode.
    """
    if not contents:
        raise DecodeError("it is empty")
    try:
        with Image.open(io.BytesIO(contents)) as image:
            kind, orientation = image.format, _read_orientation(image)
            # Other formats would be read by one library and decoded, as another one, by the other.
            if kind not in KINDS:
                raise DecodeError(f"its {kind} data are corrupt or not supported")
            reference = np.asarray(image.convert("RGB")) if kind == "BMP" else None
    except (MemoryError, DecodeError):
        raise
    except UnidentifiedImageError as error:
        raise DecodeError("it is not an image of a known format") from error
    except Exception as error:  # Pillow raises many types of errors for files it cannot read
        raise DecodeError(f"it is not a readable image: {_first_line(error)}") from error
    try:
        with tf.device("CPU"):
            # TensorFlow reads the palette indices of a BMP as gray levels.
            if reference is not None and not np.array_equal(reference, _decode_rgb(contents)):
                raise DecodeError("it is a BMP with a palette, or of a kind TensorFlow misreads")
            pixels = decode(Encoded(tf.constant(contents), tf.constant(orientation)), channels)
    except tf.errors.OpError as error:
        reason = _first_line(error)
        raise DecodeError(f"its {kind} data are corrupt or not supported: {reason}") from error
    return pixels, orientation


def decode(image, channels):
    """Return upright uint8 pixels, `(height, width, channels)`, inside a graph or eagerly.

    Only the first frame of an animation is decoded. Transparency is dropped, and 16-bit channels
    are truncated to their upper 8 bits.

    Args:
        image: `Encoded`, or uint8 pixels, which are returned.
        channels: 1 or 3.
    """
    if not isinstance(image, Encoded):
        return image
    pixels = _to_channels(_decode_rgb(image.file), channels)
    pixels = tf.cond(
        image.orientation == UPRIGHT,
        lambda: pixels,
        lambda: _apply_orientation(pixels, image.orientation),
    )
    return tf.ensure_shape(pixels, (None, None, channels))


def decode_jpeg_window(contents, window, channels):
    """Decode only the crop `[top, left, height, width]` of an upright JPEG.

    Near the edges of the crop, colors may differ from those of `decode`, because JPEG chroma is
    subsampled.
    """
    return _to_channels(tf.io.decode_and_crop_jpeg(contents, window, channels=3), channels)


def _decode_rgb(contents):
    return tf.io.decode_image(contents, channels=3, expand_animations=False)


def _to_channels(pixels, channels):
    """Convert RGB to gray for one channel; TensorFlow decodes only some formats to gray."""
    if channels == 3:
        return pixels
    luma = tf.reduce_sum(tf.cast(pixels, tf.int32) * LUMA, axis=-1, keepdims=True)
    return tf.cast((luma + 2**15) // 2**16, tf.uint8)


def _apply_orientation(pixels, orientation):
    """Return the pixels as they are displayed for an EXIF orientation of 1 to 8."""
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    flip_columns = tf.reduce_any(orientation == [2, 3, 6, 7])
    flip_rows = tf.reduce_any(orientation == [3, 4, 7, 8])
    pixels = tf.cond(flip_columns, lambda: tf.reverse(pixels, [1]), lambda: pixels)
    return tf.cond(flip_rows, lambda: tf.reverse(pixels, [0]), lambda: pixels)


def _read_orientation(image):
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, UPRIGHT)
    except Exception:  # EXIF data are often corrupt in valid images
        return UPRIGHT
    return orientation if orientation in range(1, 9) else UPRIGHT


def _first_line(error):
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    text = text.partition("}} ")[2] or text  # without the name of TensorFlow's node
    return text.partition(" [Op:")[0]
