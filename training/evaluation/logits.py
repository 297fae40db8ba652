"""What logits mean: an order of the classes, a probability of each, and a loss.

`activation` is what makes probabilities of logits x, as the model was trained: `"softmax"`, or
`"sigmoid"`, for which each class is a yes-or-no question of its own.
"""

import numpy as np


def probabilities(logits, activation):
    """Return the probability of each class, of the shape of the logits, (…, classes)."""
    if activation == "sigmoid":
        return np.exp(-np.logaddexp(0, -logits))  # σ(x) without overflow
    return np.exp(log_softmax(logits))


def cross_entropy(logits, labels, activation):
    """Return the loss of each example in nats, (batch,), without label smoothing.

    With labels y of one or several ones it is what the model was trained on: of the softmax
    against equal shares of the classes, -Σ y / Σ y · log softmax(x); of the sigmoid summed over
    all classes, -Σ y log σ(x) + (1 - y) log σ(-x).
    """
    if activation == "sigmoid":
        return np.sum(np.logaddexp(0, logits) - labels * logits, axis=-1)  # as σ(-x) = 1 - σ(x)
    shares = labels / labels.sum(axis=-1, keepdims=True)
    return -np.sum(shares * log_softmax(logits), axis=-1)


def likeliest(logits, number):
    """Return the classes of the largest logits, best first; of equal ones the first class leads.

    Logits are compared and not probabilities, which are equal where they round to 1 or 0.
    """
    return np.argsort(-logits, axis=-1, kind="stable")[..., :number]


def log_softmax(logits):
    """Return the logarithm of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
