"""Files that an evaluation writes."""

import json
import tempfile
from pathlib import Path

from training.evaluation.confusion import draw_confusion, write_confusion
from training.validation import not_writable

NAMES = ("evaluation.json", "confusion.csv", "confusion.png")


def write_report(folder, entries, confusion, class_names, title):
    """Write the files of an evaluation and return their paths.

    Files of an earlier evaluation are replaced once all new ones are complete.

    Args:
        folder: Path of the folder.
        entries: Entries of `evaluation.json`.
        confusion: A `training.evaluation.confusion.Confusion`.
        class_names: Names of all classes.
        title: Title of the figure.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".draft") as name:
            draft = Path(name)
            json_file, table, figure = (draft / name for name in NAMES)
            json_file.write_text(json.dumps(entries, indent=2) + "\n")
            write_confusion(confusion, class_names, table)
            draw_confusion(confusion, class_names, title, figure)
            for name in NAMES:
                (draft / name).replace(folder / name)
    except OSError as error:
        raise not_writable(folder, error) from error
    return [folder / name for name in NAMES]
