"""Figure of the speeds of all contestants as fractions of the limit."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH_OF_BARS = 0.8  # of the distance between two groups


def draw_speeds(comparison, path):
    """Plot a `training.benchmarks.speed.Comparison`, with its speeds, into a PNG file.

    Inference and training have a panel each. A group of bars is a variant and a batch size, a bar
    is a contestant, and a number on a bar is its speed in images per second.
    """
    panels: dict[str, list] = {}
    for cell in comparison.speeds:
        panels.setdefault(cell.what, []).append(cell)
    most = max(map(len, panels.values()))
    figure = Figure(figsize=(max(7, 1.5 + 1.7 * most), 3.2 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(panels), squeeze=False).flat
    for axes, (what, cells) in zip(rows, panels.items(), strict=True):
        _draw_panel(axes, what, cells)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False
    )
    figure.suptitle(f"{comparison.backend}, {comparison.precision}, {comparison.cores} cores")
    figure.savefig(path, dpi=120)


def _draw_panel(axes, what, cells):
    names = [speed.name for speed in (*cells[0].ours, *cells[0].opponents)]
    width = WIDTH_OF_BARS / len(names)
    for i, name in enumerate(names):
        speeds = [speed for c in cells for speed in (*c.ours, *c.opponents) if speed.name == name]
        positions = [group + (i + 0.5) * width - WIDTH_OF_BARS / 2 for group in range(len(cells))]
        bars = axes.bar(positions, [speed.of_limit for speed in speeds], width, label=name)
        labels = [f"{speed.images_per_second:.3g}" for speed in speeds]
        axes.bar_label(bars, labels, label_type="center", color="white", fontsize=7, rotation=90)
    axes.axhline(1, color="black", linewidth=1, linestyle="--", label="matrix products alone")
    axes.set_xticks(range(len(cells)), [f"{c.variant}\nbatch {c.batch_size}" for c in cells])
    axes.set_ylim(0, 1.05 * max(1, axes.dataLim.y1))
    axes.set_title(what)
    axes.set_ylabel("fraction of the limit")
