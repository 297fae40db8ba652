"""scikit-learn's digits as a source."""

import numpy as np
import pytest

from tests.support.splits import images_of, read_examples
from training.config import Data
from training.data.sources import digits, load_source

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend


def test_splits():
    source = load_source(Data(validation_fraction=0.1))
    assert source.class_names == tuple("0123456789")
    assert source.channels == 1
    splits = (source.train, source.validation, source.test)
    assert [len(split) for split in splits] == [1293, 144, 360]
    images, counts = [], []
    for split in splits:
        pixels, labels = read_examples(split)
        pixels = np.stack(pixels)
        assert pixels.shape == (len(split), 8, 8, 1)
        assert pixels.dtype == np.uint8
        assert (pixels.min(), pixels.max()) == (0, 255)
        images.append({image.tobytes() for image in pixels})
        counts.append(np.bincount(labels))
    train, validation, test = images
    assert not test & (train | validation)
    assert not train & validation
    # A fifth of every class is held out.
    np.testing.assert_allclose(counts[2] / sum(counts), 0.2, atol=0.005)


def test_the_test_split_does_not_depend_on_the_validation_split():
    one, other = (digits.load(Data(validation_fraction=f)) for f in (0.1, 0.0))
    assert images_of(one.test) == images_of(other.test)
    assert len(other.validation) == 0
    assert len(other.train) == 1437


def test_every_class_is_in_the_validation_split_however_small_a_side_is():
    for fraction, expected in ((0.001, 10), (0.999, 1437 - 10)):
        source = digits.load(Data(validation_fraction=fraction))
        assert len(source.validation) == expected
        for split in (source.train, source.validation):
            assert len(set(split.labels)) == 10
