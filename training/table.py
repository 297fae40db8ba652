"""Tables on the terminal."""

import rich
from rich.table import Table
from rich.text import Text


def print_table(rows):
    """Print `{name: value}` in two columns."""
    table = Table(show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(str(value), overflow="fold"))
    rich.print(table)
