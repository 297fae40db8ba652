"""Signals while the backend is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = """
import signal

print("while it is imported:", signal.getsignal(signal.SIGINT) is signal.SIG_DFL)
"""
SCRIPT = """
import signal

from training.backend import require_backend

require_backend()
print("afterwards:", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.long
@pytest.mark.backend("torch")
def test_ctrl_c_is_not_lost_while_tensorflow_is_imported(tmp_path):
    (tmp_path / "tensorflow.py").write_text(STAND_IN)
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert result.stdout == "while it is imported: True\nafterwards: True\n", result.stderr
