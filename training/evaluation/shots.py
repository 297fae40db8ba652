"""A few training examples of each class, and the penalty of a linear probe chosen on them."""

import numpy as np

from training.errors import UserError
from training.evaluation.linear_probe import PENALTY, RidgePath

PENALTIES = tuple(2.0**exponent for exponent in range(-10, 20))  # that are tried
MOST_FOLDS = 5


def draw_shots(labels, classes, shots, seed):
    """Return the indices of `shots` examples of each class, drawn without replacement.

    They are grouped by shot: the first `classes` indices are one example of each class, in the
    order of the classes, and so on. With the same seed, fewer shots are a part of more.

    Args:
        labels: Class of each example, `(examples,)`, integers in [0, classes).
        classes: Number of classes.
        shots: Number of examples of each class.
        seed: Seed of the draw.

    Raises:
        UserError: If a class has fewer examples.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(np.asarray(labels)[order], kind="stable")]  # by class, then at random
    require_shots(labels, classes, shots)
    counts = np.bincount(labels, minlength=classes)
    first = np.cumsum(counts) - counts  # of each class
    return order[first + np.arange(shots)[:, None]].ravel()


def require_shots(labels, classes, shots):
    """Raise UserError unless each class has `shots` examples; see `draw_shots`."""
    fewest = np.bincount(labels, minlength=classes).min()
    if fewest < shots:
        raise UserError(
            f"--shots must be at most the number of training images of the rarest class, {fewest}. "
            f"Received: {shots}. Pass --shots {max(fewest, 1)}, or a source with more training "
            "images."
        )


def choose_penalty(features, labels, classes):
    """Return the penalty with the best accuracy in cross-validation, for examples of `draw_shots`.

    Fold k holds out every k-th shot of all classes. Among equals, the largest penalty wins. One
    shot cannot be divided: it keeps the default penalty.

    Args:
        features: `(shots × classes, features)`, grouped by shot.
        labels: `(shots × classes,)`.
        classes: Number of classes.
    """
    shot = np.arange(len(labels)) // classes
    folds = min(shot[-1] + 1, MOST_FOLDS)
    if folds == 1:
        return PENALTY
    accuracies = np.zeros(len(PENALTIES))
    for k in range(folds):
        held_out = shot % folds == k
        path = RidgePath(features[~held_out], labels[~held_out], classes)
        accuracies += [
            path.probe(penalty).accuracy(features[held_out], labels[held_out])
            for penalty in PENALTIES
        ]
    best = np.flatnonzero(np.isclose(accuracies, accuracies.max()))[-1]
    return PENALTIES[best]
