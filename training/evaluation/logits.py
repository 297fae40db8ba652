"""Probabilities, loss and ranking from logits.

`activation` is the one that the model was trained with: `"softmax"`, or `"sigmoid"`, which makes
each class a binary classification of its own.
"""

import numpy as np


def probabilities(logits, activation):
    """Return the probability of each class, in the shape of the logits, (…, classes)."""
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0, -logits))  # σ(x) without overflow
    return np.exp(log_softmax(logits))


def cross_entropy(logits, labels, activation):
    """Return the cross-entropy of each example in nats, (batch,), without label smoothing.

    Labels y have one or several ones. With softmax the loss is -Σ y / Σ y · log softmax(x), which
    gives equal weight to the classes of an image. With sigmoid it is the sum over all classes,
    -Σ y log σ(x) + (1 - y) log σ(-x).
    """
    if activation == "sigmoid":
        return np.sum(np.logaddexp(0, logits) - labels * logits, axis=-1)  # as σ(-x) = 1 - σ(x)
    shares = labels / labels.sum(axis=-1, keepdims=True)
    return -np.sum(shares * log_softmax(logits), axis=-1)


def most_likely(logits, number):
    """Return the classes with the largest logits, best first; ties go to the first class.

    Logits are compared, since probabilities that round to 1 or 0 are equal.
    """
    return np.argsort(-logits, axis=-1, kind="stable")[..., :number]


def log_softmax(logits):
    """Return the logarithm of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
