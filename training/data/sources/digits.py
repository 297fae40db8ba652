"""scikit-learn's handwritten digits, which are part of its package."""

import numpy as np

from training.data.source import Source, hold_out
from training.data.splits import in_memory

FORM = "digits"
TEST_FRACTION = 0.2


def load(data):
    """Return 1,797 scans of 8 × 8 pixels, bright ink on black.

    The test split is a fifth of every class and always the same. The validation split is held
    out of the rest, stratified by class too.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype("uint8")[..., np.newaxis]
    labels = bunch.target
    rest, test = hold_out(np.arange(len(labels)), labels, TEST_FRACTION)
    train, validation = hold_out(rest, labels, data.validation_fraction)
    return Source(
        class_names=tuple(str(name) for name in bunch.target_names),
        channels=1,
        train=in_memory(images[train], labels[train]),
        validation=in_memory(images[validation], labels[validation]),
        test=in_memory(images[test], labels[test], lambda index: f"images[{test[index]}]"),
    )
