"""Writers of weight files that take one array at a time, so that only one is in memory."""

import json
import math
import zipfile

import numpy as np


def write_npz(path, arrays):
    """Write an iterable of `(name, array)`, as `np.savez` does."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def write_safetensors(path, arrays, shapes, metadata):
    """Write float32 arrays in the format that https://github.com/huggingface/safetensors defines.

    Args:
        path: Path of the file.
        arrays: Iterable of `(name, array)`.
        shapes: `{name: shape}` in the order of `arrays`.
        metadata: Strings by name.
    """
    header, end = {"__metadata__": metadata}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, array in arrays:
            assert array.shape == shapes[name], name
            file.write(np.ascontiguousarray(array, "<f4").data)
