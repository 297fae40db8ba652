import csv
import itertools

import numpy as np
import pytest
from PIL import Image

from training.evaluation.confusion import Confusion, draw_confusion, write_confusion


def of_pairs(true, predicted, classes):
    confusion = Confusion()
    confusion.add(np.eye(classes)[true], np.array(predicted))
    return confusion


def test_each_image_counts_once():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 7, (2, 500))
    confusion = Confusion()
    for i in range(0, 500, 64):
        confusion.add(np.eye(7)[true[i : i + 64]], predicted[i : i + 64])
    expected = np.zeros((7, 7), int)
    np.add.at(expected, (true, predicted), 1)
    everything = confusion.table(range(7))
    np.testing.assert_array_equal(everything[:, :-1], expected)
    assert not everything[:, -1].any() and everything.sum() == 500
    np.testing.assert_array_equal(confusion.errors(7), expected.sum(1) - np.diag(expected))
    some = confusion.table([4, 2])
    np.testing.assert_array_equal(some[:, :2], expected[np.ix_([4, 2], [4, 2])])
    np.testing.assert_array_equal(some.sum(axis=1), expected.sum(axis=1)[[4, 2]])


def test_an_error_counts_for_each_of_several_classes():
    labels = np.float32([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]])
    confusion = Confusion()
    confusion.add(labels, np.array([1, 2, 2, 3]))
    assert confusion.counts == {(1, 1): 1, (0, 2): 2, (1, 2): 2, (3, 3): 1}


def test_only_pairs_that_occur_are_kept():
    confusion = Confusion()
    for number in range(3):
        labels = np.zeros((1, 21_843))
        labels[0, 21_842 - number] = 1
        confusion.add(labels, np.array([21_842]))
    assert len(confusion.counts) == 3


def test_the_csv_file_has_the_names(tmp_path):
    names = ['say "cheese"', "a, b", "Zürich", "caf\udce9"]  # the last from an old archive
    confusion = of_pairs([3, 0, 0, 2, 0], [0, 1, 1, 2, 0], 4)
    write_confusion(confusion, names, tmp_path / "confusion.csv")
    with open(tmp_path / "confusion.csv", newline="", errors="surrogateescape") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["true", "predicted", "count"],
        [names[0], names[0], "1"],
        [names[0], names[1], "2"],
        [names[2], names[2], "1"],
        [names[3], names[0], "1"],
    ]


@pytest.fixture
def draw(tmp_path, saved_figures):
    """Return a function that draws and returns the figure."""

    def draw(confusion, names):
        draw_confusion(confusion, names, "a set: 9 images", tmp_path / "confusion.png")
        return saved_figures[-1], tmp_path / "confusion.png"

    return draw


def random_confusion(classes, images, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, images)
    predicted = np.where(rng.random(images) < 0.7, true, rng.integers(0, classes, images))
    return of_pairs(true, predicted, classes)


def names(classes):
    return [f"{i} of $a$ rather {'long ' * (i % 9)}name" for i in range(classes)]


@pytest.mark.parametrize("classes", [2, 25, 26, 120, 201])
@pytest.mark.parametrize("times", [1, 54_321])
@pytest.mark.backend("torch")
@pytest.mark.long
def test_nothing_in_the_figure_is_cut_or_covered(classes, times, draw):
    confusion = random_confusion(classes, 20 * classes)
    confusion.counts = {pair: times * count for pair, count in confusion.counts.items()}
    figure, path = draw(confusion, names(classes))
    axes, bar = figure.axes
    for labels in (axes.get_xticklabels(), axes.get_yticklabels(), bar.get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels]
        for one, next_one in itertools.pairwise(boxes):
            assert not one.overlaps(next_one)
    assert not axes.title.get_window_extent().overlaps(axes.get_window_extent())
    for cell in axes.texts:
        (left, _), (right, _) = axes.transData.transform([(-0.5, 0), (0.5, 0)])
        assert cell.get_window_extent().width < right - left
    pixels = np.asarray(Image.open(path).convert("L"))
    edges = np.concatenate([pixels[:3].ravel(), pixels[-3:].ravel(), pixels[:, :3].ravel()])
    assert edges.min() == 255 and pixels.min() < 128  # a white margin around what is drawn


@pytest.mark.backend("torch")
def test_few_classes_have_their_counts_in_the_cells(draw):
    figure, _ = draw(of_pairs([0, 0, 0, 1], [0, 0, 1, 1], 3), ["cat", "dog", "emu"])
    axes = figure.axes[0]
    cells = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "2", (1, 0): "1", (1, 1): "1"}  # (predicted, true)
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares[:2], [[2 / 3, 1 / 3, 0], [0, 1, 0]])
    assert shares.mask[2].all() and "gray: no images" in axes.get_title()


@pytest.mark.backend("torch")
def test_more_classes_are_all_shown_as_shares(draw):
    figure, _ = draw(random_confusion(37, 3000), names(37))
    axes = figure.axes[0]
    assert not axes.texts and len(axes.get_yticklabels()) == 37
    np.testing.assert_allclose(axes.images[0].get_array().sum(axis=1), 1)


@pytest.mark.backend("torch")
def test_of_many_classes_those_with_the_most_errors_are_shown(draw):
    """Class i of 300 was taken for class i + 1 as often as it has tens, and else for itself."""
    true = np.repeat(np.arange(300), 30)
    wrong = np.tile(np.arange(30), 300) < true // 10
    figure, _ = draw(of_pairs(true, np.where(wrong, (true + 1) % 300, true), 300), names(300))
    axes = figure.axes[0]
    assert "25 of 300 classes with the most errors, 27 to 29 each" in flat(axes.get_title())
    shown = [int(label.get_text().split()[0]) for label in axes.get_yticklabels()]
    assert shown == [*range(290, 300), *range(280, 290), *range(270, 275)]
    assert axes.get_xticklabels()[-1].get_text() == "any other class"
    cells = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "1" and cells[1, 0] == "29"  # 290 is 290 once, and else 291
    assert cells[25, 9] == "29"  # 299 was taken for 0, which is not shown
    assert cells[25, 24] == "27" and cells[24, 24] == "3"


@pytest.mark.backend("torch")
def test_of_many_classes_only_those_with_images_are_shown(draw):
    figure, _ = draw(of_pairs(np.array([7, 7, 40]), np.array([7, 9, 200]), 300), names(300))
    axes = figure.axes[0]
    assert "the 2 of 300 classes with images, 1 to 1 errors each" in flat(axes.get_title())
    assert [label.get_text().split()[0] for label in axes.get_yticklabels()] == ["7", "40"]
    cells = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "1", (2, 0): "1", (2, 1): "1"}


@pytest.mark.backend("torch")
def test_a_long_title_is_broken(draw, tmp_path):
    path = tmp_path / "confusion.png"
    draw_confusion(of_pairs([0], [0], 2), ["a", "b"], f"folder:{'x' * 300}", path)
    with Image.open(path) as figure:
        assert figure.width < 800


def flat(text):
    return " ".join(text.split())
