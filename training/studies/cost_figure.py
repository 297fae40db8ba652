"""Figure of FLOPs and activation memory against the number of patches."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_growth(growths, path):
    """Plot the cost of each model, with fitted exponents.

    Args:
        growths: `training.studies.cost_growth.Growth` of each model.
        path: Path of the figure, such as `cost.png`.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = (
        ("gigaflops", "flops_exponent", "GFLOPs per image", "matrix products of inference"),
        (
            "activation_megabytes",
            "activation_exponent",
            "MB per image",
            "activations for the backward pass, float32",
        ),
    )
    for axes, (costs, exponent, unit, title) in zip(figure.subplots(1, 2), panels, strict=True):
        for growth, marker in zip(growths, "os^", strict=True):
            overall, end = getattr(growth, exponent), getattr(growth, f"{exponent}_at_the_end")
            axes.plot(
                growth.patches,
                getattr(growth, costs),
                marker=marker,
                label=f"{growth.model}: {overall:.2f}, at the largest three sizes {end:.2f}",
            )
        axes.set(xscale="log", yscale="log", xlabel="patches", ylabel=unit, title=title)
        ticks = growths[0].patches
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
        axes.legend(title="exponent", loc="upper left")
    figure.savefig(path, dpi=120)
