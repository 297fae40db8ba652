import csv
import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    precision_recall_fscore_support,
)

from training.evaluation.class_metrics import ClassMetrics, write_class_metrics
from training.evaluation.confusion import Confusion

pytestmark = pytest.mark.backend("torch")  # NumPy alone


def metrics_of(true, predicted, classes):
    labels = np.zeros((len(true), classes))
    labels[np.arange(len(true)), true] = 1
    confusion = Confusion()
    confusion.add(labels, np.asarray(predicted))
    return ClassMetrics(confusion, classes)


def predictions(present, classes, images, accuracy, seed):
    """Return true classes, all of them `present`, and predicted classes."""
    rng = np.random.default_rng(seed)
    true = rng.choice(present, images)
    true[: len(present)] = present
    return true, np.where(rng.random(images) < accuracy, true, rng.integers(0, classes, images))


@pytest.mark.parametrize(
    ("present", "classes"),
    [([0, 1], 2), (list(range(10)), 10), ([1, 4, 5], 7), ([2], 3), ([5, 700], 1000)],
)
@pytest.mark.parametrize("accuracy", [0, 0.3, 0.9, 1])
def test_metrics_are_those_of_scikit_learn(present, classes, accuracy):
    """Bit for bit, also if some classes have no examples or are never predicted."""
    true, predicted = predictions(present, classes, 200, accuracy, seed=classes)
    metrics = metrics_of(true, predicted, classes)
    expected = precision_recall_fscore_support(
        true, predicted, labels=range(classes), zero_division=np.nan
    )
    found = metrics.precision, metrics.recall, metrics.f1, metrics.support
    for own, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, theirs)
    with warnings.catch_warnings():  # about classes that are predicted and have no examples
        warnings.simplefilter("ignore")
        assert metrics.balanced_accuracy() == balanced_accuracy_score(true, predicted)
    assert metrics.macro_f1() == f1_score(true, predicted, labels=present, average="macro")


def test_metrics_by_hand():
    """Of cat, dog, emu and fox: dog is never predicted, emu has no examples, fox is neither."""
    metrics = metrics_of([0, 0, 0, 1], [0, 0, 2, 0], 4)
    np.testing.assert_array_equal(metrics.support, [3, 1, 0, 0])
    np.testing.assert_array_equal(metrics.precision, [2 / 3, np.nan, 0, np.nan])
    np.testing.assert_array_equal(metrics.recall, [2 / 3, 0, np.nan, np.nan])
    np.testing.assert_array_equal(metrics.f1, [4 / 6, 0, 0, np.nan])
    assert metrics.balanced_accuracy() == (2 / 3 + 0) / 2
    assert metrics.macro_f1() == (4 / 6 + 0) / 2


def test_classes_without_examples_are_left_out_of_the_means():
    true, predicted = predictions([1, 3], 9, 100, 0.8, seed=0)
    metrics, of_more = (metrics_of(true, predicted, classes) for classes in (9, 21_843))
    recall, f1 = metrics.recall[[1, 3]].mean(), metrics.f1[[1, 3]].mean()
    assert metrics.balanced_accuracy() == of_more.balanced_accuracy() == recall
    assert metrics.macro_f1() == of_more.macro_f1() == f1


def test_the_csv_file_has_a_row_for_each_class(tmp_path):
    names = ['say "cheese"', "a, b", "Zürich", "caf\udce9"]  # the last from an old archive
    write_class_metrics(metrics_of([0, 0, 0, 1], [0, 0, 2, 0], 4), names, tmp_path / "classes.csv")
    with open(tmp_path / "classes.csv", newline="", errors="surrogateescape") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["class", "precision", "recall", "f1", "support"],
        [names[0], "0.66666667", "0.66666667", "0.66666667", "3"],
        [names[1], "", "0", "0", "1"],
        [names[2], "0", "", "0", "0"],
        [names[3], "", "", "", "0"],
    ]
