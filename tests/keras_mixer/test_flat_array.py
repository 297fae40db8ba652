import numpy as np
import pytest

from keras_mixer.layers.flat_array import ALIGNMENT, flat_array

pytestmark = pytest.mark.backend("torch")  # NumPy only


@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (3, 7), (1000, 1001)])
def test_arrays_are_aligned(shape):
    for allocate in (np.empty, np.zeros):
        array = flat_array(shape, allocate)
        assert array.shape == (np.prod(shape, dtype=int),)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous and array.flags.writeable
        assert not array.size or array.ctypes.data % ALIGNMENT == 0


def test_zeros():
    assert not flat_array((3, 5), np.zeros).any()


def test_arrays_share_no_memory():
    first, second = flat_array((9,)), flat_array((9,))
    first[:], second[:] = 1, 2
    assert np.all(first == 1)
