import csv

import numpy as np
import pytest

from tests.support.evaluated import evaluated
from training.errors import UserError
from training.evaluation.predictions_file import COLUMNS, PredictionsFile
from training.evaluation.report import NAMES, PREDICTIONS, Draft

pytestmark = pytest.mark.backend("torch")  # NumPy alone


def write(folder, batches, class_names, name_of_image=str):
    """Return the rows of the published file."""
    with Draft(folder) as draft:
        with PredictionsFile(draft, PREDICTIONS, class_names, name_of_image) as file:
            for batch in batches:
                file.add(batch)
        draft.publish()
    with open(folder / PREDICTIONS, newline="", errors="surrogateescape") as file:
        return list(csv.reader(file))


def test_each_image_has_a_row_in_order(tmp_path):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((11, 3)), rng.integers(0, 3, 11)
    batches = [evaluated(logits[i : i + 4], labels[i : i + 4], start=i) for i in (0, 4, 8)]
    names = ['say "cheese"', "a, b", "caf\udce9"]
    header, *rows = write(tmp_path, batches, names, lambda i: f"folder, {i}.png")
    assert tuple(header) == COLUMNS and len(rows) == 11
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for i, (image, true, predicted, probability, true_probability, correct) in enumerate(rows):
        guess = int(logits[i].argmax())
        assert (image, true, predicted) == (f"folder, {i}.png", names[labels[i]], names[guess])
        assert float(probability) == pytest.approx(shares[i, guess], rel=1e-7)
        assert float(true_probability) == pytest.approx(shares[i, labels[i]], rel=1e-7)
        assert correct == str(guess == labels[i])
    assert {row[-1] for row in rows} == {"True", "False"}


def test_several_true_classes_are_in_one_cell(tmp_path):
    batch = evaluated([[0, 1, 2], [0, 1, 2]], [[1, 1, 0], [1, 0, 1]])
    _, first, second = write(tmp_path, [batch], ["cat", "dog", "emu"])
    assert (first[:3], first[-1]) == (["0", "dog|cat", "emu"], "False")
    assert (second[:3], second[-1]) == (["1", "emu|cat", "emu"], "True")


def test_errors_while_writing_name_the_folder(tmp_path):
    """A full disk, for example."""
    batch = evaluated(np.zeros((10, 2)), np.zeros(10, int))
    with Draft(tmp_path) as draft:
        with draft.writing(PREDICTIONS) as path:
            path.symlink_to("/dev/full")
        with (
            pytest.raises(UserError, match=rf"--output-dir must be .* {tmp_path}: No space"),
            PredictionsFile(draft, PREDICTIONS, ["cat", "dog"], str) as file,
        ):
            for _ in range(1000):
                file.add(batch)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_evaluation_leaves_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), Draft(tmp_path) as draft:
        with PredictionsFile(draft, PREDICTIONS, ["cat", "dog"], str):
            raise KeyboardInterrupt
    assert not list(tmp_path.iterdir()) and PREDICTIONS in NAMES
