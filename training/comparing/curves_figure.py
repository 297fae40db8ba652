"""Figure of a comparison: the curves of all runs over each other."""

import math
import statistics

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.evaluation.figure_text import short_name

COLORS = 10  # of Matplotlib's default cycle
STYLES = ("-", "--", "-.")  # of finished runs, where there are more groups than colors
UNFINISHED_STYLE = ":"
MOST_GROUPS = COLORS * len(STYLES)
FEW_EPOCHS = 20  # up to which each one is marked
LONGEST_LABEL = 100  # characters
INCHES_PER_LABEL = 0.22


def draw_comparison(comparison, file):
    """Plot accuracy and loss over the training into a PNG file, one color for each group.

    They are those of the validation, or of the training if a run has no validation split. A group
    of several runs has a curve for the mean, and a band for the range. The axis is the number of
    steps; if runs differ in the images per step, it is the number of images.

    Args:
        comparison: A `training.comparing.comparison.Comparison`, whose runs have some history.
        file: Binary file to write.
    """
    runs = [run for group in comparison.groups for run in group.runs]
    has_validation = all("val_accuracy" in row for run in runs for row in run.history)
    what, prefix = ("validation", "val_") if has_validation else ("training", "")
    by_images = len({_images_per_step(run) for run in runs}) > 1
    groups = [
        (number, group)
        for number, group in enumerate(comparison.groups, 1)
        if any(run.history for run in group.runs)
    ]
    shown = groups[:MOST_GROUPS]
    figure = Figure(figsize=(10, 4 + INCHES_PER_LABEL * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        lines = [
            _draw_group(axes, group, prefix + metric, by_images, i)
            for i, (_, group) in enumerate(shown)
        ]
        axes.set_xlabel("training images" if by_images else "training step")
        axes.set_ylabel(f"{what} {metric}")
        axes.grid(alpha=0.3)
    labels = [
        short_name(f"{number}: {comparison.label(group)}", LONGEST_LABEL) + _extent(group)
        for number, group in shown
    ]
    legend = figure.legend(lines, labels, loc="outside lower center")
    for text in legend.get_texts():
        text.set_parse_math(False)  # folders may have dollar signs in their names
    figure.suptitle(_title(shown, groups, comparison.groups))
    figure.savefig(file, format="png", dpi=120)


def _draw_group(axes, group, column, by_images, i):
    """Plot a column of the histories of a group; return the line for the legend."""
    curves = [_curve(run, column, by_images) for run in group.runs]
    style = STYLES[i // COLORS] if group.is_finished else UNFINISHED_STYLE
    is_short = all(len(curve) <= FEW_EPOCHS for curve in curves)
    look = {"color": f"C{i % COLORS}", "linestyle": style, "marker": "o" if is_short else None}
    if any(curve.keys() != curves[0].keys() for curve in curves):  # the images have changed
        lines = [axes.plot([*c.keys()], [*c.values()], markersize=3, **look)[0] for c in curves]
        return lines[0]
    positions = [*curves[0]]
    values = [*zip(*(curve.values() for curve in curves), strict=True)]
    (line,) = axes.plot(positions, [*map(statistics.fmean, values)], markersize=3, **look)
    if len(curves) > 1:
        lowest, highest = [*map(min, values)], [*map(max, values)]
        axes.fill_between(positions, lowest, highest, alpha=0.2, color=look["color"])
    return line


def _curve(run, column, by_images):
    """Return a column of the history of a run: `{steps or images: value}`."""
    factor = _images_per_step(run) if by_images else 1
    return {
        row["step"] * factor: row[column]
        for row in run.history
        if math.isfinite(row.get(column, math.nan))
    }


def _images_per_step(run):
    return run.config.data.batch_size * run.config.optimization.accumulation_steps


def _extent(group):
    """Return the end of the label of a group: its number of runs, or how far its run is."""
    if not group.is_finished:
        return f", seed {group.seeds[0]}, {group.runs[0].progress}"
    return f", {len(group.runs)} runs" if len(group.runs) > 1 else ""


def _title(shown, groups, all_groups):
    """Return what the figure shows and what it leaves out."""
    parts = []
    if any(len(group.runs) > 1 for _, group in shown):
        parts += ["mean and range over the seeds"]
    if any(not group.is_finished for _, group in shown):
        parts += ["dotted: unfinished"]
    if len(shown) < len(groups):
        parts += [f"the first {len(shown)} of {len(groups)}"]
    if len(groups) < len(all_groups):
        parts += [f"{len(all_groups) - len(groups)} without a finished epoch left out"]
    return "; ".join(parts)
