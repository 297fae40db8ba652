"""Figures of hidden units of token mixing, of stem filters, and of their change in a run."""

import math

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from training.studies.hidden_units import mean_frequencies

DPI = 120
SHAPE = 1.25  # width of a mosaic divided by its height, about
SMALLEST_WIDTH = 700  # of a mosaic, in pixels
LARGEST_WIDTH = 10.0  # of a mosaic, in inches
SMALLEST_HEIGHT = 3.0  # of a mosaic, in inches
FEWEST_PIXELS = 3  # per weight
BACKGROUND = (0.8, 0.87, 1.0)  # of filters, which can be black, gray or white


def draw_units(units, result, title, path):
    """Draw the hidden units of a block as in figures 5 and 6: each beside its closest inverse.

    Args:
        units: `HiddenUnits`.
        result: Their `BlockResult`.
        title: First line of the title.
        path: Path of the figure.
    """
    mosaic = arrange(pair_tiles(units), gap=max(2, units.maps.shape[2] // 5))
    figure, axes = _figure_of(mosaic, width_of_legend=1.2)
    colors = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
    image = axes.imshow(mosaic, cmap=colors, vmin=-1, vmax=1, interpolation="nearest")
    figure.colorbar(image, shrink=0.6, label="weight / largest of its unit")
    figure.suptitle(
        f"{title}\nblock {result.block}: {result.units} hidden units of token mixing, each beside "
        f"its closest inverse, low frequencies first\nmean cosine {result.mean_cosine:.2f}, by "
        f"chance up to {max(result.controls.values()):.2f}: pairs {result.verdict}",
        parse_math=False,
        fontsize=10,
    )
    figure.savefig(path)


def pair_tiles(units):
    """Return `HiddenUnits` as tiles of two maps side by side, each divided by its largest weight.

    The tiles are `(pairs, rows, 2 columns + 1)`, in the order of `HiddenUnits.pairs`, with NaN
    between the maps and in place of a missing partner.
    """
    largest = np.abs(units.maps).max(axis=(1, 2), keepdims=True)
    maps = units.maps / np.where(largest > 0, largest, 1)
    blank = np.full((1, *maps.shape[1:]), np.nan)
    maps = np.concatenate([maps, blank])  # number -1 is the missing partner
    first, second = np.array(units.pairs()).T
    border = np.full((len(first), maps.shape[1], 1), np.nan)
    return np.concatenate([maps[first], border, maps[second]], axis=2)


def draw_stem(kernel, title, path):
    """Draw the filters of the stem as in figure 7, low frequencies first.

    Args:
        kernel: `(patch height, patch width, channels, hidden_dim)`; three channels are red, green
            and blue, and the mean of any other number is gray.
        title: First line of the title.
        path: Path of the figure.
    """
    filters = kernel.transpose(3, 0, 1, 2)  # (hidden_dim, patch height, patch width, channels)
    order = np.argsort(mean_frequencies(filters), kind="stable")
    if filters.shape[3] != 3:
        filters = np.repeat(filters.mean(axis=3, keepdims=True), 3, axis=3)
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    colors = 0.5 + 0.5 * filters / np.where(largest > 0, largest, 1)
    mosaic = arrange(colors[order], gap=max(1, filters.shape[2] // 8))
    figure, axes = _figure_of(mosaic)
    axes.imshow(np.where(np.isnan(mosaic), BACKGROUND, mosaic), interpolation="nearest")
    figure.suptitle(
        f"{title}\n{len(filters)} filters of the stem, low frequencies first; gray is 0",
        parse_math=False,
        fontsize=10,
    )
    figure.savefig(path)


def draw_changes(changes, title, path):
    """Plot how the hidden units of each block change over the checkpoints of a run.

    Args:
        changes: A list of `Change`.
        title: Title.
        path: Path of the figure.
    """
    blocks = max(change.block for change in changes) + 1
    # Without the yellow end, which is hard to see on white.
    palette = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 0.85, blocks)))
    panels = {
        "relative_change": "change since the first checkpoint, relative",
        "mean_frequency": "mean frequency, cycles per patch",
        "mean_cosine": "mean cosine with the closest inverse",
    }
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(1, 3)
    for axes, (field, label) in zip(all_axes, panels.items(), strict=True):
        for block in range(blocks):
            own = [change for change in changes if change.block == block]
            values = [getattr(change, field) for change in own]
            axes.plot([change.step for change in own], values, ".-", color=palette(block))
        axes.set(xlabel="step", ylabel=label)
        axes.grid(alpha=0.3)
    norm = BoundaryNorm(np.arange(blocks + 1) - 0.5, blocks)
    ticks = np.arange(0, blocks, math.ceil(blocks / 12))
    figure.colorbar(ScalarMappable(norm, palette), ax=all_axes, label="block", ticks=ticks)
    figure.suptitle(title, parse_math=False)
    figure.savefig(path, dpi=DPI)


def arrange(tiles, gap):
    """Return tiles side by side in rows from left to right, with NaN between and after them.

    Args:
        tiles: `(tiles, height, width, …)`.
        gap: Height and width of the space between tiles.
    """
    number, height, width = len(tiles), tiles.shape[1] + gap, tiles.shape[2] + gap
    columns = min(number, math.ceil(math.sqrt(number * SHAPE * height / width)))
    rows = math.ceil(number / columns)
    padding = [(0, rows * columns - number), (0, gap), (0, gap)] + [(0, 0)] * (tiles.ndim - 3)
    padded = np.pad(tiles, padding, constant_values=np.nan)
    grid = padded.reshape(rows, columns, *padded.shape[1:]).swapaxes(1, 2)
    # (rows, height, columns, width, …)
    return grid.reshape(rows * height, columns * width, *tiles.shape[3:])[:-gap, :-gap]


def _figure_of(mosaic, width_of_legend=0.0):
    """Return a figure with room for a mosaic, a title and a legend, and its axes.

    The resolution of a large mosaic is higher, so that texts keep their size relative to it.
    """
    height, width = mosaic.shape[:2]
    pixels = max(FEWEST_PIXELS * width, SMALLEST_WIDTH)
    inches = min(pixels / DPI, LARGEST_WIDTH)
    size = inches + width_of_legend + 0.1, max(inches * height / width, SMALLEST_HEIGHT) + 0.7
    figure = Figure(figsize=size, dpi=pixels / inches, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_axis_off()
    return figure, axes
