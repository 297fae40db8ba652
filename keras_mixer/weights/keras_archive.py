"""`.keras` archive: the configuration of a model, and the HDF5 file with its arrays.

Only what Keras writes is read, so that a file can neither name another one nor claim more memory
than it takes on disk.
"""

import contextlib
import json
import math
import os
import tempfile

import h5py

from keras_mixer.weights.archives import open_archive


@contextlib.contextmanager
def open_keras_archive(file):
    """Yield the configuration in an open `.keras` file, and the path of its HDF5 file, extracted.

    Raises:
        ValueError: If it is not such an archive; zipfile and json have errors of their own.
    """
    with open_archive(file, compressed=False) as archive, tempfile.TemporaryDirectory() as folder:
        config = json.loads(archive.read("config.json"))
        yield config, archive.extract("model.weights.h5", folder)


@contextlib.contextmanager
def open_h5(file):
    """Yield the `h5py.File` in an open file.

    Raises:
        ValueError: If it has links, or arrays that are not completely and contiguously in it.
        OSError: If it is not an HDF5 file.
    """
    with h5py.File(file, "r") as opened:
        num_bytes = 0

        def visit(name, item):  # follows neither soft nor external links
            nonlocal num_bytes
            if isinstance(item, h5py.Dataset):
                num_bytes += _check_array(name, item)
                return
            for key in item:
                if not isinstance(item.get(key, getlink=True), h5py.HardLink):
                    raise ValueError(f"{name}/{key} is a link, which Keras does not write")

        visit("", opened)
        opened.visititems(visit)
        if num_bytes > os.fstat(file.fileno()).st_size:
            raise ValueError("its arrays overlap")
        yield opened


def _check_array(name, dataset):
    """Return the number of bytes of an array; raise ValueError if they are not in the file."""
    if dataset.shape is None:
        raise ValueError(f"array {name!r} is empty")
    if dataset.chunks or dataset.is_virtual or dataset.external:
        raise ValueError(f"array {name!r} is not stored contiguously in the file")
    num_bytes = dataset.dtype.itemsize * math.prod(dataset.shape)
    if dataset.id.get_storage_size() != num_bytes:
        raise ValueError(f"array {name!r} is not as long as its shape {dataset.shape} says")
    return num_bytes
