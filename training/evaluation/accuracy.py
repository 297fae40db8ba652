"""Exact accuracy: every example of a dataset once."""

import dataclasses

import keras
import numpy as np

from training.devices import hosts
from training.errors import UserError
from training.evaluation.calibration import Calibration
from training.evaluation.logits import cross_entropy, probabilities


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """How well a model does on `examples` images.

    Where images have several classes, each of them is right, so that `accuracy` is the ReaL
    accuracy (arXiv 2006.07159) and the other figures follow the same rule.
    """

    accuracy: float  # share of the images whose likeliest class is right
    top5_accuracy: float  # of which one of the five likeliest is; of all, if there are fewer
    loss: float  # mean cross-entropy in nats
    calibration_error: float  # `training.evaluation.calibration`
    examples: int


def evaluate_accuracy(model, batches, activation="softmax", confusion=None):
    """Return the `Accuracy` of a model of logits; on several hosts, over the examples of all.

    Of equal logits the first class is the likelier one, as it is for `argmax` and for `predict`.

    Args:
        model: Model of logits.
        batches: Batches of `(images, labels, weights)`. Labels are one-hot, or have ones for
            several classes. Examples of weight 0 are not counted.
        activation: What makes probabilities of the logits, and which loss that means: see
            `training.evaluation.logits`.
        confusion: A `training.evaluation.confusion.Confusion` that is to count the same examples.

    Raises:
        UserError: If there is nothing to count, or if the logits are not finite.
    """
    right, right_of_five, loss, calibration = 0, 0, 0.0, Calibration()
    for images, labels, weights in batches:
        logits = np.asarray(_predict(model, images), np.float64)  # (batch, classes)
        counted = np.asarray(weights) > 0
        logits, labels = logits[counted], np.asarray(labels, np.float64)[counted]
        _require_finite(logits)
        ranks = rank_of_best(logits, labels)
        right += int(np.sum(ranks == 0))
        right_of_five += int(np.sum(ranks < 5))
        loss += float(np.sum(cross_entropy(logits, labels, activation)))
        calibration.add(probabilities(logits, activation).max(axis=1), ranks == 0)
        if confusion is not None:
            confusion.add(labels, logits.argmax(axis=1))
    right, right_of_five, loss = (
        hosts.gather(np.array([right, right_of_five, loss])).sum(axis=0).tolist()
    )
    calibration.add_other_hosts()
    examples = calibration.examples
    if not examples:
        raise UserError(
            "--test-split must hold examples that have a label. Received: none. Choose a larger "
            "part, or another source."
        )
    return Accuracy(
        accuracy=right / examples,
        top5_accuracy=right_of_five / examples,
        loss=loss / examples,
        calibration_error=calibration.error(),
        examples=examples,
    )


def rank_of_best(logits, labels):
    """Return how many classes are likelier than the likeliest right one, (batch,).

    Equal logits rank as in `training.evaluation.logits.likeliest`, without sorting them all.
    """
    best = np.where(labels > 0, logits, -np.inf).argmax(axis=1)[:, None]  # (batch, 1)
    of_best = np.take_along_axis(logits, best, axis=1)
    is_before = np.arange(logits.shape[1]) < best  # (batch, classes)
    return np.sum((logits > of_best) | ((logits == of_best) & is_before), axis=1)


def _require_finite(logits):
    wrong = logits[~np.isfinite(logits)]
    if len(wrong):
        raise UserError(
            f"The logits of the model must be finite. Received: {wrong[0]}. Train another, such as "
            "with a lower --learning-rate."
        )


def _predict(model, images):
    """Return what a model makes of images, on all devices of the scope in which it was made."""
    images = np.asarray(images)  # JAX takes no tensors of tf.data
    if distribution := keras.distribution.distribution():
        layout = distribution.get_data_layout(images.shape)
        images = keras.distribution.distribute_tensor(images, layout)
    elif (
        keras.backend.backend() == "tensorflow"
        and model.distribute_strategy.num_replicas_in_sync > 1
    ):  # each of which would take all images
        return model.predict(images, batch_size=len(images), verbose=0)
    return model.predict_on_batch(images)
