"""Checkpoints of a run: everything that it needs to resume, one file each."""

import concurrent.futures
import contextlib
import os
import shutil

import numpy as np

from training.devices import hosts
from training.errors import UserError
from training.run.checkpoint_file import CORRUPT, read_checkpoint_file, write_checkpoint_file
from training.run.checkpoint_names import BEST, checkpoint_name, newest_first
from training.run.named_weights import numerics, weight_entries
from training.run.progress import Progress


class Checkpoints:
    """The folder of a run's checkpoints, `batch-N.npz`.

    A background thread writes each checkpoint to a temporary file and then renames it, so that a
    `batch-N.npz` is never incomplete. Used as a context manager, it waits for the last write on
    exit. All hosts call the same methods; only the first host reads and writes.

    Args:
        folder: Its path.
        keep: Number of the newest checkpoints to keep.
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
        """Write a checkpoint in the background, after the previous one; delete the oldest.

        Args:
            model: A compiled and built `keras.Model`.
            progress: The run's `Progress`.
            as_best: Whether to save it as `best.npz` as well.

        Raises:
            UserError: If the previous one could not be written; earlier ones are kept.
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
        """Wait until the last checkpoint is written; raise UserError if it could not be."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, arrays, progress, description, as_best):
        path = self.folder / checkpoint_name(progress.batches)
        draft = path.with_suffix(".draft")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)
            with draft.open("xb") as file:  # "x" follows no link
                write_checkpoint_file(file, arrays, progress, description)
                file.flush()
                os.fsync(file.fileno())
            if as_best:  # first: a run that resumes from `path` does not write it again
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
                f"of batch {progress.batches} could not be written: {error.strerror}. Make room; "
                "the same command resumes from the last checkpoint that was written."
            ) from error
        for old in newest_first(self.folder)[self.keep :]:
            old.unlink()

    def restore(self, model):
        """Restore a model from the newest valid checkpoint and return its `Progress`.

        Without checkpoints the model is unchanged. A corrupt one is reported and renamed to
        `.damaged`.

        Raises:
            UserError: If there are checkpoints and none is valid, or they are of another model.
        """
        self.finish()
        newest = hosts.from_first(self._read_newest)
        if newest is None:
            return Progress()
        path, arrays, progress = newest
        _assign(model, arrays, path)
        return progress

    def _read_newest(self):
        """Return path, arrays and `Progress` of the newest valid one; None if there is none."""
        for draft in self.folder.glob("*.draft"):
            draft.unlink()
        faults = {}
        for path in newest_first(self.folder):
            try:
                arrays, progress = read_checkpoint_file(path)
            except CORRUPT as error:
                faults[path] = f"{path} is corrupt: {error}"
                continue
            for corrupt, fault in faults.items():
                print(f"warning: {fault}. The run resumes from {path.name}.", flush=True)
                corrupt.replace(corrupt.with_suffix(".damaged"))  # or it would stay the newest
            return path, arrays, progress
        if faults:
            raise UserError(
                "--run-dir must hold a valid checkpoint. Received: "
                f"{'; '.join(faults.values())}. Start again with another --run-dir."
            )
        return None


def groups_of_variables(model):
    """Return all variables of a compiled model by group, each in the model's order.

    Random states are among the non-trainable variables; moving averages and accumulated gradients
    belong to the optimizer.
    """
    return {
        "trainable": model.trainable_variables,
        "non_trainable": model.non_trainable_variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }


def _assign(model, arrays, path):
    targets = {
        f"{group}/{number}": variable
        for group, variables in groups_of_variables(model).items()
        for number, variable in enumerate(variables)
    }
    expected = {name: tuple(variable.shape) for name, variable in targets.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        raise UserError(
            f"--run-dir must hold checkpoints of this model. Received: {path}, with {len(found)} "
            f"arrays where the model has {len(expected)} variables, or with other shapes. Use the "
            "version of keras_mixer that wrote it, or another --run-dir."
        )
    for name, variable in targets.items():
        array = arrays[name]
        if array.dtype.kind == "V":  # bfloat16, which NumPy does not have
            array = array.view(np.dtype(variable.dtype))
        variable.assign(array)


def _link_or_copy(path, target):
    try:
        target.hardlink_to(path)
    except OSError:  # network file systems often have no hard links
        shutil.copyfile(path, target)


def _sync_folder(folder):
    """Flush the folder so that a rename survives a power failure, where this is supported."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
