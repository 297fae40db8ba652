"""Zip archives of arrays in npy format, checked before anything in them is read."""

import math
import os
import zipfile

import numpy as np

# Weights in float32 compress that far only if each has a single bit of information, as in an
# archive that was made to fill memory or the disk.
LARGEST_COMPRESSION = 32
HARMLESS_BYTES = 2**26  # that an archive may have in any case


def open_archive(file, compressed=True):
    """Return the `ZipFile` in an open file.

    Args:
        file: The file, at any position.
        compressed: Whether members may be compressed.

    Raises:
        ValueError: If the members would take more memory than weights do, or are stored in a way
            that programs which write weights do not use.
        zipfile.BadZipFile: If it is not a zip archive.
    """
    archive = zipfile.ZipFile(file)
    try:
        _check_members(archive.infolist(), os.fstat(file.fileno()).st_size, compressed)
    except ValueError:
        archive.close()
        raise
    return archive


def _check_members(members, num_bytes, compressed):
    allowed = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) if compressed else (zipfile.ZIP_STORED,)
    names = set()
    for member in members:
        name = member.filename
        if name in names:
            raise ValueError(f"it holds {name!r} twice")
        names.add(name)
        if member.compress_type not in allowed:
            method = member.compress_type
            raise ValueError(f"{name!r} is compressed with method {method}, which is not read here")
    if sum(member.compress_size for member in members) > num_bytes:
        raise ValueError("its members overlap")
    claimed = sum(member.file_size for member in members)
    largest = max(HARMLESS_BYTES, LARGEST_COMPRESSION * num_bytes) if compressed else num_bytes
    if claimed > largest:
        raise ValueError(
            f"it has {num_bytes:,} bytes and claims to hold {claimed:,}, more than weights can be "
            "compressed to"
        )


def read_header(archive, member):
    """Return the shape and the dtype of an array.

    Raises:
        ValueError: If the array is not as long as they say.
    """
    with archive.open(member) as file:
        return parse_header(file, repr(member.filename), member.file_size)


def parse_header(file, name, num_bytes):
    """Return the shape and the dtype of the array in an open npy file; see `read_header`.

    Args:
        file: The file, at its start.
        name: What messages call it.
        num_bytes: Its length.
    """
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # the later ones are for structured arrays
        raise ValueError(f"{name} has version {version} of the npy format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if min(shape, default=0) < 0:
        raise ValueError(f"{name} has the shape {shape}")
    if num_bytes != file.tell() + dtype.itemsize * math.prod(shape) and not dtype.hasobject:
        raise ValueError(f"{name} is not as long as its shape {shape} says")
    return shape, dtype


def read_array(archive, member):
    """Return an array whose header has been read; arrays of Python objects are ValueErrors."""
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
