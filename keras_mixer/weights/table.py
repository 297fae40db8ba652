"""The catalog of published weights, printed as a table."""

import rich.box
import rich.console
import rich.table

from keras_mixer.weights.catalog import CATALOG

WIDTH = 110  # characters; narrower terminals fold the lines


def list_weights() -> None:
    """Print the table of published weights: the name to pass as `weights`, and what each file is.

    The accuracies are those that others report, on ImageNet's validation images. The notes below
    the table say what is known to be wrong or uncertain.
    """
    console = rich.console.Console(width=WIDTH, highlight=False)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for heading in ("variant", "weights", "classes", "MB", "pixels", "GELU", "evaluation"):
        table.add_column(heading, no_wrap=True)
    table.add_column("ImageNet top-1, reported by", overflow="fold")
    notes = list(dict.fromkeys(row.warning for row in CATALOG if row.warning))
    for row in CATALOG:
        low, high = row.value_range
        mark = f" [{notes.index(row.warning) + 1}]" if row.warning else ""
        table.add_row(
            row.variant,
            rich.markup.escape(f"{row.name}{mark}"),
            str(row.classes),
            f"{row.num_bytes / 1e6:.0f}" if row.num_bytes else "?",
            f"{low} … {high}",
            "tanh" if row.approximate_gelu else "erf",
            row.transform,
            "; ".join(f"{top1:.2f} ({who})" for top1, who in row.top1) or "not published",
        )
    # rich itself would end the program with status 1 if the reader of the output has ended.
    with console.capture() as captured:
        console.print(table)
        for number, note in enumerate(notes, 1):
            console.print(f"[{number}] {note}", markup=False)
        for license in dict.fromkeys(row.licence for row in CATALOG):
            names = dict.fromkeys(row.name for row in CATALOG if row.licence == license)
            console.print(f"License of {', '.join(names)}: {license}.", markup=False)
    print(captured.get(), end="")
