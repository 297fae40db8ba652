"""Precision, recall and F1 of each class, and their means over the classes."""

import csv

import numpy as np


class ClassMetrics:
    """Precision, recall, F1 and number of examples of each class, from a confusion matrix.

    With TP examples of a class that were predicted as such, FN that were predicted as another
    class, and FP examples of other classes that were predicted as this one:

        precision = TP / (TP + FP)    recall = TP / (TP + FN)    F1 = 2 TP / (2 TP + FP + FN)

    What would be 0 / 0 is NaN: the precision of a class that is never predicted, the recall of a
    class without examples, and the F1 of a class that is neither.

    Args:
        confusion: A `training.evaluation.confusion.Confusion` of images of one class each.
        num_classes: Number of classes of the model.
    """

    def __init__(self, confusion, num_classes):
        right, predicted, support = np.zeros((3, num_classes), np.int64)
        for (true_class, predicted_class), count in confusion.counts.items():
            support[true_class] += count
            predicted[predicted_class] += count
            right[true_class] += count * (true_class == predicted_class)
        self.support = support
        self.precision = _divide(right, predicted)
        self.recall = _divide(right, support)
        self.f1 = _divide(2 * right, support + predicted)

    def balanced_accuracy(self):
        """Return the mean recall over the classes that have examples."""
        return float(self.recall[self.support > 0].mean())

    def macro_f1(self):
        """Return the mean F1 over the classes that have examples."""
        return float(self.f1[self.support > 0].mean())


def write_class_metrics(metrics, class_names, path):
    """Write a CSV file with a row for each class; a metric that is NaN is empty."""
    columns = (metrics.precision, metrics.recall, metrics.f1)
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class", "precision", "recall", "f1", "support"])
        for i, name in enumerate(class_names):
            values = ("" if np.isnan(column[i]) else f"{column[i]:.8g}" for column in columns)
            writer.writerow([name, *values, metrics.support[i]])


def _divide(numerator, denominator):
    """Return the quotient, NaN where the denominator is 0."""
    quotient = np.full(len(numerator), np.nan)
    return np.divide(numerator, denominator, out=quotient, where=denominator > 0)
