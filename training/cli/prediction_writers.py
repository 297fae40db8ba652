"""Writers of predictions, batch by batch: tables for people, JSON and CSV for programs."""

import csv
import dataclasses
import json
import sys
import textwrap

import rich
from rich.table import Table
from rich.text import Text

from keras_mixer.terminal import printable


class Writer:
    """Writes predictions to an open text file; `close` writes what is missing at its end."""

    def __init__(self, file):
        self.file = file

    def write(self, predictions):
        """Write each `training.evaluation.prediction.Prediction` of a batch."""
        raise NotImplementedError

    def close(self):
        """Write the end; the file stays open."""


class TableWriter(Writer):
    """Tables of at most `LARGEST_TABLE` images, since a table is laid out when it is complete."""

    LARGEST_TABLE = 1000

    def __init__(self, file):
        super().__init__(file)
        self.console = rich.get_console() if file is sys.stdout else _console_of(file)
        self.predictions = []

    def write(self, predictions):
        self.predictions += predictions
        while len(self.predictions) >= self.LARGEST_TABLE:
            self._write_table(self.predictions[: self.LARGEST_TABLE])
            del self.predictions[: self.LARGEST_TABLE]

    def close(self):
        if self.predictions:
            self._write_table(self.predictions)

    def _write_table(self, predictions):
        table = Table("image", "class", "probability")
        for prediction in predictions:
            classes, probabilities = zip(*prediction.classes, strict=True)
            table.add_row(
                Text(printable(prediction.image), overflow="fold"),
                Text(printable("\n".join(classes))),
                "\n".join(f"{probability:.4f}" for probability in probabilities),
            )
        # rich itself would end the program if the reader of the output has ended.
        with self.console.capture() as captured:
            self.console.print(table)
        self.file.write(captured.get())


def _console_of(file):
    from rich.console import Console  # slow to import, and only needed here

    return Console(file=file)


class JsonWriter(Writer):
    """One JSON list, as `json.dumps` writes it with an indent of 2."""

    def __init__(self, file):
        super().__init__(file)
        self.separator = "["

    def write(self, predictions):
        for prediction in predictions:
            text = json.dumps(dataclasses.asdict(prediction), indent=2)
            self.file.write(f"{self.separator}\n{textwrap.indent(text, '  ')}")
            self.separator = ","

    def close(self):
        self.file.write("[]\n" if self.separator == "[" else "\n]\n")


class JsonLinesWriter(Writer):
    """One JSON object on each line."""

    def write(self, predictions):
        for prediction in predictions:
            self.file.write(json.dumps(dataclasses.asdict(prediction)) + "\n")


class CsvWriter(Writer):
    """One row for each image and class."""

    HEADER = ("image", "rank", "class", "probability")

    def __init__(self, file):
        super().__init__(file)
        # A terminal would take some characters in names as commands; a program needs them.
        self.text = printable if file.isatty() else str
        self.rows = csv.writer(file, lineterminator="\n")
        self.rows.writerow(self.HEADER)

    def write(self, predictions):
        for prediction in predictions:
            image = self.text(prediction.image)
            for rank, (name, probability) in enumerate(prediction.classes, 1):
                self.rows.writerow([image, rank, self.text(name), probability])


WRITERS: dict[str, type[Writer]] = {
    "table": TableWriter,
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "csv": CsvWriter,
}
