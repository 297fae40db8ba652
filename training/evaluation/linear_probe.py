"""Linear probe: ridge regression from frozen features to classes, in closed form.

This is the linear few-shot protocol of the paper (section 3.1, figures 2 and 4), in float64 on the
host: it needs no backend.
"""

import dataclasses

import numpy as np

PENALTY = 2.0**10  # λ of the published evaluations
BIAS_FEATURE = 100.0  # constant feature, so large that its weight is hardly regularized
SMALLEST_STDDEV = 1e-5  # added to standard deviations
PART = 16_384  # examples


@dataclasses.dataclass(frozen=True)
class LinearProbe:
    """Affine function of standardized features.

    Args:
        mean: Of each feature of the training examples, `(features,)`.
        stddev: Of each feature, `(features,)`, positive.
        weights: `(features + 1, classes)`; the last row belongs to the constant feature.
    """

    mean: np.ndarray
    stddev: np.ndarray
    weights: np.ndarray

    def scores(self, features):
        """Return the scores of the classes, `(examples, classes)`; the largest is the prediction.

        Args:
            features: `(examples, features)`.
        """
        return _with_bias(features, self.mean, self.stddev) @ self.weights

    def accuracy(self, features, labels):
        """Return the fraction of examples whose class has the largest score."""
        return float(np.mean(self.scores(features).argmax(axis=1) == labels))


class RidgePath:
    """Ridge regression on one set of examples for any penalty, after one eigendecomposition.

    For n examples X, (n, d) with the constant feature, and targets Y, which are 1 for the class of
    an example and -1 for the others, the weights are (XᵀX + λI)⁻¹ XᵀY. If n < d they are computed
    as Xᵀ (XXᵀ + λI)⁻¹ Y, which is the same and smaller.

    Args:
        features: `(examples, features)`, finite.
        labels: Class of each example, `(examples,)`, integers in [0, classes).
        classes: Number of classes; some may be without examples.
    """

    def __init__(self, features, labels, classes):
        features, labels = np.asarray(features), np.asarray(labels)
        self.mean = features.mean(axis=0, dtype="float64")
        squares = sum(np.sum((part - self.mean) ** 2, axis=0) for part in _parts(features))
        self.stddev = np.sqrt(squares / len(features)) + SMALLEST_STDDEV
        width = features.shape[1] + 1
        if len(features) < width:
            x = _with_bias(features, self.mean, self.stddev)
            self._eigenvalues, vectors = np.linalg.eigh(x @ x.T)
            self._left, self._right = x.T @ vectors, vectors.T @ _targets(labels, classes)
            return
        gram, products = np.zeros((width, width)), np.zeros((width, classes))
        for part, of_part in zip(_parts(features), _parts(labels), strict=True):
            x = _with_bias(part, self.mean, self.stddev)
            gram += x.T @ x
            products += x.T @ _targets(of_part, classes)
        self._eigenvalues, self._left = np.linalg.eigh(gram)
        self._right = self._left.T @ products

    def probe(self, penalty=PENALTY):
        """Return the `LinearProbe` for a penalty.

        Args:
            penalty: λ, positive.
        """
        scaled = self._right / (self._eigenvalues[:, None] + penalty)
        return LinearProbe(self.mean, self.stddev, self._left @ scaled)


def _parts(array):
    """Return consecutive parts of an array, so that only one at a time is in float64."""
    return (array[start : start + PART] for start in range(0, len(array), PART))


def _targets(labels, classes):
    return np.where(np.arange(classes) == labels[:, None], 1.0, -1.0)


def _with_bias(features, mean, stddev):
    """Return standardized features and the constant one, `(examples, features + 1)`."""
    standardized = (np.asarray(features, "float64") - mean) / stddev
    return np.pad(standardized, ((0, 0), (0, 1)), constant_values=BIAS_FEATURE)
