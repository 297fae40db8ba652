import json

import numpy as np
import pytest

from tests.support.evaluated import evaluated
from training.errors import UserError
from training.evaluation.class_metrics import ClassMetrics
from training.evaluation.confusion import Confusion
from training.evaluation.mistakes import Mistakes
from training.evaluation.report import NAMES, PREDICTIONS, Draft, write_report

pytestmark = pytest.mark.backend("torch")  # no backend is involved


def report(folder, predicted, *files, multi_label=False):
    """Write a report on four images of cat, dog and emu; return `{name: path}`.

    `files` are names of others that are in the draft.
    """
    confusion, mistakes = Confusion(), Mistakes()
    batch = evaluated(np.eye(3)[predicted], [0, 1, 2, 2])
    confusion.observe(batch)
    mistakes.add(batch)
    metrics = None if multi_label else ClassMetrics(confusion, 3)
    with Draft(folder) as draft:
        for name in files:
            with draft.writing(name) as path:
                path.write_text("predictions")
        return write_report(
            draft, {"examples": 4}, "a set", ["cat", "dog", "emu"], confusion, metrics, mistakes
        )


def test_all_files_are_published_together(tmp_path):
    paths = report(tmp_path, [0, 1, 1, 2], PREDICTIONS)
    assert list(paths) == list(NAMES)
    assert sorted(paths.values()) == sorted(tmp_path.iterdir())
    assert json.loads(paths["evaluation.json"].read_text()) == {"examples": 4}
    assert paths["classes.csv"].read_text().splitlines()[1:] == [
        "cat,1,1,1,1",
        "dog,0.5,1,0.66666667,1",
        "emu,1,0.5,0.66666667,2",
    ]
    assert paths["confusion.csv"].read_text().splitlines()[1:] == [
        "cat,cat,1",
        "dog,dog,1",
        "emu,dog,1",
        "emu,emu,1",
    ]


@pytest.mark.parametrize(
    ("predicted", "multi_label", "missing"),
    [
        ([0, 1, 2, 2], False, {"mistakes.png", "predictions.csv"}),
        ([0, 1, 1, 2], True, {"classes.csv", "predictions.csv"}),
    ],
)
def test_no_file_of_an_earlier_evaluation_stays(tmp_path, predicted, multi_label, missing):
    report(tmp_path, [0, 1, 1, 2], PREDICTIONS)
    (tmp_path / "notes.txt").write_text("mine")
    paths = report(tmp_path, predicted, multi_label=multi_label)
    assert paths.keys() == NAMES.keys() - missing
    assert {path.name for path in tmp_path.iterdir()} == {*paths, "notes.txt"}


def test_links_are_replaced_and_not_followed(tmp_path):
    (tmp_path / "precious").write_text("kept")
    folder = tmp_path / "evaluation"
    folder.mkdir()
    for name in NAMES:
        (folder / name).symlink_to(tmp_path / "precious")
    report(folder, [0, 1, 2, 2])
    assert (tmp_path / "precious").read_text() == "kept"
    assert not any(path.is_symlink() for path in folder.iterdir())


def test_a_failed_evaluation_changes_nothing(tmp_path):
    paths = report(tmp_path, [0, 1, 1, 2], PREDICTIONS)
    before = {path: path.read_bytes() for path in paths.values()}
    with pytest.raises(ZeroDivisionError), Draft(tmp_path) as draft:
        with draft.writing(PREDICTIONS) as path:
            path.write_text("half of")
        raise ZeroDivisionError
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_in_the_place_of_a_file_is_reported(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"--output-dir must be .* Received: {tmp_path}: .*Choose"):
        report(tmp_path, [0, 1, 2, 2])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".draft")] == []


def test_a_folder_that_does_not_exist_is_reported(tmp_path):
    with pytest.raises(UserError, match="--output-dir must be .*: No such file or directory"):
        Draft(tmp_path / "none")
