"""Batches as evaluation gives them to its observers."""

import numpy as np

from training.evaluation.accuracy import rank_of_best
from training.evaluation.evaluated_batch import EvaluatedBatch
from training.evaluation.logits import probabilities


def evaluated(logits, labels, images=None, start=0, activation="softmax"):
    """Return the `EvaluatedBatch` of logits, `(batch, classes)`.

    `labels` are classes, `(batch,)`, or ones for several classes, `(batch, classes)`. `start` is
    the index of the first example.
    """
    logits, labels = np.asarray(logits, float), np.asarray(labels)
    if labels.ndim == 1:
        labels = np.eye(logits.shape[1])[labels]
    if images is None:
        images = np.zeros((len(logits), 8, 8, 3), np.uint8)
    return EvaluatedBatch(
        indices=start + np.arange(len(logits)),
        images=images,
        labels=labels,
        probabilities=probabilities(logits, activation),
        predicted=logits.argmax(axis=1),
        is_right=rank_of_best(logits, labels) == 0,
    )
