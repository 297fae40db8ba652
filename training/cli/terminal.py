"""What commands print: tables for people, JSON for programs."""

from typing import Annotated

import rich
import tyro
from rich.table import Table
from rich.text import Text

from keras_mixer.terminal import printable

JsonFlag = Annotated[bool, tyro.conf.arg(name="json")]


def print_table(rows):
    """Print `{name: value}` in two columns."""
    table = Table(show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(printable(value), overflow="fold"))
    print_rich(table)


def print_rich(table):
    """Print a table of rich, which would end the program if the reader of the output has ended."""
    console = rich.get_console()
    with console.capture() as captured:
        console.print(table)
    print(captured.get(), end="", flush=True)


def abbreviate(names):
    """Return the first five of `names` in one line."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
