"""The files of an evaluation."""

import json
import tempfile
from pathlib import Path

from training.evaluation.confusion import draw_confusion, write_confusion
from training.validation import not_writable

NAMES = ("evaluation.json", "confusion.csv", "confusion.png")


def write_report(folder, entries, confusion, class_names, title):
    """Write an evaluation, replace an earlier one, and return the paths of the files.

    All are written whole before the first takes its place.

    Args:
        folder: Path of the folder.
        entries: What `evaluation.json` is to hold.
        confusion: A `training.evaluation.confusion.Confusion`.
        class_names: Of all classes.
        title: Of the picture.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".draft") as name:
            draft = Path(name)
            json_file, table, picture = (draft / name for name in NAMES)
            json_file.write_text(json.dumps(entries, indent=2) + "\n")
            write_confusion(confusion, class_names, table)
            draw_confusion(confusion, class_names, title, picture)
            for name in NAMES:
                (draft / name).replace(folder / name)
    except OSError as error:
        raise not_writable(folder, error) from error
    return [folder / name for name in NAMES]
