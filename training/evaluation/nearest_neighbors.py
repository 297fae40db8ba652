"""Classification by the nearest neighbors of frozen features (kNN probe)."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LARGEST_BLOCK = 2**24  # similarities in memory at a time


def nearest_neighbors_accuracies(train, train_labels, test, test_labels, neighbors):
    """Return the fraction of test examples whose k nearest training examples have their class.

    Near means a large cosine of the angle between features. The most frequent class among the k
    wins; among equally frequent ones, the class whose neighbors have the largest sum of cosines.

    Args:
        train: Features of the training examples, `(examples, features)`.
        train_labels: `(examples,)`.
        test: `(examples, features)`.
        test_labels: `(examples,)`.
        neighbors: Numbers k, each at most that of training examples.

    Returns:
        `{k: accuracy}`.
    """
    train, test = map(_normalized, (train, test))
    classes = int(max(np.max(train_labels), np.max(test_labels))) + 1
    right = dict.fromkeys(neighbors, 0)
    rows = max(1, LARGEST_BLOCK // len(train))
    for start in range(0, len(test), rows):
        cosines = test[start : start + rows] @ train.T
        nearest = _largest(cosines, max(neighbors))
        cosines = np.take_along_axis(cosines, nearest, axis=1)
        for k in neighbors:
            votes = _vote(train_labels[nearest[:, :k]], cosines[:, :k], classes)
            right[k] += int(np.sum(votes == test_labels[start : start + rows]))
    return {k: number / len(test) for k, number in right.items()}


def draw_neighbors(accuracies, title, path):
    """Plot the accuracy against the number of neighbors; `accuracies` is `{k: accuracy}`."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(list(accuracies), list(accuracies.values()), "o-")
    axes.set_xscale("log")
    axes.set_xticks(list(accuracies), list(map(str, accuracies)))
    axes.set_xticks([], minor=True)
    axes.set_xlabel("nearest training images that vote")
    axes.set_ylabel("test accuracy")
    axes.grid(alpha=0.3)
    figure.suptitle(title, parse_math=False)
    figure.savefig(path, dpi=120)


def _largest(cosines, number):
    """Return the columns of the largest cosines of each row, in descending order."""
    largest = np.argpartition(-cosines, number - 1, axis=1)[:, :number]
    order = np.argsort(-np.take_along_axis(cosines, largest, axis=1), axis=1, kind="stable")
    return np.take_along_axis(largest, order, axis=1)


def _vote(labels, cosines, classes):
    """Return the class that each row of neighbors elects."""
    votes = np.zeros((len(labels), classes))
    # A cosine is at most 1, so that its share cannot outweigh the vote of one neighbor more.
    weights = 1 + cosines / (2 * labels.shape[1] + 1)
    np.add.at(votes, (np.arange(len(labels))[:, None], labels), weights)
    return votes.argmax(axis=1)


def _normalized(features):
    features = np.asarray(features, "float64")
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
