"""Where labelled images come from."""

import dataclasses

import numpy as np

from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Split:
    """Labelled images in memory.

    images: uint8 `(examples, height, width, channels)`, 0 to 255.
    labels: int `(examples,)`, indices into the class names.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Source:
    """A classification set in three parts; `validation` may be empty."""

    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split


def load_source(data):
    """Return the `Source` that the configuration names; `data` is a `training.config.Data`."""
    return {"digits": load_digits}[data.source](data.validation_fraction)


def load_digits(validation_fraction):
    """Return scikit-learn's digits: 1,797 scans of 8 × 8 pixels, bright ink on black.

    A fifth of every class is the test split, always the same; the validation split is taken
    from the rest, likewise by class.
    """
    from sklearn.datasets import load_digits as load_bunch
    from sklearn.model_selection import train_test_split

    bunch = load_bunch()
    images = np.round(bunch.images * (255 / 16)).astype("uint8")[..., np.newaxis]
    labels = bunch.target

    def divide(indices, fraction):
        if fraction == 0:
            return indices, indices[:0]
        try:
            return train_test_split(
                indices, test_size=fraction, stratify=labels[indices], random_state=0
            )
        except ValueError as error:
            raise UserError(
                "--validation-fraction must leave images of every class on both sides. "
                f"Received: {fraction} of {len(indices)} images: {error} Pass 0 or about 0.1."
            ) from error

    rest, test = divide(np.arange(len(labels)), 0.2)
    train, validation = divide(rest, validation_fraction)
    return Source(
        class_names=tuple(str(name) for name in bunch.target_names),
        train=Split(images[train], labels[train]),
        validation=Split(images[validation], labels[validation]),
        test=Split(images[test], labels[test]),
    )
