"""Choice of a learning rate: a range test, or a grid of trainings with a validation split.

Learning rates are those of `--learning-rate`: with a `reference_batch_size` the optimizer uses
the rate that it gives for the batch size of the run.
"""

import dataclasses
import statistics

import numpy as np

from training.optimization.range_test import has_diverged, smooth, smoothing, suggest
from training.optimization.schedule import learning_rate_schedule, peak_learning_rate
from training.optimization.sweep import Sweep


@dataclasses.dataclass(frozen=True)
class RangeTest:
    """The losses of one sweep.

    Args:
        seed: Seed of the run.
        diverged: Whether the sweep ended early because the loss diverged.
        suggestion: Suggested learning rate; None if the loss never fell.
        learning_rates: Those of the steps.
        losses: The training losses of the steps.
        smoothed: The smoothed losses.
    """

    seed: int
    diverged: bool
    suggestion: float | None
    learning_rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class GridRun:
    """One training of a grid.

    Args:
        learning_rate: Its peak.
        seed: Seed of the run.
        accuracy: On the validation split; None if the loss was not finite.
        loss: On the validation split, as in `history.csv`.
    """

    learning_rate: float
    seed: int
    accuracy: float | None
    loss: float | None


@dataclasses.dataclass(frozen=True)
class GridRow:
    """One learning rate of a grid: means over the seeds, None if a training diverged."""

    learning_rate: float
    accuracy: float | None
    loss: float | None


def run_range_tests(runs, lowest, highest, steps, seeds):
    """Yield a `RangeTest` for each seed.

    Args:
        runs: A `training.run.unsaved_runs.UnsavedRuns`.
        lowest: Learning rate of the first step.
        highest: Learning rate of the last step.
        steps: Number of updates.
        seeds: The seeds.
    """
    scale = learning_rate_scale(runs.config)
    rates = np.geomspace(lowest, highest, steps)
    momentum = smoothing(steps)
    schedule = Sweep(lowest * scale, highest * scale, steps)

    def ends(losses):
        return has_diverged(smooth(losses, momentum))

    for seed in seeds:
        recorder, _ = runs.train(schedule, seed, ends, f"range test, seed {seed}")
        losses = recorder.losses
        smoothed = smooth(losses, momentum)
        yield RangeTest(
            seed,
            recorder.diverged,
            suggest(rates[: len(losses)], smoothed),
            tuple(rates[: len(losses)].tolist()),
            tuple(losses),
            tuple(smoothed.tolist()),
        )


def train_grid(runs, rates, updates, seeds):
    """Yield a `GridRun` for each seed and each learning rate.

    Args:
        runs: A `training.run.unsaved_runs.UnsavedRuns` with a validation split.
        rates: The learning rates.
        updates: Number of updates of each training.
        seeds: The seeds.
    """
    config = runs.config
    for seed in seeds:
        for rate in rates:
            optimization = dataclasses.replace(config.optimization, learning_rate=rate)
            schedule = learning_rate_schedule(optimization, updates, config.data.batch_size)
            text = f"learning rate {rate:g}, seed {seed}"
            _, metrics = runs.train(schedule, seed, lambda losses: False, text, validate=True)
            metrics = metrics or {"accuracy": None, "loss": None}
            yield GridRun(rate, seed, metrics["accuracy"], metrics["loss"])


def learning_rate_scale(config):
    """Return the optimizer's learning rate for a `--learning-rate` of 1."""
    of_one = dataclasses.replace(config.optimization, learning_rate=1.0)
    return peak_learning_rate(of_one, config.data.batch_size)


def mean_suggestion(tests):
    """Return the geometric mean of the suggestions of `RangeTest`s; None if one has none."""
    suggestions = [test.suggestion for test in tests]
    if None in suggestions:
        return None
    return statistics.geometric_mean(suggestions)


def summarize(grid_runs):
    """Return a `GridRow` for each learning rate, in their order."""
    rows = []
    for rate in sorted({run.learning_rate for run in grid_runs}):
        own = [run for run in grid_runs if run.learning_rate == rate]
        if any(run.accuracy is None for run in own):
            rows.append(GridRow(rate, None, None))
            continue
        accuracy = statistics.mean(run.accuracy for run in own)
        rows.append(GridRow(rate, accuracy, statistics.mean(run.loss for run in own)))
    return rows


def best_row(rows):
    """Return the row with the highest accuracy, and of equal ones that with the lowest loss.

    None if all learning rates diverged.
    """
    valid = [row for row in rows if row.accuracy is not None]
    return min(valid, key=lambda row: (-row.accuracy, row.loss), default=None)
