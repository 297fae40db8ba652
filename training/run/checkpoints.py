"""Checkpoints of a run: everything that it needs to resume, one file each."""

import concurrent.futures
import contextlib
import os
import shutil

import keras
import numpy as np

from training.devices import hosts
from training.errors import UserError
from training.run.checkpoint_file import (
    Checkpoint,
    CorruptCheckpointError,
    read_checkpoint_file,
    write_checkpoint_file,
)
from training.run.checkpoint_names import BEST, checkpoint_name, newest_first
from training.run.json_file import sync_folder
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
        identity: The `training.run.identity.Identity` of the run, which its checkpoints must have.
            Needed on the first host only; None accepts all.
    """

    def __init__(self, folder, keep=2, identity=None):
        self.folder = folder
        self.keep = keep
        self.identity = identity
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
            name: np.array(hosts.to_numpy(variable))  # a copy
            for name, variable in _by_name(groups).items()
        }
        description = {"weights": weight_entries(model, groups), "numerics": numerics(model)}
        self.finish()
        if hosts.is_first():
            checkpoint = Checkpoint(arrays, progress, self.identity)
            self._writing = self._writer.submit(self._write, checkpoint, description, as_best)

    def finish(self):
        """Wait until the last checkpoint is written; raise UserError if it could not be."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, checkpoint, description, as_best):
        batches = checkpoint.progress.batches
        path = self.folder / checkpoint_name(batches)
        draft = path.with_suffix(".draft")
        with self._changing_files(f"the one of batch {batches} could not be written", draft):
            self.folder.mkdir(exist_ok=True)  # but not the run's folder, if it was removed
            draft.unlink(missing_ok=True)
            with draft.open("xb") as file:  # "x" follows no link
                write_checkpoint_file(file, checkpoint, description)
                file.flush()
                os.fsync(file.fileno())
            if as_best:  # first: a run that resumes from `path` does not write it again
                best = draft.with_name("best.draft")
                best.unlink(missing_ok=True)
                _link_or_copy(draft, best)
                best.replace(self.folder / BEST)
            draft.replace(path)
            sync_folder(self.folder)
            for old in newest_first(self.folder)[self.keep :]:
                old.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _changing_files(self, failure, draft=None):
        """Turn an OSError into a UserError that names the failure; remove the draft."""
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                if draft:
                    draft.unlink()
            raise UserError(
                "--run-dir must stay in place, writable and with room for checkpoints. Received: "
                f"{self.folder}, where {failure}: {error.strerror}. Make room or restore the "
                "folder; the same command resumes from the last checkpoint that was written."
            ) from error

    def restore(self, model):
        """Restore a model from the newest valid checkpoint and return its `Progress`.

        Without checkpoints the model is unchanged. A corrupt one is reported and renamed to
        `.damaged`.

        Raises:
            UserError: If there are checkpoints and none is valid, or the newest valid one is of
                another run or another model.
        """
        self.finish()
        variables = _by_name(groups_of_variables(model))
        newest = hosts.from_first(lambda: self._read_newest(variables))
        if newest is None:
            return Progress()
        arrays, progress = newest
        for name, variable in variables.items():
            array = arrays[name]
            if array.dtype.kind == "V":  # bfloat16
                array = array.view(np.dtype(variable.dtype))
            variable.assign(array)
        return progress

    def _read_newest(self, variables):
        """Return arrays and `Progress` of the newest valid checkpoint; None if there is none."""
        for draft in self.folder.glob("*.draft"):
            with self._changing_files(f"{draft.name} could not be removed"):
                draft.unlink()
        faults = {}
        for path in newest_first(self.folder):
            try:
                checkpoint = read_checkpoint_file(path)
                _require_dtypes(checkpoint.arrays, variables)
            except CorruptCheckpointError as error:
                faults[path] = f"{path} is corrupt: {error}"
                continue
            self._require_own(checkpoint, path)
            _require_shapes(checkpoint.arrays, variables, path)
            for corrupt, fault in faults.items():
                print(f"warning: {fault}. The run resumes from {path.name}.", flush=True)
                with self._changing_files(f"{corrupt.name} could not be renamed"):
                    corrupt.replace(corrupt.with_suffix(".damaged"))  # or it stays the newest
            return checkpoint.arrays, checkpoint.progress
        if faults:
            raise UserError(
                "--run-dir must hold a valid checkpoint. Received: "
                f"{'; '.join(faults.values())}. Start again with another --run-dir."
            )
        return None

    def _require_own(self, checkpoint, path):
        if fault := self.identity and checkpoint.fault(self.identity):
            raise UserError(
                f"--run-dir must hold checkpoints of its own run. Received: {path}, {fault}. Move "
                "the file to another folder; the same command then resumes from the checkpoint "
                "before it."
            )


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


def _by_name(groups):
    """Return `{"GROUP/NUMBER": item}` of lists by group."""
    return {
        f"{group}/{number}": item
        for group, items in groups.items()
        for number, item in enumerate(items)
    }


def _require_dtypes(arrays, variables):
    for name, variable in variables.items():
        if name in arrays:  # otherwise it is of another model
            dtype = np.dtype(keras.backend.standardize_dtype(variable.dtype))
            if dtype.kind == "V":  # bfloat16, which NumPy does not have
                dtype = np.dtype(f"V{dtype.itemsize}")
            if arrays[name].dtype != dtype:
                raise CorruptCheckpointError(f"{name} is of {arrays[name].dtype}, not {dtype}")


def _require_shapes(arrays, variables, path):
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        raise UserError(
            f"--run-dir must hold checkpoints of this model. Received: {path}, with {len(found)} "
            f"arrays where the model has {len(expected)} variables, or with other shapes. Use the "
            "version of keras_mixer that wrote it, or another --run-dir."
        )


def _link_or_copy(path, target):
    try:
        target.hardlink_to(path)
    except OSError:  # network file systems often have no hard links
        shutil.copyfile(path, target)
