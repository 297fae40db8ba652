import subprocess
import sys

import pytest

from training.__main__ import main
from training.run.folder import RunFolder


@pytest.fixture(autouse=True, scope="session")
def keras_home(tmp_path_factory):
    """What is remembered of images goes into a folder of the tests' own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras_home")))
    yield
    patch.undo()


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs the command line and returns (status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def saved_figures(monkeypatch):
    """The figures of Matplotlib that were saved."""
    from matplotlib.figure import Figure

    figures, savefig = [], Figure.savefig
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda figure, *a, **k: figures.append(figure) or savefig(figure, *a, **k),
    )
    return figures


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder and the output of a finished run, made by the command in its own process."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "tiny")
    result = subprocess.run(
        [sys.executable, "-m", "training", "train", "tiny", "--run-dir", folder.path],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return folder, result.stdout
