"""Linear probe: ridge regression from frozen features to classes, in closed form.

This is the linear few-shot protocol of the paper (section 3.1, figures 2 and 4), in float64 on the
host: it needs no backend.
"""

import dataclasses

import numpy as np

PENALTY = 2.0**10  # λ of the published evaluations
BIAS_FEATURE = 100.0  # constant feature, so large that its weight is hardly regularized
SMALLEST_STDDEV = 1e-5  # added to standard deviations


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
        features = np.asarray(features, "float64")
        self.mean = features.mean(axis=0)
        self.stddev = features.std(axis=0) + SMALLEST_STDDEV
        x = _with_bias(features, self.mean, self.stddev)
        y = np.where(np.arange(classes) == np.asarray(labels)[:, None], 1.0, -1.0)
        if len(x) < x.shape[1]:
            self._eigenvalues, vectors = np.linalg.eigh(x @ x.T)
            self._left, self._right = x.T @ vectors, vectors.T @ y
        else:
            self._eigenvalues, vectors = np.linalg.eigh(x.T @ x)
            self._left, self._right = vectors, vectors.T @ (x.T @ y)

    def probe(self, penalty=PENALTY):
        """Return the `LinearProbe` for a penalty.

        Args:
            penalty: λ, positive.
        """
        scaled = self._right / (self._eigenvalues[:, None] + penalty)
        return LinearProbe(self.mean, self.stddev, self._left @ scaled)


def _with_bias(features, mean, stddev):
    """Return standardized features and the constant one, `(examples, features + 1)`."""
    standardized = (np.asarray(features, "float64") - mean) / stddev
    return np.pad(standardized, ((0, 0), (0, 1)), constant_values=BIAS_FEATURE)
