import json

import pytest

from tests.support.compared import write_run
from training.cli.run_paths import find_runs
from training.errors import UserError
from training.sharing.shared_config import SECTION

pytestmark = pytest.mark.backend("torch")  # no backend is used


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The runs a and b in `runs`, and two of a study, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("runs/b", "runs/a", "studies/comparison/runs/y", "studies/comparison/runs/x"):
        write_run(tmp_path / name)


def found(*arguments):
    return [str(folder.path) for folder in find_runs(arguments)]


def test_runs_and_folders_with_runs(runs, tmp_path):
    assert found("runs/b", "runs/a") == ["runs/b", "runs/a"]
    assert found("runs") == ["runs/a", "runs/b"]
    study = ["studies/comparison/runs/x", "studies/comparison/runs/y"]
    assert found("studies/comparison") == found("studies/") == study
    assert found(str(tmp_path / "runs")) == [str(tmp_path / "runs" / name) for name in "ab"]
    assert found("runs", "studies") == ["runs/a", "runs/b", *study]


def test_what_is_not_searched(runs, tmp_path):
    write_run(tmp_path / "runs" / ".hidden")
    write_run(tmp_path / "runs" / "a" / "checkpoints" / "inside")
    write_run(tmp_path / "deep" / "1" / "2" / "3" / "run")
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "deep" / "1" / "2" / "3" / "run")
    (tmp_path / "runs" / "studies").symlink_to(tmp_path / "studies")
    (tmp_path / "runs" / "shared").mkdir()
    (tmp_path / "runs" / "shared" / "config.json").write_text(json.dumps({SECTION: {}}))
    assert found("runs") == ["runs/a", "runs/b", "runs/link"]
    with pytest.raises(UserError, match="deep, in which no folder, 3 levels deep, has the config"):
        find_runs(["deep"])


@pytest.mark.parametrize(
    "argument, received, advice",
    [
        ("no/such", "no/such, which does not exist", "Check the path, or train a model with"),
        ("runs/a@best", "runs/a@best, a checkpoint", "Pass runs/a, its run."),
        ("runs/a@step-12", "runs/a@step-12, a checkpoint", "Pass runs/a, its run."),
        ("runs/a/history.csv", "runs/a/history.csv, a file", "Pass runs/a."),
        ("notes.txt", "notes.txt, a file", "Pass the folder that `train` wrote as --run-dir."),
        ("MixerB16:imagenet1k", "a model that was not trained here", "`evaluate MODEL`."),
        ("hf://user/repo", "hf://user/repo, a model that was not trained", "`evaluate MODEL`."),
        ("empty", "empty, in which no folder", "Pass the folder that `train` wrote as --run-dir."),
        ("shared", "shared, a shared model", "Pass the run that it was shared from."),
        ("x" * 300, "which does not exist", "Check the path"),
        ("", "an empty path, which does not exist", "Check the path"),
    ],
)
def test_other_arguments_are_refused(runs, tmp_path, argument, received, advice):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "config.json").write_text(json.dumps({SECTION: {}}))
    with pytest.raises(UserError, match="RUN... must be one or more folders of runs") as error:
        find_runs(["runs/a", argument])
    assert received in str(error.value) and advice in str(error.value)


def test_no_argument_is_refused():
    with pytest.raises(UserError, match="Received: none. Pass the folder that `train` wrote"):
        find_runs([])
