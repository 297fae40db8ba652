"""Features of image files in a `.npy` file that grows batch by batch, with their names beside."""

import contextlib
import json

import numpy as np

from training.evaluation.output_file import replacing_file

SUFFIX = ".npy"


def names_beside(path):
    """Return the path of the names for a file of features: `photos.json` for `photos.npy`."""
    return path.with_suffix(".json")


@contextlib.contextmanager
def feature_file(path, dim):
    """Return a context with a function that appends the features of images and their names.

    When the block ends, `path` is an array of float32, `(images, dim)`, and the file beside it a
    JSON list with the name of each row. If the block fails, neither is written.

    Args:
        path: Path of the `.npy` file.
        dim: Number of features of an image.
    """
    count = 0
    with replacing_file(path, "wb") as rows, replacing_file(names_beside(path)) as names:
        _write_header(rows, count, dim)
        names.write("[")

        def append(images, features):
            nonlocal count
            for image in images:
                names.write(",\n  " if count else "\n  ")
                names.write(json.dumps(image))
                count += 1
            rows.write(np.ascontiguousarray(features, "<f4").tobytes())

        yield append
        names.write("\n]\n")
        rows.seek(0)
        _write_header(rows, count, dim)


def _write_header(file, images, dim):
    """Write the header of the array, which NumPy pads so that the first axis can grow."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (images, dim)}
    np.lib.format.write_array_header_1_0(file, header)
