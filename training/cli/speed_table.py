"""The tables of `benchmark speed`."""

from rich.table import Table

from training.cli.terminal import print_rich

EXPLANATION = """\
To best: the time of the fastest opponent divided by the time of this model, so above 1 is faster;
in parentheses, the range over the repeats. Of limit: the time of the matrix products alone, \
divided
by the time of this model. First call: on one batch, with compilation."""


def print_comparison(result):
    """Print a `training.benchmarks.speed.Comparison`."""
    if result.speeds:
        print_rich(_speeds(result.speeds))
    if result.memory:
        print_rich(_memory(result.memory))
    if result.speeds:
        print(EXPLANATION)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    print(
        f"Medians of {result.repeats} repeats in {result.precision} on {result.device}, "
        f"{result.cores} cores; {versions}."
    )
    if result.missing_packages:
        print(
            f"Flax was left out, since {' and '.join(result.missing_packages)} is missing. "
            'Install it with `pip install -e ".[benchmark]"`.'
        )


def _speeds(cells):
    headings = "model", "images/s", "ms a batch", "to best", "of limit", "first call, s"
    table = Table(*headings)
    for cell in cells:
        table.add_section()
        table.add_row(f"[bold]{cell.variant}, batch {cell.batch_size}, {cell.what}")
        for speed in (*cell.ours, *cell.opponents):
            table.add_row(
                speed.name,
                f"{speed.images_per_second:,.2f}",
                f"{1000 * speed.batch_seconds:,.1f}",
                f"{speed.to_best:.2f} ({speed.to_best_lowest:.2f}–{speed.to_best_highest:.2f})",
                f"{speed.of_limit:.2f}",
                f"{speed.first_call_seconds:.1f}",
            )
        table.add_row(
            cell.limit,
            f"{cell.batch_size / cell.limit_seconds:,.2f}",
            f"{1000 * cell.limit_seconds:,.1f}",
        )
    return table


def _memory(results):
    names = results[0].peak_megabytes
    table = Table("peak memory of a step, MB", *names, "to best")
    for result in results:
        peaks = (f"{result.peak_megabytes[name]:,.0f}" for name in names)
        table.add_row(
            f"{result.variant}, batch {result.batch_size}", *peaks, f"{result.to_best:.2f}"
        )
    return table
