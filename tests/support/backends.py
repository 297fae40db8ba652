"""Parameters of tests that need not run on every backend."""

import itertools

import pytest

from run import BACKENDS


def torch_only(*values):
    """Return a test parameter that runs on PyTorch only, since the others give the same result."""
    return pytest.param(*values, marks=pytest.mark.backend("torch"))


def rotated(values):
    """Return test parameters such that each backend runs a third of them, to save time."""
    return [
        pytest.param(value, marks=pytest.mark.backend(backend))
        for value, backend in zip(values, itertools.cycle(BACKENDS), strict=False)
    ]
