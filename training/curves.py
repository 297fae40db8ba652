"""The picture of a training run."""

import csv

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_curves(history_path, picture_path, title):
    """Draw loss and accuracy over epochs from `history.csv` into a PNG."""
    with open(history_path, newline="") as file:
        by_epoch = {int(row["epoch"]) + 1: row for row in csv.DictReader(file)}
    epochs, rows = list(by_epoch), list(by_epoch.values())

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((metric, "training"), (f"val_{metric}", "validation")):
            if rows[0].get(key, "NA") != "NA":  # Keras writes NA where there is no validation
                axes.plot(epochs, [float(row[key]) for row in rows], label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(picture_path, dpi=120)
