"""`python -m keras_mixer`, mostly in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

from keras_mixer.__main__ import main

pytestmark = pytest.mark.backend("torch")  # a subprocess that needs no backend


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "keras_mixer", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_weights():
    table = run("weights")
    assert table.returncode == 0
    assert "imagenet21k" in table.stdout and "miil_in21k_ft_in1k" in table.stdout
    rows = json.loads(run("weights", "--json").stdout)
    assert len(rows) == 13
    assert rows[0]["variant"] == "MixerB16" and rows[0]["value_range"] == [-1, 1]


def test_a_reader_that_ends_early_ends_it_silently():
    command = ["bash", "-c", 'set -o pipefail; "$0" -m keras_mixer weights | true', sys.executable]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.long
def test_a_mistake_shows_no_traceback(tmp_path):
    result = run("convert", str(tmp_path / "none.npz"), str(tmp_path / "out.npz"))
    assert result.returncode == 2
    assert "does not exist" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("backend", ["no_such", "JAX"])
def test_an_unknown_backend_is_named(backend):
    result = run("convert", "in.npz", "out.npz", KERAS_BACKEND=backend)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("error: KERAS_BACKEND must be a backend of Keras that is inst")
    assert f"Received: {backend}: " in result.stderr and "Traceback" not in result.stderr


def test_settings_that_are_not_those_of_keras_are_named(tmp_path):
    (tmp_path / "keras.json").write_text("[]")
    result = run("convert", "in.npz", "out.npz", KERAS_BACKEND="", KERAS_HOME=str(tmp_path))
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "Received: not set: 'list' object" in result.stderr
    assert "correct keras.json" in result.stderr


def test_a_backend_that_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(SystemExit, match="2"):
        main(["convert", "in.npz", "out.npz"])
    assert "Received: torch: import of keras halted" in capsys.readouterr().err


def test_an_unknown_option_is_answered_with_those_of_the_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["convert", "in.npz", "out.npz", "--force"])
    err = capsys.readouterr().err
    assert "--overwrite" in err and "unrecognized arguments: --force" in err
