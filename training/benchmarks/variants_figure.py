"""Figure of all variants: speed against FLOPs, and reported accuracies against speed."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

MARKERS = "osD^v<>P"


def draw_variants(result, path):
    """Plot a `training.benchmarks.variants.Variants` into a PNG file.

    Args:
        result: The `Variants`; the accuracies have a panel of their own if there are any.
        path: Path of the file.
    """
    panels = 2 if result.accuracies else 1
    figure = Figure(figsize=(5.5 * panels, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_speeds(axes[0], result)
    if result.accuracies:
        _draw_accuracies(axes[1], result)
    figure.suptitle(f"{result.backend}, {result.cores} cores")
    figure.savefig(path, dpi=120)


def _draw_speeds(axes, result):
    for row in result.variants:
        axes.plot(row.gigaflops, row.images_per_second, "o", color="tab:blue")
        axes.annotate(
            row.variant,
            (row.gigaflops, row.images_per_second),
            textcoords="offset points",
            xytext=(5, 5),
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.15)
    axes.set_xlabel("GFLOPs of one image")
    axes.set_ylabel("images/s, here")
    axes.grid(alpha=0.3, which="both")


def _draw_accuracies(axes, result):
    """Plot one point for each accuracy; a color is a variant, filled where weights exist."""
    speeds = {row.variant: row.images_per_second for row in result.variants}
    for i, (variant, speed) in enumerate(speeds.items()):
        own = [a for a in result.accuracies if a.variant == variant]
        for fill, label in (("full", variant), ("none", None)):
            points = [a.top1 for a in own if a.published == (fill == "full")]
            axes.plot(
                [speed] * len(points),
                points,
                MARKERS[i % len(MARKERS)],
                color=f"C{i}",
                fillstyle=fill,
                label=label if own else None,
            )
    axes.set_xscale("log")
    axes.margins(0.15)
    axes.set_xlabel("images/s, here (224 × 224 pixels)")
    axes.set_ylabel("ImageNet top-1 in percent, reported by others")
    axes.set_title("filled: published weights; hollow: only in the paper", fontsize=9)
    axes.grid(alpha=0.3, which="both")
    axes.legend(ncols=2, fontsize=8)
