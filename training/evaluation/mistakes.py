"""The worst mistakes of a model, and a figure of them."""

import dataclasses
import heapq
import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.evaluation.figure_text import drawable, short_name, short_path

COLUMNS = 5
DRAWN_MISTAKES = 25
LONGEST_NAME = 18
LONGEST_IMAGE_NAME = 28
IMAGE_INCHES = 1.6
TEXT_INCHES = 0.65  # two lines below an image, and the name of the next one
LAST_TEXT_INCHES = 0.3  # two lines
GAP_INCHES = 0.15
FEWEST_COLUMNS = 3  # that the width of the figure has room for, because of the title
TITLE_CHARACTERS_PER_INCH = 13


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An image that is classified incorrectly.

    Args:
        index: Its index in the split.
        image: As the model sees it, uint8, `(height, width, channels)`.
        true_classes: The most likely one first.
        predicted: The predicted class.
        probability: That of the predicted class.
        true_probability: That of the first true class.
    """

    index: int
    image: np.ndarray
    true_classes: tuple[int, ...]
    predicted: int
    probability: float
    true_probability: float


class Mistakes:
    """The incorrect predictions with the largest probabilities, of which few are kept.

    Of equal probabilities, that of the first image is larger.

    Args:
        most: The most mistakes to keep.
    """

    def __init__(self, most=DRAWN_MISTAKES):
        self.most = most
        self.total = 0  # number of mistakes, of which the worst are kept
        self._heap: list[tuple[float, int, Mistake]] = []  # the best of them is first

    def add(self, batch):
        """Add those of a `training.evaluation.evaluated_batch.EvaluatedBatch`."""
        wrong = np.flatnonzero(~batch.is_right)
        self.total += len(wrong)
        for row in wrong:
            rank = float(batch.confidence[row]), -int(batch.indices[row])
            if len(self._heap) < self.most:
                heapq.heappush(self._heap, (*rank, _mistake(batch, row)))
            elif rank > self._heap[0][:2]:
                heapq.heapreplace(self._heap, (*rank, _mistake(batch, row)))

    def worst(self):
        """Return the `Mistake`s, the worst first."""
        return [mistake for *_, mistake in sorted(self._heap, reverse=True)]


def _mistake(batch, row):
    return Mistake(
        index=int(batch.indices[row]),
        image=batch.images[row].copy(),  # not a view, which would keep the batch
        true_classes=batch.true_classes(row),
        predicted=int(batch.predicted[row]),
        probability=float(batch.confidence[row]),
        true_probability=float(batch.true_probability[row]),
    )


def draw_mistakes(mistakes, class_names, name_of_image, title, path):
    """Plot the worst mistakes as a PNG, each with its image, classes and probabilities.

    Args:
        mistakes: `Mistakes`, of which there is at least one.
        class_names: Names of all classes.
        name_of_image: Function from the index of an example to the name of its image.
        title: Title of the figure, to which the number of mistakes is added.
        path: Path of the PNG file.
    """
    worst = mistakes.worst()
    title += f"\n{_describe_choice(mistakes.total, len(worst))}"
    columns, rows = min(len(worst), COLUMNS), math.ceil(len(worst) / COLUMNS)
    width = max(columns, FEWEST_COLUMNS) * (IMAGE_INCHES + GAP_INCHES)
    height = rows * (IMAGE_INCHES + TEXT_INCHES) - TEXT_INCHES + LAST_TEXT_INCHES
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))  # in inches; one of each image would take longer
    for i, mistake in enumerate(worst):
        row, column = divmod(i, COLUMNS)
        corner = column * (IMAGE_INCHES + GAP_INCHES), row * (IMAGE_INCHES + TEXT_INCHES)
        name = short_path(name_of_image(mistake.index), LONGEST_IMAGE_NAME)
        _draw_mistake(axes, *corner, mistake, class_names, name)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axes.set_axis_off()
    wrap = int(width * TITLE_CHARACTERS_PER_INCH)
    lines = [line for text in title.split("\n") for line in textwrap.wrap(drawable(text), wrap)]
    axes.text(0, -0.3, "\n".join(lines), va="bottom", fontsize=9, parse_math=False)
    figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.15)


def _describe_choice(total, drawn):
    if drawn == total:
        number = f"{total} mistake{'s' * (total > 1)}, by"
    else:
        number = f"the {drawn} of {total:,} mistakes with the largest"
    return f"{number} probability of the predicted class; images as the model sees them"


def _draw_mistake(axes, left, top, mistake, class_names, name):
    """Draw an image, its name above it, and its classes below it; positions are in inches."""
    first, *others = mistake.true_classes
    true = short_name(class_names[first], LONGEST_NAME) + (f" +{len(others)}" if others else "")
    predicted = short_name(class_names[mistake.predicted], LONGEST_NAME)
    right, bottom = left + IMAGE_INCHES, top + IMAGE_INCHES
    axes.imshow(
        np.repeat(mistake.image, 3 // mistake.image.shape[-1], axis=2),
        extent=(left, right, bottom, top),
    )
    for y, text, color in (
        (top - 0.09, name, "dimgray"),
        (bottom + 0.1, f"predicted {predicted}  {mistake.probability:.3f}", "firebrick"),
        (bottom + 0.24, f"true {true}  {mistake.true_probability:.3f}", "black"),
    ):
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5}
        drawn = axes.text((left + right) / 2, y, text, color=color, parse_math=False, **style)
        widest = IMAGE_INCHES * axes.figure.dpi
        if (found := drawn.get_window_extent().width) > widest:
            drawn.set_fontsize(style["fontsize"] * widest / found)
