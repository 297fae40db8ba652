"""The process that writes on another backend: what it is told, and how it fails."""

import subprocess

import pytest

from tests.support.exported import gray_mixer
from training.errors import UserError
from training.export import writer_process
from training.export.serving_model import build_serving_model
from training.model_argument import LoadedModel

pytestmark = pytest.mark.backend("torch")


@pytest.fixture(scope="module")
def serving():
    return build_serving_model(LoadedModel(gray_mixer()))


def test_what_fails_there_is_an_error_here(serving, tmp_path, monkeypatch):
    def run(command, env, **options):
        assert env["KERAS_BACKEND"] == "tensorflow"
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nImportError: no such\n \n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UserError, match="--to onnx must be written on the backend tensorflow") as e:
        writer_process.write_in_process(serving, "tensorflow", {"onnx": tmp_path / "a.onnx"}, "{}")
    assert "Received: ImportError: no such there. Set KERAS_BACKEND=tensorflow" in str(e.value)


@pytest.mark.long
def test_an_unknown_backend_fails(serving, tmp_path):
    with pytest.raises(UserError, match="on the backend no_such"):
        writer_process.write_in_process(serving, "no_such", {"onnx": tmp_path / "a.onnx"}, "{}")
    assert list(tmp_path.iterdir()) == []
