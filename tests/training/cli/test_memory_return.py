"""Large blocks of memory go back to the system."""

import os
import re
import subprocess
import sys

import pytest

from training.cli.memory_reuse import TUNABLES, VARIABLE

pytestmark = pytest.mark.backend("torch")  # no backend is involved

PROGRAM = r"""
import re, sys
from training.cli.memory_return import return_large_blocks

if "return" in sys.argv:
    return_large_blocks()
block = b"a" * 200_000_000  # more than the C library has in reserve
del block
print(re.search(r"VmRSS:\s+(\d+)", open("/proc/self/status").read())[1])
"""


def kilobytes_after_freeing(*arguments):
    tunables = ":".join(f"{name}={value}" for name, value in TUNABLES.items())
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, VARIABLE: tunables},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.search(r"\d+", result.stdout)[0])


@pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}), reason="for the C library GNU"
)
def test_a_large_block_is_returned_and_not_kept():
    assert kilobytes_after_freeing("return") < kilobytes_after_freeing() - 150_000
