"""Format of a checkpoint file: a zip archive of `progress.json` and NumPy arrays.

The arrays are called `GROUP/NUMBER.npy`: `trainable/0.npy`, `optimizer/3.npy`. `progress.json`
has the fields of `training.run.progress.Progress`, the number of arrays, and after version 0.1.0
what `training.run.named_weights` says about the weights.
"""

import dataclasses
import io
import json
import zipfile
import zlib

import numpy as np

from keras_mixer.files import open_regular
from training.run.progress import Progress

PROGRESS = "progress.json"
DESCRIPTION = ("weights", "numerics")  # for readers that do not have the model
# What reading a corrupt file raises; each array has a checksum.
CORRUPT = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,  # from zipfile, for a file that seems encrypted or of another version
    zipfile.BadZipFile,
    zlib.error,
)


def write_checkpoint_file(file, arrays, progress, description):
    """Write a checkpoint into an open binary file.

    Args:
        file: The file.
        arrays: `{"GROUP/NUMBER": array}`.
        progress: A `training.run.progress.Progress`.
        description: What the keys `DESCRIPTION` of `progress.json` hold.
    """
    with zipfile.ZipFile(file, "w") as archive:
        entries = {"arrays": len(arrays), **dataclasses.asdict(progress), **description}
        archive.writestr(PROGRESS, json.dumps(entries))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_checkpoint_file(path):
    """Return the arrays and the `Progress` of a checkpoint file.

    Raises:
        One of `CORRUPT`: If the file is corrupt or truncated.
    """
    arrays = {}
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        entries = json.loads(archive.read(PROGRESS))
        for name in archive.namelist():
            if name != PROGRESS:
                content = io.BytesIO(archive.read(name))  # which verifies its checksum
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(content)
    if len(arrays) != entries.pop("arrays"):
        raise ValueError("its directory does not list all of its arrays")
    entries["history"] = tuple(entries["history"])
    for key in DESCRIPTION:  # missing in checkpoints of version 0.1.0
        entries.pop(key, None)
    return arrays, Progress(**entries)
