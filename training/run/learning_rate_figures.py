"""Figures of the range test and of the grid of learning rates."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_range_tests(tests, suggestion, title, path):
    """Plot the losses of `RangeTest`s against the learning rate, and the suggested rate."""
    figure, axes = _figure(title)
    for i, test in enumerate(tests):
        axes.plot(test.learning_rates, test.losses, f"C{i}", alpha=0.3, linewidth=0.8)
        axes.plot(test.learning_rates, test.smoothed, f"C{i}", label=f"smoothed, seed {test.seed}")
    axes.axvline(suggestion, color="k", linestyle="--", label=f"suggested: {suggestion:.2g}")
    smoothed = [loss for test in tests for loss in test.smoothed]
    lowest, first = min(smoothed), max(test.smoothed[0] for test in tests)
    margin = 0.1 * (first - lowest)
    axes.set_ylim(lowest - margin, first + 5 * margin)  # without the height of the divergence
    axes.set_ylabel("training loss")
    _save(figure, axes, path)


def draw_grid(grid_runs, rows, best, title, path):
    """Plot the validation accuracy of `GridRun`s and the means against the learning rate."""
    figure, axes = _figure(title)
    finite = [run for run in grid_runs if run.accuracy is not None]
    rates = [run.learning_rate for run in finite]
    axes.plot(rates, [run.accuracy for run in finite], "C0.", alpha=0.6, label="a seed")
    means = [row for row in rows if row.accuracy is not None]
    rates = [row.learning_rate for row in means]
    axes.plot(rates, [row.accuracy for row in means], "C0-", label="mean over seeds")
    axes.axvline(
        best.learning_rate, color="k", linestyle="--", label=f"best: {best.learning_rate:g}"
    )
    axes.set_ylabel("validation accuracy")
    _save(figure, axes, path)


def _figure(title):
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, parse_math=False)
    return figure, figure.subplots()


def _save(figure, axes, path):
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
