"""Folder of a training run: its files, its configuration, its results."""

import contextlib
import csv
import dataclasses
import fcntl
import os
from pathlib import Path
from typing import Any

from keras_mixer.files import read_text
from training.config.schema import conform
from training.errors import UserError
from training.run.checkpoint_names import BEST, batches_of, newest_first
from training.run.identity import Identity
from training.run.json_file import read_json, replacing, write_json

LOCK = ".lock"
SUMMARY_TYPES = {  # of all versions; there may be more
    "test_accuracy": float,
    "test_loss": float,
    "test_examples": int,
    "skipped_images": int,
    "parameters": int,
    "train_images_per_second": float | None,
    "wall_seconds": float,
    "class_names": list[str],
    "backend": str,
    "devices": list[str],
    "distribution": str,
    "precision": str,
}
EMPTY_WITH = (LOCK, "config.draft")  # what a failed start may leave behind


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths of a run's files; reads and writes the small ones.

    Args:
        path: Of the folder.
        identity: The `Identity` of the run that trains in it. Nothing is written unless the
            folder is still that of this run. None while it is not known.
    """

    path: Path
    identity: Identity | None = None

    @property
    def config(self):
        return self.path / "config.json"

    @property
    def checkpoints(self):
        return self.path / "checkpoints"

    @property
    def class_names(self):
        return self.path / "class_names.json"

    @property
    def history(self):
        return self.path / "history.csv"

    @property
    def tensorboard(self):
        return self.path / "tensorboard"

    @property
    def curves(self):
        return self.path / "curves.png"

    @property
    def model(self):
        return self.path / "model.keras"

    @property
    def skipped_images(self):
        return self.path / "skipped_images.txt"

    @property
    def summary(self):
        return self.path / "summary.json"

    def refuse_other_run(self, config, backend):
        """Raise UserError unless the folder is new, empty, or of this run."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(
                f"--run-dir must be a folder. Received: {self.path}, a file. Pass another path."
            )
        if not self.config.exists():
            if self.path.exists() and any(p.name not in EMPTY_WITH for p in self.path.iterdir()):
                raise UserError(
                    f"--run-dir must be a new folder or one of an earlier run. Received: "
                    f"{self.path}, which has files but no config.json. Pass another path."
                )
            return
        theirs = self.read_identity()
        ours = dataclasses.replace(theirs, config=config, backend=backend)
        differing = theirs.differences(ours)
        if differing:
            raise UserError(
                "--run-dir must not belong to a run with another configuration. Received: "
                f"{self.path}, where {'; '.join(differing)}. Pass a new --run-dir, or the options "
                "of that run to resume it."
            )

    def refuse_other_classes(self, class_names):
        """Raise UserError if the run began with other classes, whose numbers its labels are."""
        try:
            theirs = self.read_class_names()
        except UserError:
            return  # the file is missing or corrupt, and will be written
        if theirs != list(class_names):
            raise UserError(
                "--source must have the classes that the run began with. Received: "
                f"{len(class_names)} classes, which differ from the {len(theirs)} in "
                f"{self.class_names}. Restore them, or train again with another --run-dir."
            )

    @contextlib.contextmanager
    def lock(self):
        """Create the folder and lock it; raise UserError if another process holds the lock."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = open(self.path / LOCK, "a", opener=_open_without_following)
        except OSError as error:
            self._refuse_unwritable(error)
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"--run-dir must not be in use. Received: {self.path}, where another process "
                    "is training. Wait for it, stop it, or pass another --run-dir."
                ) from error
            except OSError:
                pass  # a file system without locks, such as some network file systems
            yield  # closing the file releases the lock, and so does the end of the process

    def _refuse_unwritable(self, error):
        raise UserError(
            f"--run-dir must be writable. Received: {self.path}: {error.strerror}. Pass another "
            "path."
        ) from error

    def require_in_place(self):
        """Raise UserError if the folder was removed or replaced since the run began to train."""
        if self.identity is None:
            return
        try:
            theirs = Identity.from_entries(read_json(self.config))
            same = theirs.run_id == self.identity.run_id
            fault = "" if same else "is of another run"
        except FileNotFoundError:
            fault = "was removed"
        except (OSError, ValueError) as error:
            fault = f"cannot be read any more: {error}"
        if fault:
            raise UserError(
                "--run-dir must stay in place while the run trains. Received: "
                f"{self.path}, whose config.json {fault}. Restore the folder; the same command "
                "then resumes from its last checkpoint. Or train again with another --run-dir."
            )

    @contextlib.contextmanager
    def writing(self):
        """Check that the folder is in place; turn an OSError while it is written to a UserError."""
        self.require_in_place()
        try:
            yield
        except OSError as error:
            self.require_in_place()
            raise UserError(
                f"--run-dir must have room for the results. Received: {self.path}: {error}. Make "
                "room; the same command resumes from the last checkpoint."
            ) from error

    def write_config(self, config, backend):
        """Create the folder and write the configuration; return the same with its `Identity`.

        A run that is resumed keeps the ID that it has; one of 0.1.0 has none.
        """
        if self.config.exists():
            run_id = self.read_identity().run_id
            identity = Identity(config, backend, run_id)
        else:
            identity = Identity.of_new_run(config, backend)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.config, identity.entries())
        except OSError as error:
            self._refuse_unwritable(error)
        return dataclasses.replace(self, identity=identity)

    def write_class_names(self, class_names):
        """Write the class names, so that checkpoints can be used before the run finishes."""
        with self.writing():
            write_json(self.class_names, list(class_names))

    def read_class_names(self):
        """Return the names of the classes, in the order of the logits.

        Raises:
            UserError: If the folder does not have them: version 0.1.0 wrote them at the end only.
        """
        if self.class_names.exists():
            return _read(self.class_names, list[str])
        if self.is_finished():
            return self.read_summary()["class_names"]
        raise UserError(
            f"The run must have a file class_names.json. Received: {self.path}, which version "
            "0.1.0 wrote and did not finish. Resume it with the command that started it, "
            "which writes the file."
        )

    def find_checkpoint(self, name=""):
        """Return the path of one of the run's checkpoints.

        Args:
            name: "best", "step-1200" for the one after 1,200 updates of the weights, or nothing
                for the newest.

        Raises:
            UserError: If the run does not have it; the message lists those that it has.
        """
        identity = self.read_identity()
        accumulation_steps = identity.config.optimization.accumulation_steps
        # The weights only change after the last batch of an update.
        by_name = {
            f"step-{batches_of(path) // accumulation_steps}": path
            for path in reversed(newest_first(self.checkpoints))
        }
        name = name or next(reversed(by_name), "")
        if (self.checkpoints / BEST).exists():
            by_name["best"] = self.checkpoints / BEST
        if not by_name:
            raise UserError(
                f"MODEL must be a run with a checkpoint. Received: {self.path}, which has none "
                "yet. Resume it with the command that started it."
            )
        others = [f"{self.path}@{other}" for other in by_name if other != name]
        if name not in by_name:
            raise UserError(
                f"MODEL must name a checkpoint that the run has. Received: {self.path}@{name}. "
                f"Pass {' or '.join(others)}."
            )
        _require_own(by_name[name], identity, others)
        return by_name[name]

    def write_skipped_images(self, lines):
        """Write a line for each skipped image, with the cause; no file if there are none."""
        if lines:
            with self.writing(), replacing(self.skipped_images) as file:
                file.writelines(f"{line}\n" for line in lines)

    def is_finished(self):
        """Return whether there is a valid summary; if not, the test split is evaluated again."""
        try:
            self.read_summary()
        except UserError:
            return False
        return True

    def read_identity(self):
        """Return the `Identity` of the run, with a valid configuration."""
        entries = _read(self.config, dict[str, Any])
        try:
            identity = Identity.from_entries(entries)
            identity.config.check()
        except ValueError as error:
            raise UserError(
                f"config.json must have the fields of this version. Received: {self.config}: "
                f"{error}. Use the version of keras_mixer that wrote it."
            ) from error
        return identity

    def read_config(self):
        """Return the `Config` of the run."""
        return self.read_identity().config

    def read_summary(self):
        """Return the results of the run."""
        summary = _read(self.summary, dict[str, Any])
        try:
            for key, hint in SUMMARY_TYPES.items():
                conform(summary.get(key), hint, key)
        except ValueError as error:
            raise UserError(
                f"summary.json must have the results of a finished run. Received: {self.summary}: "
                f"{error}. Restore it from a backup, or resume the run, which writes it again."
            ) from error
        return summary

    def write_summary(self, summary):
        with self.writing():
            write_json(self.summary, summary)

    def read_history(self):
        """Return the rows of the history, one for each epoch so far: `{column: number}`."""
        if not self.history.exists():
            return []
        rows = csv.DictReader(read_text(self.history).splitlines())
        return [{key: float(value) for key, value in row.items() if value} for row in rows]

    def write_history(self, rows):
        """Replace the history: a dictionary for each epoch."""
        keys = dict.fromkeys(key for row in rows for key in row)
        with self.writing(), replacing(self.history) as file:
            writer = csv.DictWriter(file, keys, restval="")
            writer.writeheader()
            writer.writerows(rows)


def _read(path, hint):
    """Return what a JSON file of the run holds; raise UserError unless it is as the hint says."""
    try:
        return conform(read_json(path), hint, "it")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path.name} must be a readable JSON file. Received: {path}: {error}. Restore it "
            "from a backup, or train again with another --run-dir."
        ) from error


def _require_own(path, identity, others):
    """Raise UserError unless a checkpoint is valid and of the run; `others` are those it has."""
    from training.run.checkpoint_file import CorruptCheckpointError, read_checkpoint_file

    try:
        fault = read_checkpoint_file(path).fault(identity)
    except CorruptCheckpointError as error:
        fault = f"which is corrupt: {error}"
    if fault:
        advice = f"Pass {' or '.join(others)}" if others else "Resume the run to write others"
        raise UserError(
            f"MODEL must name a valid checkpoint of the run. Received: {path}, {fault}. {advice}."
        )


def _open_without_following(path, flags):
    """Open for writing, but no link to a file elsewhere, and without waiting for a FIFO."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
