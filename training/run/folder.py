"""The folder of one training run: what is in it, and whose it is."""

import contextlib
import csv
import dataclasses
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from training.config import Config
from training.errors import UserError
from training.run.checkpoint_names import BEST, batches_of, newest_first

LOCK = ".lock"
NEEDED_OF_SUMMARY = {
    "test_accuracy",
    "test_loss",
    "test_examples",
    "skipped_images",
    "parameters",
    "train_images_per_second",
    "wall_seconds",
    "class_names",
    "backend",
    "devices",
    "distribution",
    "precision",
}
EMPTY_WITH = (LOCK, "config.draft")  # what a start that failed may leave
# What may change between the sessions of a run, since it changes no result.
FREE_TO_CHANGE = (
    "checkpointing.",
    "data.cache_dir",
    "data.data_dir",
    "hardware.devices",
    "hardware.model_devices",
)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths of a run's files, and the configuration and results among them."""

    path: Path

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
        """Raise UserError unless the folder is new, empty, or of this very run."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(
                f"--run-dir must be a folder. Received: {self.path}, a file. Choose another."
            )
        if not self.config.exists():
            if self.path.exists() and any(p.name not in EMPTY_WITH for p in self.path.iterdir()):
                raise UserError(
                    f"--run-dir must be a new folder or one of an earlier run. Received: "
                    f"{self.path}, which has files but no config.json. Choose another."
                )
            return
        theirs, ours = _flatten(_read_json(self.config)), _flatten(_describe(config, backend))
        differing = [
            f"{key} is {theirs.get(key)!r} there and {ours.get(key)!r} here"
            for key in sorted(theirs.keys() | ours.keys())
            if theirs.get(key) != ours.get(key) and not key.startswith(FREE_TO_CHANGE)
        ]
        if differing:
            raise UserError(
                "--run-dir must not belong to a run of another configuration. Received: "
                f"{self.path}, where {'; '.join(differing)}. Choose another --run-dir, or delete "
                "that folder if you do not need it."
            )

    @contextlib.contextmanager
    def lock(self):
        """Hold the folder, created if need be, against other processes; UserError if one does."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / LOCK).open("w")
        except OSError as error:
            self._refuse_unwritable(error)
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"--run-dir must not be in use. Received: {self.path}, where another process "
                    "is training. Wait for it, end it, or choose another."
                ) from error
            except OSError:
                pass  # a file system without locks, as some over a network are
            yield  # and the lock ends with the file, or with the process

    def _refuse_unwritable(self, error):
        raise UserError(
            f"--run-dir must be writable. Received: {self.path}: {error.strerror}. Choose another."
        ) from error

    @contextlib.contextmanager
    def room_for_results(self):
        """Turn what writing fails by into a UserError."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"--run-dir must have room for the results. Received: {self.path}: {error}. Make "
                "room, and the same command goes on after the last checkpoint."
            ) from error

    def write_config(self, config, backend):
        """Create the folder, and write the configuration into it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _write_json(self.config, _describe(config, backend))
        except OSError as error:
            self._refuse_unwritable(error)

    def write_class_names(self, class_names):
        """Write the names of the classes, for models of the run before it is finished."""
        with self.room_for_results():
            _write_json(self.class_names, list(class_names))

    def read_class_names(self):
        """Return the names of the classes, in the order of the logits.

        Raises:
            UserError: If the folder does not have them: version 0.1.0 wrote them at the end only.
        """
        if self.class_names.exists():
            return _read_json(self.class_names, list)
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
        accumulation_steps = self.read_config().optimization.accumulation_steps
        # The weights only change after the last batch of an update.
        by_name = {
            f"step-{batches_of(path) // accumulation_steps}": path
            for path in reversed(newest_first(self.checkpoints))
        }
        if not name and by_name:
            return list(by_name.values())[-1]
        if (self.checkpoints / BEST).exists():
            by_name["best"] = self.checkpoints / BEST
        if name in by_name:
            return by_name[name]
        if not by_name:
            raise UserError(
                f"MODEL must be a run with a checkpoint. Received: {self.path}, which has none "
                "yet. Resume it with the command that started it."
            )
        advice = " or ".join(f"{self.path}@{other}" for other in by_name)
        raise UserError(
            f"MODEL must name a checkpoint that the run has. Received: {self.path}@{name}. "
            f"Pass {advice}."
        )

    def write_skipped_images(self, lines):
        """List the images that were left out, with the cause, one line each."""
        if lines:
            text = "".join(f"{line}\n" for line in lines)
            self.skipped_images.write_text(text, "utf-8", errors="surrogateescape")

    def is_finished(self):
        """Return whether there is a summary that is whole; without one the end is done again."""
        try:
            return NEEDED_OF_SUMMARY <= _read_json(self.summary).keys()
        except UserError:
            return False

    def read_config(self):
        """Return the `Config` of the run."""
        entries = _read_json(self.config)
        entries.pop("backend", None)
        try:
            return _from_entries(Config, entries)
        except (TypeError, KeyError) as error:
            raise UserError(
                f"config.json must have the fields of this version. Received: {self.config}: "
                f"{error}. Use the version of keras_mixer that wrote it."
            ) from error

    def read_summary(self):
        return _read_json(self.summary)

    def write_summary(self, summary):
        with self.room_for_results():
            _write_json(self.summary, summary)

    def write_history(self, rows):
        """Write the history anew: a dictionary for each epoch, of the first one's keys."""
        with self.room_for_results(), _whole(self.history) as file:
            writer = csv.DictWriter(file, rows[0], restval="")
            writer.writeheader()
            writer.writerows(rows)

    def require_model(self):
        """Raise UserError unless the run has a finished model."""
        for file in (self.path, self.config, self.model, self.summary):
            if not file.exists() or (file == self.summary and not self.is_finished()):
                is_missing = file == self.path
                fault = "does not exist" if is_missing else f"has no {file.name} that is whole"
                raise UserError(
                    "RUN must be the folder of a finished training run. Received: "
                    f"{self.path}, which {fault}. Make one by the command `train RECIPE`, or "
                    "finish this one by its own command."
                )


def _describe(config, backend):
    return {"backend": backend, **dataclasses.asdict(config)}


def _flatten(entries, prefix=""):
    """{"data": {"source": 1}} → {"data.source": 1}"""
    flat: dict[str, Any] = {}
    for key, value in entries.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _from_entries(kind, entries):
    """Return a dataclass of `kind` from a dictionary, and so on inside; TypeError if it misfits."""
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    missing = fields.keys() - entries.keys()
    if missing:
        raise TypeError(f"{sorted(missing)[0]} is missing")
    return kind(
        **{
            name: _from_entries(fields[name], value)
            if dataclasses.is_dataclass(fields.get(name))
            else value
            for name, value in entries.items()
        }
    )


def _read_json(path, kind=dict):
    try:
        entries = json.loads(path.read_text())
        if not isinstance(entries, kind):
            raise ValueError(f"it does not hold a {kind.__name__}")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path.name} must be a readable JSON file. Received: {path}: {error}. Train again, "
            "into another --run-dir."
        ) from error
    return entries


def _write_json(path, value):
    with _whole(path) as file:
        file.write(json.dumps(value, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())  # unlike the history, no checkpoint holds it


@contextlib.contextmanager
def _whole(path):
    """Open a text file that takes the place of `path` once it is written whole, or never."""
    draft = path.with_suffix(".draft")
    with draft.open("w", newline="") as file:
        yield file
    draft.replace(path)
