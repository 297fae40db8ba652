"""Cross-entropy of logits against one-hot or soft labels."""

import math

import keras
from keras import ops

BLOCK = 128  # classes whose losses are added to one another first


def loss_function(optimization):
    """Return the loss for a `training.config.Optimization`."""
    smoothing = optimization.label_smoothing
    if optimization.loss == "sigmoid":
        return SigmoidCrossentropy(smoothing)
    return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)


@keras.saving.register_keras_serializable("training")
class SigmoidCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of each class, summed over the classes, averaged over the batch.

    With labels y and logits x the loss of an example is

        - Σ y log σ(x) + (1 - y) log σ(-x)

    The authors trained on ImageNet with it (`sigmoid_xent` in big_vision). Keras's
    `BinaryCrossentropy` is the mean over the classes: a thousandth of this for 1,000 classes.

    Args:
        label_smoothing: Share of each label that is spread evenly over all classes.
    """

    def __init__(self, label_smoothing=0.0, name="sigmoid_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, labels, logits):
        logits = ops.convert_to_tensor(logits)  # (batch, classes)
        labels = ops.cast(labels, logits.dtype)
        labels = labels * (1 - self.label_smoothing) + self.label_smoothing / labels.shape[-1]
        # -log σ(x) = softplus(-x), which neither overflows nor rounds to 0.
        losses = labels * ops.softplus(-logits) + (1 - labels) * ops.softplus(logits)
        return sum_over_classes(losses)  # (batch,)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def sum_over_classes(losses):
    """Return the sums of losses (batch, classes), added in blocks.

    XLA adds the numbers of a row one after the other on TensorFlow's CPU, which costs 5e-5 of the
    loss of 21,843 classes. It would merge a sum of sums into one again, but not a sum of means.
    """
    blocks = math.ceil(losses.shape[-1] / BLOCK)
    losses = ops.pad(losses, ((0, 0), (0, blocks * BLOCK - losses.shape[-1])))
    losses = ops.reshape(losses, (-1, blocks, BLOCK))
    return ops.sum(ops.mean(losses, axis=-1), axis=-1) * BLOCK
