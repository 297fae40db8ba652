"""Confusion matrix: counts, a CSV file and a figure."""

import collections
import csv
import textwrap
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from training.evaluation.figure_text import drawable, short_name

COUNTED_CLASSES = 25  # the most classes whose counts are written into the cells
DRAWN_CLASSES = 200  # the most classes that are all drawn
LONGEST_NAME = 32
NAME_POINTS = 6
CHARACTER_INCHES = 0.075  # largest width of a digit
BAR_INCHES = 2.5  # height of the color bar, and of the smallest figure


class Confusion:
    """Sparse confusion matrix: the number of images for each pair of true and predicted class.

    Only pairs that occur are kept, so that 21,843 classes need no dense matrix. An image with
    several classes counts once, for the predicted class, if the prediction is one of them.
    Otherwise it counts as an error for each of its classes.
    """

    def __init__(self):
        # (true class, predicted class) → number of images
        self.counts: collections.Counter[tuple[int, int]] = collections.Counter()

    def add(self, labels, predicted):
        """Add predictions, (batch,), and labels with ones for true classes, (batch, classes)."""
        is_right = labels[np.arange(len(predicted)), predicted] > 0
        right, wrong = predicted[is_right].tolist(), predicted[~is_right]
        self.counts.update(zip(right, right, strict=True))
        images, true = np.nonzero(labels[~is_right])
        self.counts.update(zip(true.tolist(), wrong[images].tolist(), strict=True))

    def observe(self, batch):
        """Add the predictions of a `training.evaluation.evaluated_batch.EvaluatedBatch`."""
        self.add(batch.labels, batch.predicted)

    def errors(self, num_classes):
        """Return the number of incorrect predictions for each true class, (classes,)."""
        errors = np.zeros(num_classes, np.int64)
        for (true, predicted), count in self.counts.items():
            errors[true] += count * (true != predicted)
        return errors

    def table(self, classes):
        """Return the rows of the matrix for some classes, (classes, classes + 1).

        The last column counts the predictions of all other classes.
        """
        columns = {c: i for i, c in enumerate(classes)}
        table = np.zeros((len(classes), len(classes) + 1), np.int64)
        for (true, predicted), count in self.counts.items():
            if true in columns:
                table[columns[true], columns.get(predicted, -1)] += count
        return table


def write_confusion(confusion, class_names, path):
    """Write a CSV file with one row for each pair of classes that occurs, and its count."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["true", "predicted", "count"])
        for (true, predicted), count in sorted(confusion.counts.items()):
            writer.writerow([class_names[true], class_names[predicted], count])


def draw_confusion(confusion, class_names, title, path):
    """Plot the confusion matrix as a PNG; the color is the share of the true class.

    Up to 200 classes are all drawn, up to 25 with their counts. With more classes, the 25 with the
    most errors are drawn, of those that have images, and a last column counts the predictions of
    all other classes.
    """
    num_classes = len(class_names)
    shown, notes = np.arange(num_classes), "color: share of the true class"
    if num_classes > DRAWN_CLASSES:
        errors = confusion.errors(num_classes)
        present = np.array(sorted({true for true, _ in confusion.counts}), int)
        shown = present[np.argsort(-errors[present], kind="stable")][:COUNTED_CLASSES]
        counts = f"{errors[shown[-1]]:,} to {errors[shown[0]]:,}"
        which = f"with the most errors, {counts} each"
        if len(shown) == len(present):
            which = f"with images, {counts} errors each"
        title += f"\nthe {len(shown)} of {num_classes:,} classes {which}"
    table = confusion.table(shown.tolist())
    names = [short_name(class_names[c], LONGEST_NAME) for c in shown]
    columns = [*names, "any other class"]
    if len(shown) == num_classes:
        table, columns = table[:, :-1], names
    totals = table.sum(axis=1, keepdims=True)
    shares = np.where(totals, table / np.maximum(totals, 1), np.nan)
    if np.isnan(shares).any():
        notes += "; gray: no images"
    if has_counts := len(shown) <= COUNTED_CLASSES:
        notes = f"numbers of images; {notes}"

    # Cells have a fixed size, which decides the size of the figure.
    cell = 0.11
    if has_counts:
        cell = max(CHARACTER_INCHES * (len(str(table.max())) + 1), 0.3, BAR_INCHES / len(names))
    width, height = cell * len(columns), cell * len(names)
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    image = _draw_cells(axes, table, shares, has_counts)
    _label(axes, names, columns, font_points=8 if has_counts else NAME_POINTS)
    lines = [line for text in [*title.split("\n"), notes] for line in textwrap.wrap(text, 72)]
    axes.set_title(drawable("\n".join(lines)), fontsize=9, parse_math=False)
    bar_height = BAR_INCHES / height
    bar = figure.add_axes((1 + 0.2 / width, 1 - bar_height, 0.12 / width, bar_height))
    figure.colorbar(image, bar, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.tick_params(labelsize=7)
    figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.15)


def _draw_cells(axes, table, shares, has_counts):
    """Draw the cells, with their counts if wanted; return the image for the color bar."""
    norm = PowerNorm(0.5, 0, 1)  # so that small shares are visible
    image = axes.imshow(
        np.ma.masked_invalid(shares),
        cmap=colormaps["Blues"].with_extremes(bad="lightgray"),
        norm=norm,
        aspect="auto",
        interpolation="nearest",
    )
    if has_counts:
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7}
        for (row, column), count in np.ndenumerate(table):
            if count:
                color = "white" if norm(shares[row, column]) > 0.6 else "black"
                axes.text(column, row, str(count), color=color, **style)
    return image


def _label(axes, names, columns, font_points):
    style: dict[str, Any] = {"fontsize": font_points, "parse_math": False}
    rotation = 90 if max(map(len, columns)) > 2 else 0
    axes.set_xticks(np.arange(len(columns)), columns, rotation=rotation, **style)
    axes.set_yticks(np.arange(len(names)), names, **style)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
