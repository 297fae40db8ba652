"""Plot of the loss and the accuracy over epochs."""

import csv

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keras_mixer.files import read_text


def draw_curves(history_path, figure_path, title):
    """Plot loss and accuracy from `history.csv` into a PNG file."""
    rows = list(csv.DictReader(read_text(history_path).splitlines()))
    epochs = [int(row["epoch"]) for row in rows]

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((metric, "training"), (f"val_{metric}", "validation")):
            if key in rows[0]:
                axes.plot(epochs, [float(row[key]) for row in rows], label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(figure_path, dpi=120)
