"""Memory of large blocks that goes back to the system when it is freed, on Linux."""

import ctypes
import sys

MMAP_THRESHOLD, MMAP_MAX = -3, -4  # parameters of `mallopt`, as in malloc.h
LARGE_BYTES = 2**22
MOST_BLOCKS = 2**16  # the default of the C library


def return_large_blocks():
    """Undo `training.cli.memory_reuse` for blocks of at least 4 MiB, for the rest of the program.

    A photo of 12 megapixels takes blocks of 36 MB, for a moment. In memory that is kept, small
    blocks are put into the space that they leave, and the next photo needs new memory.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # which musl does not have
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(MMAP_MAX, MOST_BLOCKS)
