"""Classification by the nearest neighbors of frozen features (kNN probe)."""

import numpy as np

CHUNK = 1024  # examples whose similarities to all neighbors are in memory at a time


def nearest_neighbors_accuracy(train, train_labels, test, test_labels, k):
    """Return the fraction of test examples whose k nearest training examples have their class.

    Near means a large cosine of the angle between features. The most frequent class among the k
    wins; among equally frequent ones, the class whose neighbors have the largest sum of cosines.

    Args:
        train: Features of the training examples, `(examples, features)`.
        train_labels: `(examples,)`.
        test: `(examples, features)`.
        test_labels: `(examples,)`.
        k: Number of neighbors, at most that of training examples.
    """
    train, test = map(_normalized, (train, test))
    classes = int(max(np.max(train_labels), np.max(test_labels))) + 1
    right = 0
    for start in range(0, len(test), CHUNK):
        cosines = test[start : start + CHUNK] @ train.T
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(cosines), classes))
        # A cosine is at most 1, so that its share cannot outweigh the vote of one neighbor more.
        weights = 1 + np.take_along_axis(cosines, nearest, axis=1) / (2 * k + 1)
        np.add.at(votes, (np.arange(len(cosines))[:, None], train_labels[nearest]), weights)
        right += int(np.sum(votes.argmax(axis=1) == test_labels[start : start + CHUNK]))
    return right / len(test)


def _normalized(features):
    features = np.asarray(features, "float64")
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
