"""The catalog of checkpoints as a table for people."""

import rich.box
import rich.console
import rich.table

from keras_mixer.weights.catalog import CHECKPOINTS

WIDTH = 110  # characters; narrower terminals fold the lines


def list_weights() -> None:
    """Print every published checkpoint: what `weights` calls it and what it is.

    The accuracies are those that others report, on ImageNet's validation images; the notes
    below the table say what is known to be wrong or unsure.
    """
    console = rich.console.Console(width=WIDTH, highlight=False)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for heading in ("variant", "weights", "classes", "MB", "pixels", "GELU", "evaluation"):
        table.add_column(heading, no_wrap=True)
    table.add_column("ImageNet top-1, by whom", overflow="fold")
    notes = list(dict.fromkeys(c.warning for c in CHECKPOINTS if c.warning))
    for c in CHECKPOINTS:
        low, high = c.value_range
        mark = f" [{notes.index(c.warning) + 1}]" if c.warning else ""
        table.add_row(
            c.variant,
            rich.markup.escape(f"{c.name}{mark}"),
            str(c.classes),
            f"{c.num_bytes / 1e6:.0f}" if c.num_bytes else "?",
            f"{low} … {high}",
            "tanh" if c.approximate_gelu else "erf",
            c.transform,
            "; ".join(f"{top1:.2f} ({who})" for top1, who in c.top1) or "not published",
        )
    console.print(table)
    for number, note in enumerate(notes, 1):
        console.print(f"[{number}] {note}", markup=False)
    for licence in dict.fromkeys(c.licence for c in CHECKPOINTS):
        names = dict.fromkeys(c.name for c in CHECKPOINTS if c.licence == licence)
        console.print(f"Licence of {', '.join(names)}: {licence}.", markup=False)
