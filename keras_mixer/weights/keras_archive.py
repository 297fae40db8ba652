"""`.keras` archive: the configuration of a model, and the HDF5 file with its arrays.

Only what Keras writes is read, so that a file can neither name another one nor claim more memory
than it takes on disk.
"""

import contextlib
import json
import math
import tempfile
import zipfile

import h5py

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


@contextlib.contextmanager
def open_keras_archive(path):
    """Yield the configuration in a `.keras` file, and the path of its HDF5 file, extracted.

    Args:
        path: Path of the archive, or the archive as an open file.

    Raises:
        ValueError: If it is not such an archive; zipfile, json and h5py have errors of their own.
    """
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        for name in (CONFIG, WEIGHTS):
            member = archive.getinfo(name)
            stored = member.compress_type == zipfile.ZIP_STORED
            if not stored or member.file_size != member.compress_size:
                raise ValueError(f"{name!r} is compressed, which Keras does not do")
        config = json.loads(archive.read(CONFIG))
        weights = archive.extract(WEIGHTS, folder)
        with h5py.File(weights, "r") as file:
            require_self_contained(file)
        yield config, weights


def require_self_contained(file):
    """Raise ValueError for links, and for arrays that are not in an HDF5 file contiguously."""

    def visit(name, item):  # follows neither soft nor external links
        if isinstance(item, h5py.Group):
            for key in item:
                if not isinstance(item.get(key, getlink=True), h5py.HardLink):
                    raise ValueError(f"{name}/{key} is a link, which Keras does not write")
        elif isinstance(item, h5py.Dataset):
            _require_contiguous(name, item)

    visit("", file)
    file.visititems(visit)


def _require_contiguous(name, dataset):
    if dataset.shape is None:
        raise ValueError(f"array {name!r} is empty")
    if dataset.chunks or dataset.is_virtual or dataset.external:
        raise ValueError(f"array {name!r} is not stored contiguously in the file")
    if dataset.id.get_storage_size() != dataset.dtype.itemsize * math.prod(dataset.shape):
        raise ValueError(f"array {name!r} is not as long as its shape {dataset.shape} says")
