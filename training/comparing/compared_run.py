"""One run of a comparison: its options, the conditions it ran under, and its results."""

import csv
import dataclasses
import math
from pathlib import Path
from typing import Any

from training.config import Config
from training.config.schema import conform
from training.config.serialization import to_entries
from training.errors import UserError
from training.run.checkpoint_names import batches_of, newest_first
from training.run.identity import FREE_TO_CHANGE

RESULTS = (  # names of all numbers that are compared
    "test_accuracy",
    "test_loss",
    "best_val_accuracy",
    "best_val_loss",
    "wall_seconds",
    "train_images_per_second",
)
# Conditions that follow from the options and the images.
OUTCOMES = ("parameters", "steps", "classes", "test_examples")


@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """A run, as its folder describes it.

    Args:
        path: Path of its folder.
        run_id: Its ID; None for a run of 0.1.0.
        config: Its `training.config.Config`.
        conditions: What else may explain its results, `{name: value}`: the backend, and for a
            finished run also versions, hardware, and `OUTCOMES`.
        results: `{name: number}` for each of `RESULTS`; None for what the run does not have.
        history: Rows of `history.csv`, one for each epoch so far.
        steps: Updates of the weights so far.
        is_finished: Whether it was trained and tested to the end.
    """

    path: Path
    run_id: str | None
    config: Config
    conditions: dict[str, Any]
    results: dict[str, float | None]
    history: list[dict[str, float]]
    steps: int
    is_finished: bool

    @property
    def seed(self):
        return self.config.seed

    @property
    def options(self):
        """The fields of the configuration that may change a result, without the seed."""
        return {
            field: value
            for section, fields in to_entries(self.config).items()
            if isinstance(fields, dict)
            for field, value in fields.items()
            if not f"{section}.{field}".startswith(FREE_TO_CHANGE)
        }

    @property
    def epochs(self):
        """Number of epochs so far."""
        return int(self.history[-1]["epoch"]) if self.history else 0

    @property
    def progress(self):
        """How far the run is, such as "3 of 60 epochs"."""
        optimization = self.config.optimization
        if optimization.total_steps:
            return f"{self.steps:,} of {optimization.total_steps:,} steps"
        return f"{self.epochs:,} of {optimization.total_epochs:,} epochs"


def read_run(folder):
    """Return the `ComparedRun` in a `training.run.folder.RunFolder`.

    Raises:
        UserError: If one of its files is invalid.
    """
    try:
        identity = folder.read_identity()
        history = _read_history(folder)
        summary = folder.read_summary() if folder.summary.exists() else None
        steps = _count_steps(folder, identity.config, history)
        if summary is None:
            conditions = {} if identity.backend is None else {"backend": identity.backend}
        else:
            conditions = _conditions(summary, steps, folder)
        return ComparedRun(
            folder.path,
            identity.run_id,
            identity.config,
            conditions,
            _results(summary or {}, history, folder),
            history,
            steps,
            is_finished=summary is not None,
        )
    except UserError as error:
        raise UserError(
            f"{error} Or compare the other runs: name each of them, without {folder.path}."
        ) from error


def _read_history(folder):
    """Return the rows of `history.csv`."""
    try:
        rows = folder.read_history()
        steps = [row["step"] for row in rows]
        if not all(math.isfinite(number) for row in rows for number in (row["epoch"], row["step"])):
            raise ValueError("it has an epoch or a step that is not finite")
        if steps != sorted(steps):
            raise ValueError("its steps do not increase")
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        cause = f"a row without {error}" if isinstance(error, KeyError) else error
        raise UserError(
            "history.csv must have the columns epoch and step, and a row of numbers for each "
            f"epoch. Received: {folder.history}: {cause}. Restore it from a backup."
        ) from error
    return rows


def _count_steps(folder, config, history):
    """Return the number of updates of the last epoch or of the newest checkpoint."""
    newest = newest_first(folder.checkpoints)[:1]
    saved = [batches_of(path) // config.optimization.accumulation_steps for path in newest]
    return max([int(row["step"]) for row in history[-1:]] + saved, default=0)


def _conditions(summary, steps, folder):
    """Return the conditions of a finished run; those that 0.1.0 did not record are left out."""
    try:
        hosts = conform(summary.get("hosts"), int | None, "hosts")
        versions = conform(summary.get("versions", {}), dict[str, str], "versions")
    except ValueError as error:
        raise _invalid(folder, error) from error
    return {
        "backend": summary["backend"],
        **{f"{package}_version": version for package, version in versions.items()},
        "devices": ", ".join(summary["devices"]),
        **({} if hosts is None else {"hosts": hosts}),
        "distribution": summary["distribution"],
        "parameters": summary["parameters"],
        "steps": steps,
        "classes": len(summary["class_names"]),
        "test_examples": summary["test_examples"],
    }


def _results(summary, history, folder):
    """Return the results of a run; those of `summary` are missing if it is not finished."""

    def values(column):
        return [row[column] for row in history if math.isfinite(row.get(column, math.nan))]

    results = dict.fromkeys(RESULTS) | {name: summary[name] for name in RESULTS if name in summary}
    for name, value in results.items():
        if value is not None and not math.isfinite(value):
            raise _invalid(folder, f"{name} must be finite, not {value}")
    return results | {
        "best_val_accuracy": max(values("val_accuracy"), default=None),
        "best_val_loss": min(values("val_loss"), default=None),
    }


def _invalid(folder, cause):
    return UserError(
        f"summary.json must have the results of a finished run. Received: {folder.summary}: "
        f"{cause}. Restore it from a backup, or train again with another --run-dir."
    )
