"""Figure of time and FLOPs against the number of patches."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def plot_patches(result, path):
    """Plot a `training.benchmarks.patches.Patches` into a file of any format of matplotlib.

    Args:
        result: The results.
        path: Path of the figure, such as `patches.svg`.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = (
        ("milliseconds_per_image", "ms per image", "time_at_the_end", "measured time"),
        ("gigaflops_per_image", "GFLOPs per image", "flops_at_the_end", "matrix products"),
    )
    for axes, (field, unit, end, title) in zip(figure.subplots(1, 2), panels, strict=True):
        for exponents, marker in zip(result.exponents, "os^", strict=True):
            points = [point for point in result.points if point.model == exponents.model]
            overall = getattr(exponents, end.removesuffix("_at_the_end"))
            axes.plot(
                [point.patches for point in points],
                [getattr(point, field) for point in points],
                marker=marker,
                label=f"{exponents.model}: {overall:.2f}, at the end {getattr(exponents, end):.2f}",
            )
        axes.set(xscale="log", yscale="log", xlabel="patches", ylabel=unit, title=title)
        ticks = sorted({point.patches for point in result.points})
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * 8)  # room for the legend
        axes.legend(title="exponent", loc="upper left")
    figure.savefig(path, dpi=120, metadata={"Date": None} if str(path).endswith("svg") else None)
