import numpy as np
import pytest

from training.data.sources import load_digits
from training.errors import UserError


def as_set(split):
    return {image.tobytes() for image in split.images}


def test_digits():
    source = load_digits(0.1)
    assert source.class_names == tuple("0123456789")
    splits = (source.train, source.validation, source.test)
    assert [len(split) for split in splits] == [1293, 144, 360]
    for split in splits:
        assert split.images.shape == (len(split), 8, 8, 1)
        assert split.images.dtype == np.uint8
        assert (split.images.min(), split.images.max()) == (0, 255)
    assert not as_set(source.test) & (as_set(source.train) | as_set(source.validation))
    assert not as_set(source.train) & as_set(source.validation)


def test_a_fifth_of_every_class_is_held_out():
    source = load_digits(0.1)
    test = np.bincount(source.test.labels)
    rest = np.bincount(source.train.labels) + np.bincount(source.validation.labels)
    np.testing.assert_allclose(test / (test + rest), 0.2, atol=0.005)


def test_the_test_split_does_not_depend_on_the_validation_split():
    one, other = load_digits(0.1), load_digits(0.0)
    np.testing.assert_array_equal(one.test.images, other.test.images)
    assert len(other.validation) == 0
    assert len(other.train) == 1437


def test_a_validation_split_without_every_class_is_refused():
    for fraction in (0.001, 0.999):
        with pytest.raises(UserError, match="--validation-fraction must leave"):
            load_digits(fraction)
