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
    """Return the `Accuracy` of a model of logits on batches of `(images, one-hot labels)`.

    Raises:
        ValueError: If there are no batches.
    """
    correct, loss, examples = 0, 0.0, 0
    for images, labels in batches:
        images, labels = np.asarray(images), np.asarray(labels)  # JAX takes no tensors of tf.data
        logits = np.asarray(model.predict_on_batch(images), np.float64)  # (batch, classes)
        correct += int(np.sum(logits.argmax(axis=1) == labels.argmax(axis=1)))
        loss -= float(np.sum(labels * log_softmax(logits)))
        examples += len(labels)
    if not examples:
        raise ValueError("evaluate_accuracy: `batches` must not be empty. Received: no batch.")
    return Accuracy(accuracy=correct / examples, loss=loss / examples, examples=examples)


def log_softmax(logits):
    """Return the logarithm of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
