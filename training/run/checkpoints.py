"""The checkpoints of a run: all that it needs to go on, in one file each."""

import concurrent.futures
import contextlib
import dataclasses
import io
import json
import os
import shutil
import zipfile
import zlib

import numpy as np

from training.devices import hosts
from training.errors import UserError
from training.run.checkpoint_names import BEST, checkpoint_name, newest_first
from training.run.named_weights import numerics, weight_entries
from training.run.progress import Progress

PROGRESS = "progress.json"
DESCRIPTION = ("weights", "numerics")  # for readers that do not have the model
# What reading a damaged file raises; each array has a checksum.
DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,  # what zipfile takes for encrypted, or for another version
    zipfile.BadZipFile,
    zlib.error,
)


class Checkpoints:
    """A folder of checkpoints, `batch-N.npz`.

    Each is written by a thread while the training goes on, beside its place, and then moved
    there, so that whatever has the name is whole. As a context, it ends with the last one written.
    Of several hosts the first alone reads and writes, and all call the same.

    Args:
        folder: Its path.
        keep: How many of the newest to keep.
    """

    def __init__(self, folder, keep=2):
        self.folder = folder
        self.keep = keep
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoints")
        self._writing = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.finish()

    def save(self, model, progress, as_best=False):
        """Write a checkpoint once the one before is written, and forget those that are too many.

        Args:
            model: A compiled and built `keras.Model`.
            progress: The run's `Progress`.
            as_best: Whether to keep it as `best.npz` also.

        Raises:
            UserError: If the one before could not be written; those before it are left.
        """
        groups = groups_of_variables(model)
        arrays = {
            f"{group}/{number}": np.array(hosts.to_numpy(variable))  # a copy
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }
        description = {"weights": weight_entries(model, groups), "numerics": numerics(model)}
        self.finish()
        if hosts.is_first():
            self._writing = self._writer.submit(self._write, arrays, progress, description, as_best)

    def finish(self):
        """Wait until the last checkpoint is written; raise UserError if it cannot be."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, arrays, progress, description, as_best):
        path = self.folder / checkpoint_name(progress.batches)
        draft = path.with_suffix(".draft")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                _write_archive(file, arrays, progress, description)
                file.flush()
                os.fsync(file.fileno())
            if as_best:  # first, since a run that goes on after `path` does not look back
                best = draft.with_name("best.draft")
                best.unlink(missing_ok=True)
                _link_or_copy(draft, best)
                best.replace(self.folder / BEST)
            draft.replace(path)
            _sync_folder(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise UserError(
                f"--run-dir must have room for checkpoints. Received: {self.folder}, where the one "
                f"of batch {progress.batches} could not be written: {error.strerror}. Make room, "
                "and the same command goes on after the last one that was."
            ) from error
        for old in newest_first(self.folder)[self.keep :]:
            old.unlink()

    def restore(self, model):
        """Set a model to the newest checkpoint that is whole; return its `Progress`.

        Without any, the model stays as it is. A damaged one is named and put aside, as `.damaged`.

        Raises:
            UserError: If there are checkpoints and none is whole, or they are of another model.
        """
        self.finish()
        newest = hosts.from_first(self._read_newest)
        if newest is None:
            return Progress()
        path, arrays, progress = newest
        _assign(model, arrays, path)
        return progress

    def _read_newest(self):
        """Return path, arrays and `Progress` of the newest one that is whole; None without any."""
        for draft in self.folder.glob("*.draft"):
            draft.unlink()
        faults = {}
        for path in newest_first(self.folder):
            try:
                arrays, progress = _read(path)
            except DAMAGE as error:
                faults[path] = f"{path} is damaged: {error}"
                continue
            for damaged, fault in faults.items():
                print(f"warning: {fault}. The run goes on after {path.name}.", flush=True)
                damaged.replace(damaged.with_suffix(".damaged"))  # or it would stay the newest
            return path, arrays, progress
        if faults:
            raise UserError(
                "--run-dir must hold a checkpoint that is whole. Received: "
                f"{'; '.join(faults.values())}. Start again in another folder."
            )
        return None


def groups_of_variables(model):
    """Return all variables of a compiled model by what they are for, in their order.

    Random states are among the non-trainable ones; moving averages and accumulated gradients
    belong to the optimizer.
    """
    return {
        "trainable": model.trainable_variables,
        "non_trainable": model.non_trainable_variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }


def _write_archive(file, arrays, progress, description):
    with zipfile.ZipFile(file, "w") as archive:
        entries = {"arrays": len(arrays), **dataclasses.asdict(progress), **description}
        archive.writestr(PROGRESS, json.dumps(entries))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read(path):
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        progress = json.loads(archive.read(PROGRESS))
        for name in archive.namelist():
            if name != PROGRESS:
                content = io.BytesIO(archive.read(name))  # with its checksum
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(content)
    if len(arrays) != progress.pop("arrays"):
        raise ValueError("its directory does not name all of its arrays")
    progress["history"] = tuple(progress["history"])
    for key in DESCRIPTION:  # which checkpoints of 0.1.0 do not have
        progress.pop(key, None)
    return arrays, Progress(**progress)


def _assign(model, arrays, path):
    targets = {
        f"{group}/{number}": variable
        for group, variables in groups_of_variables(model).items()
        for number, variable in enumerate(variables)
    }
    ours = {name: tuple(variable.shape) for name, variable in targets.items()}
    theirs = {name: array.shape for name, array in arrays.items()}
    if ours != theirs:
        raise UserError(
            f"--run-dir must hold checkpoints of this very model. Received: {path}, with "
            f"{len(theirs)} arrays where the model has {len(ours)} variables, or of other shapes. "
            "Use the version of keras_mixer that wrote it, or another folder."
        )
    for name, variable in targets.items():
        array = arrays[name]
        if array.dtype.kind == "V":  # bfloat16, which NumPy does not know
            array = array.view(np.dtype(variable.dtype))
        variable.assign(array)


def _link_or_copy(path, target):
    try:
        target.hardlink_to(path)
    except OSError:  # file systems over a network often cannot
        shutil.copyfile(path, target)


def _sync_folder(folder):
    """Let the new name survive a power failure as well, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
