"""`python -m keras_mixer` in a process of its own."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.backend("torch")  # a subprocess that needs no backend


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "keras_mixer", *arguments], capture_output=True, text=True
    )


def test_weights():
    table = run("weights")
    assert table.returncode == 0
    assert "imagenet21k" in table.stdout and "miil_in21k_ft_in1k" in table.stdout
    rows = json.loads(run("weights", "--json").stdout)
    assert len(rows) == 13
    assert rows[0]["variant"] == "MixerB16" and rows[0]["value_range"] == [-1, 1]


@pytest.mark.long
def test_a_mistake_shows_no_traceback(tmp_path):
    result = run("convert", str(tmp_path / "none.npz"), str(tmp_path / "out.npz"))
    assert result.returncode == 2
    assert "does not exist" in result.stderr
    assert "Traceback" not in result.stderr
