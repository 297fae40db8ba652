"""Files that an evaluation writes."""

import contextlib
import json
import tempfile
from pathlib import Path

from training.evaluation.class_metrics import write_class_metrics
from training.evaluation.confusion import draw_confusion, write_confusion
from training.evaluation.mistakes import draw_mistakes
from training.validation import not_writable

ENTRIES = "evaluation.json"
CLASSES = "classes.csv"
CONFUSION = "confusion.csv"
CONFUSION_FIGURE = "confusion.png"
MISTAKES_FIGURE = "mistakes.png"
PREDICTIONS = "predictions.csv"
NAMES = {  # of all files, and what a person calls them
    ENTRIES: "results",
    CLASSES: "classes",
    CONFUSION: "confusion matrix",
    CONFUSION_FIGURE: "figure",
    MISTAKES_FIGURE: "worst mistakes",
    PREDICTIONS: "predictions",
}


class Draft:
    """Files of an evaluation until all are complete; a `with` block removes what is left of them.

    Args:
        folder: Path of the folder that `publish` moves them to.
    """

    def __init__(self, folder):
        self._folder = folder
        with self._errors_of_folder():
            self._draft = tempfile.TemporaryDirectory(dir=folder, prefix=".draft")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._draft.cleanup()

    @contextlib.contextmanager
    def writing(self, name):
        """Yield the path of a file to write; an OSError is a mistake in `--output-dir`."""
        with self._errors_of_folder():
            yield Path(self._draft.name, name)

    def publish(self):
        """Replace the files of an earlier evaluation; remove those that are not written anymore.

        Returns:
            `{name: path}` of the new files.
        """
        paths = {}
        for name in NAMES:
            with self.writing(name) as draft:
                path = self._folder / name
                if draft.exists():
                    paths[name] = draft.replace(path)
                else:
                    path.unlink(missing_ok=True)
        return paths

    @contextlib.contextmanager
    def _errors_of_folder(self):
        try:
            yield
        except OSError as error:
            raise not_writable(self._folder, error) from error


def write_report(
    draft, entries, title, class_names, confusion, metrics, mistakes, name_of_image=str
):
    """Write the files of an evaluation, publish them, and return `{name: path}`.

    Args:
        draft: A `Draft`, which may have other files already.
        entries: Entries of `evaluation.json`.
        title: Title of the figures.
        class_names: Names of all classes.
        confusion: A `training.evaluation.confusion.Confusion`.
        metrics: A `training.evaluation.class_metrics.ClassMetrics`, or None if an image may have
            several classes.
        mistakes: A `training.evaluation.mistakes.Mistakes`.
        name_of_image: Function from the index of an example to the name of its image.
    """
    with draft.writing(ENTRIES) as path:
        path.write_text(json.dumps(entries, indent=2) + "\n")
    if metrics:
        with draft.writing(CLASSES) as path:
            write_class_metrics(metrics, class_names, path)
    with draft.writing(CONFUSION) as path:
        write_confusion(confusion, class_names, path)
    with draft.writing(CONFUSION_FIGURE) as path:
        note = "" if metrics else "\nan incorrect prediction counts for each class of the image"
        draw_confusion(confusion, class_names, title + note, path)
    if mistakes.total:
        with draft.writing(MISTAKES_FIGURE) as path:
            draw_mistakes(mistakes, class_names, name_of_image, title, path)
    return draft.publish()
