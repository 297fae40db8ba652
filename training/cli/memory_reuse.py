"""Memory that was freed is kept for the next step, on Linux."""

import os
import sys

VARIABLE = "GLIBC_TUNABLES"
# The C library would give each step's large tensors back to the system and ask for them again, and
# the system then clears them page by page of 4 KiB: a third of the time of a step of `digits` on
# JAX. Kept memory is cleared once, in pages of 2 MiB where it can be. All threads share one arena,
# since in others large blocks are never kept; the many threads of a large host would wait for it.
TUNABLES = {
    "glibc.malloc.hugetlb": 1,
    "glibc.malloc.arena_max": 1,
    "glibc.malloc.mmap_max": 0,
    "glibc.malloc.trim_threshold": 2**40,
    "glibc.malloc.top_pad": 2**26,
}
MOST_CORES = 16


def keep_freed_memory():
    """Start this program again with the settings above, which are read when a program starts.

    Nothing happens if the environment has settings of the user's, on computers with many cores, or
    with another C library.
    """
    if VARIABLE in os.environ or (os.cpu_count() or 1) > MOST_CORES or not _is_glibc():
        return
    tunables = ":".join(f"{name}={value}" for name, value in TUNABLES.items())
    arguments = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, arguments, {**os.environ, VARIABLE: tunables})


def _is_glibc():
    return "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})
