"""Which classes a model takes for which: counts, a table and a picture."""

import collections
import csv
import textwrap
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

COUNTED_CLASSES = 25  # up to which the counts are written into the cells
DRAWN_CLASSES = 200  # up to which all classes are drawn
LONGEST_NAME = 32
NAME_POINTS = 6
CHARACTER_INCHES = 0.075  # of a count, at most
BAR_INCHES = 2.5  # the height of the scale of the colours, and so of the smallest picture


class Confusion:
    """How many images of a class were taken for which class.

    Only pairs that occur are kept, so that 21,843 classes need no table of their square. An image
    of several classes counts once if the prediction is one of them, for that class; otherwise
    nobody knows which of them was mistaken, and it counts as a mistake of each.
    """

    def __init__(self):
        # (true class, predicted class) → images
        self.counts: collections.Counter[tuple[int, int]] = collections.Counter()

    def add(self, labels, predicted):
        """Count labels with ones for the true classes, (batch, classes), and classes, (batch,)."""
        is_right = labels[np.arange(len(predicted)), predicted] > 0
        right, wrong = predicted[is_right].tolist(), predicted[~is_right]
        self.counts.update(zip(right, right, strict=True))
        images, true = np.nonzero(labels[~is_right])
        self.counts.update(zip(true.tolist(), wrong[images].tolist(), strict=True))

    def mistakes(self, num_classes):
        """Return how many images of each class were taken for another, (classes,)."""
        mistakes = np.zeros(num_classes, np.int64)
        for (true, predicted), count in self.counts.items():
            mistakes[true] += count * (true != predicted)
        return mistakes

    def table(self, classes):
        """Return the counts of some classes by true and by predicted class.

        The last column is of all the predictions that are not among them.
        """
        places = {c: i for i, c in enumerate(classes)}
        table = np.zeros((len(classes), len(classes) + 1), np.int64)
        for (true, predicted), count in self.counts.items():
            if true in places:
                table[places[true], places.get(predicted, -1)] += count
        return table


def write_confusion(confusion, class_names, path):
    """Write the pairs that occur into a CSV file: names of the classes, and the count."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["true", "predicted", "count"])
        for (true, predicted), count in sorted(confusion.counts.items()):
            writer.writerow([class_names[true], class_names[predicted], count])


def draw_confusion(confusion, class_names, title, path):
    """Draw the counts, and their shares of each true class, into a PNG.

    All classes if they fit, with the counts in the cells if these do; otherwise those with the
    most mistakes, and all others together in a last column.
    """
    num_classes = len(class_names)
    shown, notes = np.arange(num_classes), "colour: share of the true class"
    if num_classes > DRAWN_CLASSES:
        mistakes = confusion.mistakes(num_classes)
        shown = np.argsort(-mistakes, kind="stable")[:COUNTED_CLASSES]
        title += (
            f"\nthe {len(shown)} of {num_classes:,} classes with the most mistakes, "
            f"{mistakes[shown[-1]]:,} to {mistakes[shown[0]]:,} each"
        )
    table = confusion.table(shown.tolist())
    names = [_short(class_names[c]) for c in shown]
    columns = [*names, "any other class"]
    if len(shown) == num_classes:
        table, columns = table[:, :-1], names
    totals = table.sum(axis=1, keepdims=True)
    shares = np.where(totals, table / np.maximum(totals, 1), np.nan)
    if np.isnan(shares).any():
        notes += "; grey: no images"
    if has_counts := len(shown) <= COUNTED_CLASSES:
        notes = f"numbers of images; {notes}"

    # Cells have a fixed size, and what is around them decides the size of the picture.
    cell = 0.11
    if has_counts:
        cell = max(CHARACTER_INCHES * (len(str(table.max())) + 1), 0.3, BAR_INCHES / len(names))
    width, height = cell * len(columns), cell * len(names)
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    norm = PowerNorm(0.5, 0, 1)  # so that small shares are seen
    colours = axes.imshow(
        np.ma.masked_invalid(shares),
        cmap=colormaps["Blues"].with_extremes(bad="lightgrey"),
        norm=norm,
        aspect="auto",
        interpolation="nearest",
    )
    if has_counts:
        for (row, column), count in np.ndenumerate(table):
            if count:
                colour = "white" if norm(shares[row, column]) > 0.6 else "black"
                text: dict[str, Any] = {
                    "ha": "center",
                    "va": "center",
                    "fontsize": 7,
                    "color": colour,
                }
                axes.text(column, row, str(count), **text)
    style: dict[str, Any] = {"fontsize": 8 if has_counts else NAME_POINTS, "parse_math": False}
    rotation = 90 if max(map(len, columns)) > 2 else 0
    axes.set_xticks(np.arange(len(columns)), columns, rotation=rotation, **style)
    axes.set_yticks(np.arange(len(names)), names, **style)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    lines = [line for text in [*title.split("\n"), notes] for line in textwrap.wrap(text, 72)]
    axes.set_title(_printable("\n".join(lines)), fontsize=9, parse_math=False)
    bar_height = BAR_INCHES / height
    bar = figure.add_axes((1 + 0.2 / width, 1 - bar_height, 0.12 / width, bar_height))
    figure.colorbar(colours, bar, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.tick_params(labelsize=7)
    figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.15)


def _short(name):
    name = _printable(name)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _printable(text):
    """Replace what is no character, as in names of folders in other encodings."""
    return text.encode("utf-8", "replace").decode()
