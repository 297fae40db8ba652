"""Image files, decoded and resized by threads that are a bounded number of images ahead."""

import collections
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from keras_mixer.preprocessing import prepare_image
from keras_mixer.terminal import printable
from training.data.brightness import PNG_BIT_DEPTH, PNG_SIGNATURE, find_peak, is_too_dark
from training.data.decode import DecodeError, decode_contents, read_contents
from training.devices.cpu import cores

MOST_THREADS = 8  # each holds an image at its full size


class PreparedImage(NamedTuple):
    """An image file and its pixels, `(height, width, channels)`, uint8; or why there are none."""

    path: Path
    pixels: np.ndarray | None = None
    fault: str = ""
    warning: str = ""


def prepared_images(paths, transform, image_shape, ahead):
    """Yield a `PreparedImage` for each path, in order; close the generator to stop its threads.

    The pixels are those of evaluation, bit for bit. At no time are there more than `ahead` results
    that were not yielded yet, and as many images at their full size as there are threads.

    Args:
        paths: Paths of image files.
        transform: Name of the transform, of `keras_mixer.preprocessing`, that resizes images.
        image_shape: `(height, width, channels)` of the results.
        ahead: Number of images that are prepared before they are asked for.
    """

    def prepare(path):
        return _prepare(path, transform, image_shape)

    pool = ThreadPoolExecutor(min(cores(), MOST_THREADS, ahead))
    try:
        waiting: collections.deque[Future[PreparedImage]] = collections.deque()
        for path in paths:
            waiting.append(pool.submit(prepare, path))
            if len(waiting) == ahead:
                yield _with_warning(waiting.popleft().result())
        while waiting:
            yield _with_warning(waiting.popleft().result())
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(path, transform, image_shape):
    try:
        contents = read_contents(path)
        pixels = prepare_contents(contents, transform, image_shape)
    except OSError as error:
        return PreparedImage(path, fault=f"it cannot be opened: {error.strerror}")
    except DecodeError as error:
        return PreparedImage(path, fault=str(error))
    return PreparedImage(path, pixels, warning=_warn_of_darkness(path, contents))


def prepare_contents(contents, transform, image_shape):
    """Return the contents of an image file as uint8 pixels, `(height, width, channels)`.

    Args:
        contents: Bytes of the file.
        transform: Name of the transform, of `keras_mixer.preprocessing`, that resizes images.
        image_shape: `(height, width, channels)` of the result.

    Raises:
        DecodeError: If the contents are not an image that can be decoded.
    """
    height, width, channels = image_shape
    # No name refers to the pixels of full size, so that they are freed as early as possible.
    prepared = prepare_image(_decode(contents, channels), transform, (height, width))
    return prepared[..., :channels]  # the three channels of a gray image are equal


def _decode(contents, channels):
    pixels, _ = decode_contents(contents, channels)
    return np.asarray(pixels)


def _warn_of_darkness(path, contents):
    """Return the warning of `read_image` about values of 12 bits in a file of 16 bits, or ""."""
    # Only PNG can have 16 bits. The pixels, of 8 bits, are not asked for then.
    if not contents.startswith(PNG_SIGNATURE) or contents[PNG_BIT_DEPTH] != 16:
        return ""
    peak, full = find_peak(contents, None)
    if not is_too_dark(peak, full):
        return ""
    return f"{path} is almost black: its values reach {peak} of {full}. Multiply them."


def _with_warning(image):
    """Return an image after its warning was printed, above the progress bar if there is one."""
    if image.warning:
        tqdm.write(f"warning: {printable(image.warning)}", file=sys.stderr)
    return image
