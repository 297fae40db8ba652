"""Format of a checkpoint file: a zip archive of `progress.json` and NumPy arrays.

The arrays are called `GROUP/NUMBER.npy`: `trainable/0.npy`, `optimizer/3.npy`. `progress.json`
has the fields of `training.run.progress.Progress`, the number of arrays, what
`training.run.named_weights` says about the weights, and under "run" the
`training.run.identity.Identity` of the run. The comment of the archive is the SHA-256 of its
members, names and contents. Checkpoints of 0.1.0 have neither names of weights nor an identity
nor a digest.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import zipfile
from typing import Any

import numpy as np

from keras_mixer.files import open_regular
from keras_mixer.weights.archives import open_archive, parse_header
from training.config.schema import conform
from training.run.checkpoint_names import BEST, batches_of
from training.run.identity import Identity
from training.run.json_file import parse_json
from training.run.progress import Progress

PROGRESS = "progress.json"
DESCRIPTION = ("weights", "numerics")  # for readers that do not have the model
METRICS = "metrics/"  # the only arrays that may hold values that are not finite


class CorruptCheckpointError(ValueError):
    """A checkpoint file that is corrupt, truncated, or changed after it was saved."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Args:
        arrays: `{"GROUP/NUMBER": array}`.
        progress: The `training.run.progress.Progress`.
        identity: The `training.run.identity.Identity` of its run; None if it does not say it.
    """

    arrays: dict[str, np.ndarray]
    progress: Progress
    identity: Identity | None

    def fault(self, identity):
        """Return a phrase on why the run with an identity cannot use this checkpoint, or "".

        A checkpoint of 0.1.0 has no identity; only runs without an ID can use it.
        """
        if self.identity is None:
            return "" if identity.run_id is None else "which does not say what run it is of"
        if self.identity.run_id != identity.run_id:
            return "which is of another run"
        differing = self.identity.differences(identity)
        return f"saved with another configuration: {'; '.join(differing)}" if differing else ""


def write_checkpoint_file(file, checkpoint, description):
    """Write a checkpoint into an open binary file.

    Args:
        file: The file.
        checkpoint: A `Checkpoint`.
        description: Entries of `progress.json` for readers without the model: `{key: value}`, one
            for each key in `DESCRIPTION`.
    """
    entries = {
        "arrays": len(checkpoint.arrays),
        **dataclasses.asdict(checkpoint.progress),
        **description,
    }
    if checkpoint.identity is not None:
        entries["run"] = checkpoint.identity.entries()
    digest = hashlib.sha256()
    with zipfile.ZipFile(file, "w") as archive:
        with _member(archive, PROGRESS, digest) as member:
            member.write(json.dumps(entries).encode())
        for name, array in checkpoint.arrays.items():
            with _member(archive, f"{name}.npy", digest) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        archive.comment = digest.hexdigest().encode()


def read_checkpoint_file(path):
    """Return the `Checkpoint` in a file.

    Raises:
        CorruptCheckpointError: If the file is corrupt, truncated or changed, has values that are
            not finite, or is named for another batch.
    """
    try:
        return _read(path)
    except Exception as error:  # zipfile, zlib, NumPy and json have dozens
        raise CorruptCheckpointError(str(error) or type(error).__name__) from error


def _read(path):
    contents, comment, digest = {}, b"", hashlib.sha256()
    with open_regular(path) as file, open_archive(file, compressed=False) as archive:
        for member in archive.infolist():
            content = archive.read(member)  # which verifies its checksum
            digest.update(member.filename.encode())
            digest.update(content)
            contents[member.filename] = content
        comment = archive.comment
    entries = conform(parse_json(contents.pop(PROGRESS).decode()), dict[str, Any], PROGRESS)
    for key in DESCRIPTION:  # missing in checkpoints of version 0.1.0
        entries.pop(key, None)
    run = entries.pop("run", None)
    if run is not None and comment != digest.hexdigest().encode():
        raise ValueError("its contents are not those that were saved")
    if len(contents) != entries.pop("arrays"):
        raise ValueError("its directory does not list all of its arrays")
    progress = conform(entries, Progress)
    if path.name != BEST and batches_of(path) != progress.batches:
        raise ValueError(f"it was saved after batch {progress.batches}")
    arrays = {}
    for name in list(contents):
        arrays[name.removesuffix(".npy")] = _array(name, contents.pop(name))
    if progress.metrics is not None:
        shapes = [arrays[f"{METRICS}{i}"].shape for i in range(len(progress.metrics))]
        if [np.asarray(values, float).shape for values in progress.metrics] != shapes:
            raise ValueError("its metrics have other shapes")
    return Checkpoint(arrays, progress, None if run is None else Identity.from_entries(run))


@contextlib.contextmanager
def _member(archive, name, digest):
    """Open a new member of an archive, all of which goes into the digest too."""
    digest.update(name.encode())
    with archive.open(name, "w", force_zip64=True) as member:
        yield _Tee(member, digest)


@dataclasses.dataclass(frozen=True)
class _Tee:
    member: Any
    digest: Any

    def write(self, data):
        self.digest.update(data)
        self.member.write(data)


def _array(name, content):
    """Return the array in the content of an npy file; raise ValueError unless it is valid."""
    _, dtype = parse_header(io.BytesIO(content), name, len(content))
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    if dtype.kind == "f" and not name.startswith(METRICS) and not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite")
    return array
