"""The examples of a batch, and what a model says about them."""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class EvaluatedBatch:
    """Examples of a batch that have a label, without padding.

    Args:
        indices: Index of each example in the split, `(batch,)`.
        images: As the model sees them, `(batch, …)`.
        labels: With ones for the true classes, `(batch, classes)`.
        probabilities: `(batch, classes)`.
        predicted: The most likely class, `(batch,)`.
        is_right: Whether it is a true class, `(batch,)`.
    """

    indices: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    is_right: np.ndarray

    @functools.cached_property
    def confidence(self):
        """The probability of the predicted class, `(batch,)`."""
        return _pick(self.probabilities, self.predicted)

    @functools.cached_property
    def true_probability(self):
        """The probability of the true class, or of the most likely one of several, `(batch,)`."""
        return np.where(self.labels > 0, self.probabilities, 0).max(axis=1)

    def true_classes(self, row):
        """Return the true classes of an example, the most likely one first."""
        (classes,) = np.nonzero(self.labels[row])
        order = np.argsort(-self.probabilities[row, classes], kind="stable")
        return tuple(classes[order].tolist())


def _pick(values, columns):
    return np.take_along_axis(values, columns[:, None], axis=1)[:, 0]
