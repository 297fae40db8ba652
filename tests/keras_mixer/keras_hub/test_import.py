"""Importing the optional package."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.backend("torch")  # subprocesses, and no backend is involved


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
    )


def test_the_library_does_not_import_keras_hub():
    code = "import keras_mixer, sys; print({'keras_hub', 'keras'} & {*sys.modules})"
    assert run(code).stdout == "set()\n"


def test_without_keras_hub_an_error_says_how_to_install_it():
    result = run("import sys; sys.modules['keras_hub'] = None; import keras_mixer.keras_hub")
    assert "ImportError: keras_mixer.keras_hub: KerasHub must be installed." in result.stderr
    assert 'pip install -e ".[keras-hub]"' in result.stderr


def test_an_error_inside_of_keras_hub_is_raised_as_it_is(tmp_path):
    (tmp_path / "keras_hub.py").write_text("import no_such_module_of_keras_hub")
    result = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import keras_mixer.keras_hub")
    assert "ModuleNotFoundError: No module named 'no_such_module_of_keras_hub'" in result.stderr
    assert "must be installed" not in result.stderr
