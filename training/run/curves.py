"""Plot of the loss and the accuracy over epochs."""

import math

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_curves(history, figure_path, title):
    """Plot loss and accuracy into a PNG file; `history` has a dictionary for each epoch."""
    epochs = [row["epoch"] for row in history]

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((metric, "training"), (f"val_{metric}", "validation")):
            if key in history[0]:
                axes.plot(epochs, [row.get(key, math.nan) for row in history], label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title, parse_math=False)  # a folder may have dollar signs in its name
    figure.savefig(figure_path, dpi=120)
