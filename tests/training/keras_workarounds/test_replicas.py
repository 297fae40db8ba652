"""Defects of Keras on several replicas, in a process of its own with two devices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import support


@pytest.mark.backend("tensorflow")
def test_defects_on_two_replicas():
    tests = Path(support.__file__).with_name("replica_defects.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests]
    result = subprocess.run(
        command, env={**os.environ}, capture_output=True, text=True, timeout=500
    )
    assert result.returncode == 0, result.stdout
