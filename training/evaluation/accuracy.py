"""Accuracy of a model on a dataset, in which every example counts exactly once."""

import dataclasses

import numpy as np

from training.devices import hosts
from training.errors import UserError
from training.evaluation.calibration import Calibration
from training.evaluation.evaluated_batch import EvaluatedBatch
from training.evaluation.logits import cross_entropy, probabilities
from training.evaluation.predict_batch import predict_batch


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Metrics of a model on a dataset.

    Where images have several classes, a prediction of any of them is correct, so that `accuracy`
    is the ReaL accuracy (arXiv 2006.07159) and the other metrics follow the same rule.
    """

    accuracy: float  # share of the images whose most likely class is correct
    top5_accuracy: float  # share with a correct class among the five most likely ones
    loss: float  # mean cross-entropy in nats
    calibration_error: float  # `training.evaluation.calibration`
    examples: int


def evaluate_accuracy(model, batches, activation="softmax", observers=()):
    """Return the `Accuracy` of a model; with several hosts, over the examples of all of them.

    If logits are equal, the first class ranks first, as with `argmax` and in `predict`.

    Args:
        model: Keras model that returns logits.
        batches: Batches of `(images, labels, weights)`. Labels are one-hot, or have ones for
            several classes. Padded examples have weight 0 and are not counted.
        activation: How logits become probabilities, which also decides the loss; see
            `training.evaluation.logits`.
        observers: Functions that are called with each
            `training.evaluation.evaluated_batch.EvaluatedBatch`, of this host.

    Raises:
        UserError: If there are no examples with a label, or if the logits are not finite.
    """
    right, right_of_five, loss, calibration = 0, 0, 0.0, Calibration()
    start = 0  # index of the first example of the batch
    for images, labels, weights in batches:
        logits = np.asarray(predict_batch(model, images), np.float64)  # (batch, classes)
        counted = np.asarray(weights) > 0
        indices = start + np.flatnonzero(counted)
        start += len(counted)
        logits, labels = logits[counted], np.asarray(labels, np.float64)[counted]
        _require_finite(logits)
        ranks = rank_of_best(logits, labels)
        right += int(np.sum(ranks == 0))
        right_of_five += int(np.sum(ranks < 5))
        loss += float(np.sum(cross_entropy(logits, labels, activation)))
        own = probabilities(logits, activation)
        calibration.add(own.max(axis=1), ranks == 0)
        if observers:
            images = np.asarray(images)
            if not counted.all():  # the last batch; others need no copy
                images = images[counted]
            predicted = logits.argmax(axis=1)
            batch = EvaluatedBatch(indices, images, labels, own, predicted, ranks == 0)
            for observe in observers:
                observe(batch)
    right, right_of_five, loss = (
        hosts.gather(np.array([right, right_of_five, loss])).sum(axis=0).tolist()
    )
    calibration.add_other_hosts()
    examples = calibration.examples
    if not examples:
        raise UserError(
            "--test-split must hold examples that have a label. Received: none. Choose a larger "
            "split, or another --source."
        )
    return Accuracy(
        accuracy=right / examples,
        top5_accuracy=right_of_five / examples,
        loss=loss / examples,
        calibration_error=calibration.error(),
        examples=examples,
    )


def rank_of_best(logits, labels):
    """Return how many classes rank above the best correct class, (batch,).

    Equal logits rank as in `training.evaluation.logits.most_likely`, without sorting all logits.
    """
    best = np.where(labels > 0, logits, -np.inf).argmax(axis=1)[:, None]  # (batch, 1)
    of_best = np.take_along_axis(logits, best, axis=1)
    is_before = np.arange(logits.shape[1]) < best  # (batch, classes)
    return np.sum((logits > of_best) | ((logits == of_best) & is_before), axis=1)


def _require_finite(logits):
    wrong = logits[~np.isfinite(logits)]
    if len(wrong):
        raise UserError(
            f"The logits of the model must be finite. Received: {wrong[0]}. Train another model, "
            "with a lower --learning-rate."
        )
