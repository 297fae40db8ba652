"""Files of named arrays, recognized by content and read safely.

The formats are .npz, .safetensors, Keras's .weights.h5 and .keras, and the checkpoints of this
project's training runs, which `_open_checkpoint` describes. Opening a file reads names and shapes
only; arrays are read one at a time. Whatever a file claims is checked before memory is allocated
for it, and nothing in a file is ever executed.
"""

import contextlib
import dataclasses
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import safetensors

from keras_mixer.files import NotRegularFileError, open_regular
from keras_mixer.weights.archives import open_archive, read_array, read_header
from keras_mixer.weights.keras_archive import open_h5, open_keras_archive

PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
READABLE = ".npz, .safetensors, .weights.h5, .keras and checkpoints of training runs"
PROGRESS = "progress.json"  # what makes an archive a checkpoint
GET_AGAIN = "The file is corrupt or truncated: download it or write it again."


class WeightsError(ValueError):
    """A weight file that cannot be used; the message names the file and the cause."""

    def __init__(self, path, cause, advice):
        # Names in a file can hold anything, such as commands to the terminal.
        cause = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cause)
        super().__init__(f"Weight file {str(path)!r}: {cause} {advice}")
        self.cause = cause


@dataclasses.dataclass(frozen=True)
class ArrayFile:
    """An open file of named arrays."""

    path: Path
    format: str  # "npz", "safetensors", "h5", "keras" or "checkpoint"
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]  # NumPy's names
    read_array: Callable[[str], np.ndarray]
    # safetensors: its strings; keras: the model's configuration; checkpoint: "numerics", if any
    metadata: dict

    def read(self, name):
        """Return one array; raise WeightsError unless all of its values are finite."""
        with _as_weights_error(self.path, f"array {name!r} cannot be read"):
            array = self.read_array(name)
        if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
            raise WeightsError(
                self.path,
                f"array {name!r} holds values that are not finite (NaN or infinity).",
                "The file is corrupt or comes from a training run that diverged; use another.",
            )
        return array


@contextlib.contextmanager
def open_arrays(path):
    """Open a weight file of any format; yield its `ArrayFile`.

    Raises:
        WeightsError: If it is not a weight file, or not a valid one.
    """
    path = Path(os.path.expanduser(path))  # unlike Path.expanduser, never raises
    if path.suffix in PICKLE_SUFFIXES and not path.is_dir():
        raise _pickle_error(path)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_open(path))
        kind = _recognize(path, file)
        with _as_weights_error(path, f"cannot be read as {kind}"):
            arrays = _OPENERS[kind](path, file, stack)
        yield arrays


@contextlib.contextmanager
def _as_weights_error(path, what):
    """Turn whatever a library raises when it reads a corrupt file into a `WeightsError`."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:  # zipfile, zlib, NumPy, h5py, safetensors and json have dozens
        cause = str(error).strip() or type(error).__name__
        raise WeightsError(path, f"{what}: {cause.rstrip('.')}.", GET_AGAIN) from error


def _open(path):
    """Return an open file; raise WeightsError if there is none at `path`."""
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise WeightsError(
            path, "does not exist.", "Check the path; it is relative to the working directory."
        ) from None
    except NotRegularFileError as error:
        advice = f"Name one file: {READABLE} are read."
        raise WeightsError(path, f"is {error.strerror}.", advice) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        cause = getattr(error, "strerror", None) or error
        raise WeightsError(
            path, f"cannot be opened: {cause}.", "Check the path and its permissions."
        ) from None


def _recognize(path, file):
    """Return the format of an open file from its first bytes; raise WeightsError if unknown."""
    start = file.read(16)
    if not start:
        raise WeightsError(path, "is empty.", "Download it or write it again.")
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5"
    if start.startswith(b"PK"):
        with _as_weights_error(path, "cannot be read as a zip archive"):
            with zipfile.ZipFile(file) as archive:
                members = archive.namelist()
        if "model.weights.h5" in members:
            return "keras"
        if PROGRESS in members:
            return "checkpoint"
        if any(member.endswith("data.pkl") for member in members):
            raise _pickle_error(path)
        return "npz"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _size(file) - 8:
        return "safetensors"
    if start[0] == 0x80 and 2 <= start[1] <= 5:  # the opcode PROTO and a protocol of pickle
        raise _pickle_error(path)
    raise WeightsError(
        path,
        f"is of no known format; it begins with {start[:8]!r}.",
        f"{READABLE} are read, recognized by content. It may be truncated or a web page.",
    )


def _size(file):
    return os.fstat(file.fileno()).st_size


def _pickle_error(path):
    return WeightsError(
        path,
        "is a Python pickle, which can run any code when it is opened, and is never opened here.",
        "Use the .safetensors file of the same weights, or write one with the program that made "
        "it: safetensors.torch.save_file(model.state_dict(), 'model.safetensors').",
    )


def _open_npz(path, file, stack):
    archive = stack.enter_context(open_archive(file))
    members = {}
    for member in archive.infolist():
        if not member.filename.endswith(".npy"):
            raise ValueError(f"it holds {member.filename!r}, which is not an array")
        members[member.filename.removesuffix(".npy")] = member
    return _array_file(path, "npz", archive, members, {})


def _open_checkpoint(path, file, stack):
    """Open a checkpoint of a training run: `checkpoints/best.npz`, `checkpoints/batch-N.npz`.

    A checkpoint is an uncompressed zip archive of arrays in npy format, besides `progress.json`.
    Two keys of that file matter here; the rest, and all other arrays, are the run's own.

    * `"weights"`, required: a map from the canonical name of each weight of the model to the
      name of its array in the archive, without `.npy`:
      `{"stem/kernel": "trainable/0", "MixerBlock_0/token_mixing/Dense_0/kernel": "trainable/4"}`.
      A run with moving averages (EMA) names the averaged arrays.
    * `"numerics"`, optional, as is each of its keys:
      `{"approximate_gelu": true, "value_range": [-1.0, 1.0], "grid": [14, 14]}`.
    """
    archive = stack.enter_context(open_archive(file, compressed=False))
    progress = json.loads(archive.read(PROGRESS))
    if "weights" not in progress:
        raise WeightsError(
            path,
            "is a checkpoint of a training run that does not name its weights, as keras_mixer "
            "0.1.0 wrote them.",
            "Use the model.keras of the finished run instead, or resume the run with this version, "
            "which writes new checkpoints with names.",
        )
    members = {name: archive.getinfo(f"{entry}.npy") for name, entry in progress["weights"].items()}
    if sum(member.file_size for member in members.values()) > _size(file):
        raise ValueError("many of its weights are one array")
    return _array_file(path, "checkpoint", archive, members, progress.get("numerics") or {})


def _array_file(path, kind, archive, members, metadata):
    """Return the `ArrayFile` of npy arrays in a zip archive: `{name: member}`."""
    shapes, dtypes = {}, {}
    for name, member in members.items():
        shapes[name], dtype = read_header(archive, member)
        dtypes[name] = _name_of(dtype)
        if dtype.hasobject:
            raise WeightsError(
                path,
                f"array {name!r} holds Python objects, which is a pickle and is never opened.",
                "Write arrays of float32.",
            )
    return ArrayFile(
        path, kind, shapes, dtypes, lambda name: read_array(archive, members[name]), metadata
    )


def _name_of(dtype):
    return dtype.name if dtype.isnative else f"{dtype.name} in foreign byte order"


def _open_safetensors(path, file, stack):
    opened = stack.enter_context(safetensors.safe_open(path, framework="numpy"))
    headers = {name: opened.get_slice(name) for name in opened.keys()}
    shapes = {name: tuple(header.get_shape()) for name, header in headers.items()}
    dtypes = {
        name: {"F32": "float32"}.get(header.get_dtype(), header.get_dtype())
        for name, header in headers.items()
    }
    metadata = opened.metadata() or {}
    return ArrayFile(path, "safetensors", shapes, dtypes, opened.get_tensor, metadata)


def _open_h5(path, file, stack):
    opened = stack.enter_context(open_h5(file))
    if "model_weights" in opened or "layer_names" in opened.attrs:
        raise WeightsError(
            path,
            "is in Keras's legacy format, which model.save('FILE.h5') writes and which is not "
            "read here.",
            "Save the model as .keras; from this file, if you trust it: import keras_mixer, keras; "
            f"keras.saving.load_model({str(path)!r}, compile=False).save('model.keras').",
        )
    datasets = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and name.startswith("layers/"):
            datasets[name] = item

    opened.visititems(visit)
    shapes = {name: dataset.shape for name, dataset in datasets.items()}
    dtypes = {name: _name_of(dataset.dtype) for name, dataset in datasets.items()}
    return ArrayFile(path, "h5", shapes, dtypes, lambda name: datasets[name][()], {})


def _open_keras(path, file, stack):
    config, extracted = stack.enter_context(open_keras_archive(file))
    weights = _open_h5(path, stack.enter_context(open_regular(extracted)), stack)
    return dataclasses.replace(weights, format="keras", metadata=config)


_OPENERS = {
    "npz": _open_npz,
    "safetensors": _open_safetensors,
    "h5": _open_h5,
    "keras": _open_keras,
    "checkpoint": _open_checkpoint,
}
