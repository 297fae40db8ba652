import dataclasses
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from training.config import Data
from training.errors import UserError
from training.optimization.replicas import require_equal_parts


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a matter of TensorFlow")
def test_replicas_in_a_process_of_their_own():
    tests = Path(__file__).with_name("replicas.py")
    command = [sys.executable, "-m", "pytest", "-q", tests]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


def test_every_replica_needs_as_many_images():
    data = Data(batch_size=64)
    require_equal_parts(data, 1)
    require_equal_parts(data, 4)
    with pytest.raises(UserError, match="--batch-size must be a multiple of .* 3. Received: 64"):
        require_equal_parts(data, 3)
    with pytest.raises(UserError, match="Pass 4, or use fewer devices"):
        require_equal_parts(dataclasses.replace(data, batch_size=1), 4)
