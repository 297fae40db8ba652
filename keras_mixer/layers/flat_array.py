"""Memory for the values of a variable."""

import math

import numpy as np

ALIGNMENT = 64  # bytes of a cache line


def flat_array(shape, allocate=np.empty):
    """Return a flat float32 array with as many elements as `shape`, aligned to a cache line.

    The backends can use its memory as it is. JAX copies arrays that are not aligned, and matrix
    products are slower on them.

    Args:
        shape: Shape of the variable.
        allocate: Function that allocates the bytes: `np.empty`, or `np.zeros`, for which the
            operating system provides memory only when it is used.
    """
    size = 4 * math.prod(shape)
    memory = allocate(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.float32)
