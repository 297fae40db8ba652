"""CSV file with the prediction of a model for each image of a split, written batch by batch."""

import csv

COLUMNS = ("image", "true", "predicted", "probability", "true_probability", "correct")
BETWEEN_CLASSES = "|"  # between the true classes of an image that has several


class PredictionsFile:
    """The file, which has a row for each example that has a label, in the order of the split.

    Args:
        draft: The `training.evaluation.report.Draft` in which the file is written.
        name: Name of the file.
        class_names: Names of all classes.
        name_of_image: Function from the index of an example to the name of its image.
    """

    def __init__(self, draft, name, class_names, name_of_image):
        self._writing = lambda: draft.writing(name)
        self._class_names = class_names
        self._name_of_image = name_of_image
        with self._writing() as path:
            self._file = open(path, "w", encoding="utf-8", errors="surrogateescape", newline="")
            self._writer = csv.writer(self._file, lineterminator="\n")
            self._writer.writerow(COLUMNS)

    def add(self, batch):
        """Write the rows of a `training.evaluation.evaluated_batch.EvaluatedBatch`."""
        with self._writing():
            self._writer.writerows(self._row(batch, row) for row in range(len(batch.indices)))

    def close(self):
        with self._writing():
            self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _row(self, batch, row):
        names = self._class_names
        return (
            self._name_of_image(int(batch.indices[row])),
            BETWEEN_CLASSES.join(names[c] for c in batch.true_classes(row)),
            names[batch.predicted[row]],
            f"{batch.confidence[row]:.8g}",
            f"{batch.true_probability[row]:.8g}",
            bool(batch.is_right[row]),
        )
