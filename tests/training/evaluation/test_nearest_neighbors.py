import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from training.evaluation import nearest_neighbors
from training.evaluation.nearest_neighbors import nearest_neighbors_accuracies

pytestmark = pytest.mark.backend("torch")  # computed by NumPy


def examples(number, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, number)
    centers = np.random.default_rng(9).standard_normal((4, 6))
    return centers[labels] + 1.2 * rng.standard_normal((number, 6)), labels


def test_accuracies_are_those_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(
        nearest_neighbors, "LARGEST_BLOCK", 17 * 80
    )  # of 17 rows; the last is smaller
    (train, train_labels), (test, test_labels) = examples(80, 0), examples(50, 1)
    keep = test_labels != 3  # a class may be missing from one of the two
    test, test_labels = test[keep], test_labels[keep]
    found = nearest_neighbors_accuracies(train, train_labels, test, test_labels, (1, 3, 6))
    for k, accuracy in found.items():
        # Such weights break ties as ours do, and leave the other votes as they are.
        other = KNeighborsClassifier(
            k, metric="cosine", weights=lambda d, k=k: 1 + (1 - d) / (2 * k + 1)
        )
        assert accuracy == other.fit(train, train_labels).score(test, test_labels)
        assert 0.3 < accuracy < 1


def test_among_equally_frequent_classes_the_nearer_wins():
    train = np.array([[1, 0], [1, 1], [0, 1.0]])
    for label in (0, 1):
        labels = np.array([label, 1 - label, 1 - label])
        found = nearest_neighbors_accuracies(train, labels, np.array([[9, 1.0]]), [label], (2, 3))
        assert found == {2: 1, 3: 0}


def test_the_length_of_features_does_not_count():
    train, labels = examples(60, 0)
    test, test_labels = examples(30, 1)
    expected = nearest_neighbors_accuracies(train, labels, test, test_labels, (5,))
    scaled = nearest_neighbors_accuracies(100 * train, labels, 0.01 * test, test_labels, (5,))
    assert scaled == expected
