"""Printing of the results of benchmarks, which are dataclasses."""

import dataclasses
import json

from rich.table import Table

from training.cli.terminal import print_rich, print_table


def print_fields(result):
    """Print the fields of a result in two columns."""
    print_table(_cells(dataclasses.asdict(result)))


def print_tables(result, *tables):
    """Print the fields of a result; those in `tables` are tuples of rows of tables of their own."""
    fields = dataclasses.asdict(result)
    rows = {name: fields.pop(name) for name in tables}
    print_table(_cells(fields))
    for name in tables:
        table = Table(*_cells(rows[name][0]), title=name)
        for row in rows[name]:
            table.add_row(*(str(cell) for cell in _cells(row).values()))
        print_rich(table)


def _cells(fields):
    """Return the fields of a result by their names, as they are printed."""
    return {key.replace("_", " "): _cell(value) for key, value in fields.items()}


def _cell(value):
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, tuple):
        separator = " to " if value and isinstance(value[0], float) else ", "
        return separator.join(map(_cell, value))
    return value


def print_json(results):
    """Print a result, or a list of them."""
    if isinstance(results, list):
        results = [dataclasses.asdict(result) for result in results]
    else:
        results = dataclasses.asdict(results)
    print(json.dumps(results, indent=2))
