"""The tables of `compare`."""

import os
from pathlib import Path

import rich
import rich.box
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from keras_mixer.terminal import printable
from training.cli.studies.training import format_mean
from training.cli.terminal import abbreviate, print_rich
from training.comparing.comparison import show

COLUMNS = {  # heading and format of each result
    "test_accuracy": ("test accuracy", ".4f"),
    "test_loss": ("test loss", ".4f"),
    "best_val_accuracy": ("best validation accuracy", ".4f"),
    "best_val_loss": ("best validation loss", ".4f"),
    "wall_seconds": ("seconds", ",.0f"),
    "train_images_per_second": ("training images/s", ",.0f"),
}
ABSENT = "–"
NARROWEST = 14  # characters that a column of values needs, with the space beside it
UNLIMITED = 10**6  # characters, more than any table needs
TEST_IMAGES = ("source", "test_split", "test_fraction", "test_examples")  # what they depend on


def print_comparison(comparison):
    """Print a `training.comparing.comparison.Comparison` as two tables, and how to read them."""
    print_rich(_differences(comparison))
    print_rich(_results(comparison))
    for note in _notes(comparison):
        print(note)


def _differences(comparison):
    """Return the table of what differs, in the first form that fits into the terminal.

    These are: a row for each group; a column for each group; and a row with one text for each.
    """
    folder, names = _short_names([run.path for group in comparison.groups for run in group.runs])
    rows = [["#", "runs", "seeds", *map(comparison.title, comparison.differing)]]
    for number, group in enumerate(comparison.groups, 1):
        runs = abbreviate([names[run.path] for run in group.runs])
        own = comparison.differences(group)
        values = [show(name, own[name]) if name in own else ABSENT for name in comparison.differing]
        rows.append([str(number), runs, abbreviate([str(seed) for seed in group.seeds]), *values])
    table = _table(rows)
    console = rich.get_console()
    if not _fits(table, console):
        if NARROWEST * len(rows) <= console.width:
            table = _table([*zip(*rows, strict=True)])
        else:
            texts = ["what differs", *map(comparison.label, comparison.groups)]
            table = _table([[*row[:3], text] for row, text in zip(rows, texts, strict=True)])
    table.title = Text(printable(f"Runs in {folder}"))
    return table


def _fits(table, console):
    """Return whether no word of a table has to be broken."""
    unlimited = console.options.update(width=UNLIMITED)
    return Measurement.get(console, unlimited, table).minimum <= console.width


def _results(comparison):
    """Return the table of the results that any run has."""
    shown = [
        name
        for name in COLUMNS
        if any(group.spread(name) for group in comparison.groups)
        and (name != "test_loss" or comparison.metric == name)
    ]
    rows = [["#", "runs", *(COLUMNS[name][0] for name in shown)]]
    for number, group in enumerate(comparison.groups, 1):
        count = str(len(group.runs)) if group.is_finished else group.runs[0].progress
        cells = [_cell(group.spread(name), COLUMNS[name][1]) for name in shown]
        rows.append([str(number), count, *cells])
    table = _table(rows)
    table.title = "Results"
    return table


def _cell(spread, form):
    return ABSENT if spread is None else format_mean(spread, form)


def _notes(comparison):
    """Yield the sentences that explain the tables."""
    groups = comparison.groups
    if any(len(group.runs) > 1 for group in groups):
        yield "Mean ± sample standard deviation over runs that differ in the seed only."
    if any(not group.is_finished for group in groups):
        yield "Unfinished runs count in no mean, and come last."
    if names := [name for name in TEST_IMAGES if name in comparison.differing]:
        causes = " and ".join(map(comparison.title, names))
        yield f"Test images may differ between the groups, because of {causes}."


def _short_names(paths):
    """Return the folder that paths have in common, and `{path: name in it}`."""
    known = {p: p if all(not q.is_absolute() for q in paths) else p.absolute() for p in paths}
    folder = Path(os.path.commonpath([path.parent for path in known.values()]))
    return folder, {path: str(long.relative_to(folder)) for path, long in known.items()}


def _table(rows):
    """Return a table of rows, the headings first, without borders, which need room."""
    table = Table(box=rich.box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    # Text, because names from files may look like the markup of rich.
    headings, *others = [[Text(printable(cell), overflow="fold") for cell in r] for r in rows]
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for cells in others:
        table.add_row(*cells)
    return table
