"""What the notebook claims."""

import re

import pytest

from tests import notebooks

NAME = "transfer_learning"
pytestmark = pytest.mark.backend("tensorflow")


def number(pattern, text):
    (found,) = re.findall(pattern, text)
    return float(found.replace(",", ""))


def test_the_folder_is_read_by_its_subfolders(text):
    assert "Found 797 files belonging to 10 classes.\nUsing 479 files for training.\n" in text
    assert "classes: eight, five, four, nine, one, seven, six, three, two, zero\n" in text
    assert "images (32, 32, 32, 3) from 0.0 to 255.0\n" in text


def test_at_first_the_head_alone_is_trained(text):
    """24 features and a bias for each of ten classes; then everything."""
    total, head = re.search(r"([\d,]+) weights, ([\d,]+) of them to be trained\n", text).groups()
    assert head == "250"
    assert f"\n{total} weights were trained\n" in f"\n{text}"


def test_unfreezing_improves_the_transfer(text):
    assert number(r"turned digits: training accuracy (\S+)", text) > 0.85
    frozen = number(r"test accuracy with a frozen body (\S+)", text)
    fine_tuned = number(r"test accuracy after fine-tuning (\S+)", text)
    assert frozen > 0.75
    assert fine_tuned > max(frozen, 0.88)


def test_features_of_the_pre_training_beat_random_ones(text):
    frozen = number(r"test accuracy with a frozen body (\S+)", text)
    random_frozen = number(r"random weights, frozen body: test accuracy (\S+)", text)
    random_trained = number(r"random weights, all trained: test accuracy (\S+)", text)
    assert frozen > random_frozen + 0.1
    assert random_trained > random_frozen


def test_predictions_are_those_of_the_accuracy(text):
    wrong, images = map(int, re.search(r"(\d+) of (\d+) test images are wrong", text).groups())
    assert images == 158
    accuracy = number(r"test images are wrong: accuracy (\S+)", text)
    assert accuracy == pytest.approx(1 - wrong / images, abs=1e-4)
    assert accuracy == number(r"test accuracy after fine-tuning (\S+)", text)


def test_the_saved_model_predicts_the_same(text):
    assert number(r"fine_tuned.keras: .* largest difference (\S+)", text) == 0


def test_all_figures_are_plotted(executed):
    assert len(notebooks.figures(executed)) == 3
