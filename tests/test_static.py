"""Lint, format and types."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend("torch")  # no backend is involved
ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    "command",
    ["ruff check .", "ruff format --check .", pytest.param("mypy", marks=pytest.mark.long)],
)
def test_nothing_is_found_by(command):
    result = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_conflict_of_a_merge_is_left():
    marker = r"^ *(<{7}|>{7}) "
    found = subprocess.run(["git", "grep", "-nE", marker], cwd=ROOT, capture_output=True, text=True)
    assert not found.stdout
