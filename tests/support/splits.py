"""Reading of splits into memory, and refused sources."""

import numpy as np
import pytest

from training.config import Data
from training.data.sources import load_source
from training.errors import UserError


def read_examples(split):
    """Return the images, or the contents of their files, and the labels of a split in order."""
    _, images, labels = zip(*split.in_order().as_numpy_iterator(), strict=True)
    return [getattr(image, "file", image) for image in images], np.array(labels, int)


def images_of(split):
    """Return the set of the images of a split, as bytes."""
    return {bytes(image) for image in read_examples(split)[0]}


def assert_refused(message, **fields):
    """Assert that the source of `Data(**fields)` is refused with a message, a regex."""
    with pytest.raises(UserError, match=message):
        load_source(Data(**fields))
