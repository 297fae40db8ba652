"""The range of values that images use: almost black ones train to chance without an error.

Values on another scale than 0 to 255, such as 0 to 1, or 12 bits in files of 16, make all images
almost black.
"""

import shlex
import sys

import tensorflow as tf

from training.errors import UserError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_BIT_DEPTH = 24  # where its header has the bits per channel
FULL = 255
DARKEST = 64  # of 255: what the brightest pixel of a dataset has to reach


def is_too_dark(peak, full=FULL):
    """Return whether images are almost black.

    Args:
        peak: The largest value in all of them.
        full: The largest value that they could hold.
    """
    return peak * FULL < DARKEST * full


def find_peak(contents, pixels):
    """Return the largest value in an image and the largest that its file can hold.

    Of 16 bits, only the upper 8 are decoded, so that values of 12 bits become almost black.

    Args:
        contents: Bytes of the file.
        pixels: The uint8 pixels that `training.data.decode.decode_contents` returns for them.
    """
    is_png = contents.startswith(PNG_SIGNATURE)
    if is_png and contents[PNG_BIT_DEPTH] == 16:
        with tf.device("CPU"):
            values = tf.io.decode_png(contents, channels=3, dtype=tf.uint16)
        return int(values.numpy().max()), 2**16 - 1
    return int(pixels.numpy().max()), 2**8 - 1


def require_bright_files(folder, findings, is_all_test):
    """Refuse images that are almost black, those of 8 bits and those of 16 bits by themselves.

    To evaluate, 8 bits are only warned of: one class alone, such as night, may be that dark.

    Args:
        folder: Path of the folder of all images.
        findings: `{path: training.data.image_files.Finding}` of the valid files.
        is_all_test: Whether the images are only evaluated.

    Raises:
        UserError: If the largest value in all of them is below a quarter of what files can hold.
    """
    for bits in (8, 16):
        full = 2**bits - 1
        peaks = {path: found.peak for path, found in findings.items() if found.full == full}
        if peaks and is_too_dark(peak := max(peaks.values()), full):
            if is_all_test and bits == 8:
                print(
                    f"warning: the images in {folder} are almost black: their values reach {peak} "
                    f"of {full}. Multiply them, unless the model was trained on such images.",
                    file=sys.stderr,
                )
                continue
            raise UserError(
                f"--source folder: the images in {folder} must use the range of their files, 0 to "
                f"{full} with {bits} bits, because all are scaled alike. Received: {len(peaks)} "
                f"images of {bits} bits with values up to {peak}, which would be almost black. "
                f"{_advise(folder, peaks, peak, bits)}"
            )


def _advise(folder, paths, peak, bits):
    if not peak:
        return "Replace them; shapes in the transparency of a file are not read."
    factor = (2**bits - 1) // (2 ** peak.bit_length() - 1)
    suffixes = tuple(sorted({path.suffix for path in paths}))
    code = (
        "import pathlib, sys, tensorflow as tf; "
        "[tf.io.write_file(str(p), tf.io.encode_png(tf.io.decode_image(p.read_bytes(), 3, "
        f"tf.uint{bits}, expand_animations=False) * {factor})) "
        f'for p in pathlib.Path(sys.argv[1]).rglob("*") if p.suffix in {suffixes}]'
    ).replace("'", '"')
    command = shlex.join([sys.executable, "-c", code, str(folder)])
    return f"Multiply the values, in a copy of the folder if you need the originals:\n{command}"
