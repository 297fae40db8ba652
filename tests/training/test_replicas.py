import subprocess
import sys
from pathlib import Path

import keras
import pytest


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a matter of TensorFlow")
def test_replicas_in_a_process_of_their_own():
    tests = Path(__file__).with_name("replicas.py")
    command = [sys.executable, "-m", "pytest", "-q", tests]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
