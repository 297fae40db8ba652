"""The tables of `benchmark speed`."""

import rich.box
from rich.table import Table

from training.cli.terminal import print_rich

EXPLANATION = """\
To best: the time of the fastest opponent divided by the time of this model, so above 1 is faster;
in parentheses, the range over the repeats. Of limit: the time of the matrix products alone divided
by the time of this model. First call: on one batch, with compilation."""

# Headings and widths.
SPEED_COLUMNS = {"images/s": 8, "ms a batch": 10, "to best": 16, "of limit": 8, "first call": 10}


def print_result(result):
    """Print a `training.benchmarks.speed.Cell` or a `training.benchmarks.speed_memory.Memory`."""
    is_memory = hasattr(result, "peak_megabytes")
    print_rich(_memory(result) if is_memory else _speeds(result))


def print_conditions(comparison):
    """Print what the tables of a `training.benchmarks.speed.Comparison` mean."""
    if comparison.speeds:
        print(EXPLANATION)
    versions = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
    print(
        f"Medians of {comparison.repeats} repeats in {comparison.precision} on "
        f"{comparison.device}, {comparison.cores} cores; {versions}."
    )
    if comparison.missing_packages:
        print(
            f"Flax was left out, since {' and '.join(comparison.missing_packages)} is missing. "
            'Install it with `pip install -e ".[benchmark]"`.'
        )


def _speeds(cell):
    table = _table(cell, cell.what)
    for heading, width in SPEED_COLUMNS.items():
        table.add_column(heading, justify="right", min_width=width, no_wrap=True)
    for speed in (*cell.ours, *cell.opponents):
        table.add_row(
            speed.name,
            f"{speed.images_per_second:,.2f}",
            f"{1000 * speed.batch_seconds:,.1f}",
            f"{speed.to_best:.2f} ({speed.to_best_lowest:.2f}–{speed.to_best_highest:.2f})",
            f"{speed.of_limit:.2f}",
            f"{speed.first_call_seconds:.1f} s",
        )
    limit = f"{cell.batch_size / cell.limit_seconds:,.2f}", f"{1000 * cell.limit_seconds:,.1f}"
    table.add_row(cell.limit, *limit)
    return table


def _memory(result):
    table = _table(result, "peak memory of a step")
    table.add_column("MB", justify="right", min_width=8)
    for name, megabytes in result.peak_megabytes.items():
        table.add_row(name, f"{megabytes:,.0f}")
    table.add_row("keras_mixer to the best opponent", f"{result.to_best:.2f}")
    return table


def _table(result, what):
    """Return an empty table that fits into 80 columns, those of an output that is no terminal."""
    title = f"{result.variant}, batch {result.batch_size}, {what}"
    table = Table(title=title, title_justify="left", box=rich.box.SIMPLE_HEAD, padding=0)
    table.add_column("model", min_width=20, no_wrap=True)
    return table
