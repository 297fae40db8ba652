"""Exact accuracy: every example of a dataset once."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy in [0, 1] and mean cross-entropy in nats, over `examples` images."""

    accuracy: float
    loss: float
    examples: int


def evaluate_accuracy(model, batches):
    """Return the `Accuracy` of a model of logits.

    Args:
        model: Model of logits.
        batches: Batches of `(images, labels, weights)`. Labels are one-hot, or have ones for
            several classes, each of which counts as right; the loss is then against equal shares
            of them. Examples of weight 0 are not counted.

    Raises:
        ValueError: If there is nothing to count.
    """
    correct, loss, examples = 0, 0.0, 0
    for images, labels, weights in batches:
        images = np.asarray(images)  # JAX takes no tensors of tf.data
        logits = np.asarray(model.predict_on_batch(images), np.float64)  # (batch, classes)
        counted = np.asarray(weights) > 0
        logits, labels = logits[counted], np.asarray(labels)[counted]
        correct += int(np.sum(np.take_along_axis(labels, logits.argmax(1)[:, None], 1) > 0))
        shares = labels / labels.sum(axis=1, keepdims=True)
        loss -= float(np.sum(shares * log_softmax(logits)))
        examples += len(labels)
    if not examples:
        raise ValueError(
            "evaluate_accuracy: `batches` must hold examples of weight above 0. Received: none. "
            "Pass a split with labels."
        )
    return Accuracy(accuracy=correct / examples, loss=loss / examples, examples=examples)


def log_softmax(logits):
    """Return the logarithm of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
