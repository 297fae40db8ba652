import io
import math

import numpy as np
import pytest
from PIL import Image

from tests.support.compared import write_run
from training.comparing.compared_run import read_run
from training.comparing.comparison import compare
from training.comparing.curves_figure import MOST_GROUPS, draw_comparison

pytestmark = pytest.mark.backend("torch")  # no backend is used


@pytest.fixture
def draw(saved_figures):
    """A function that draws run folders; it returns the figure, which is not blank."""

    def draw(*folders):
        file = io.BytesIO()
        draw_comparison(compare([read_run(f) for f in folders], "test_accuracy"), file)
        with Image.open(file) as picture:
            assert picture.format == "PNG" and picture.width == 1200
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
        return saved_figures[-1]

    return draw


def lines_of(axes):
    """Return `[(positions, values)]` of the lines."""
    return [tuple(map(list, line.get_data())) for line in axes.get_lines()]


def texts_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_mean_and_range_over_the_seeds(draw, tmp_path):
    folders = [
        write_run(tmp_path / str(seed), accuracies, {}, seed=seed)
        for seed, accuracies in enumerate([(0.2, 0.6), (0.3, 0.9), (0.1, 0.6)])
    ]
    figure = draw(*folders)
    accuracy, loss = figure.axes
    (line,) = lines_of(accuracy)
    assert line == ([10, 20], [pytest.approx(0.2), pytest.approx(0.7)])
    (line,) = lines_of(loss)
    assert line[1] == [pytest.approx(0.8), pytest.approx(0.3)]
    (band,) = accuracy.collections
    corners = {(x, round(y, 6)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(10, 0.1), (10, 0.3), (20, 0.6), (20, 0.9)}
    assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("validation accuracy", "validation loss")
    assert accuracy.get_xlabel() == "training step"
    assert figure.get_suptitle() == "mean and range over the seeds"
    assert texts_of(figure) == ["1: 0, 3 runs"]


def test_groups_have_colors_and_labels(draw, tmp_path):
    figure = draw(
        write_run(tmp_path / "a", (0.1, 0.2), {"test_accuracy": 0.1}, learning_rate=0.1),
        write_run(tmp_path / "b", (0.3, 0.4, 0.5), {"test_accuracy": 0.2}, learning_rate=0.2),
        write_run(tmp_path / "c", (0.6,), learning_rate=0.2, seed=7),
        write_run(tmp_path / "d", (), learning_rate=0.3),
    )
    lines = figure.axes[0].get_lines()
    assert [line[0] for line in lines_of(figure.axes[0])] == [[10, 20, 30], [10, 20], [10]]
    assert len({line.get_color() for line in lines}) == 3
    assert [line.get_linestyle() for line in lines] == ["-", "-", ":"]
    assert texts_of(figure) == [
        "1: --learning-rate 0.2",
        "2: --learning-rate 0.1",
        "3: --learning-rate 0.2, seed 7, 1 of 60 epochs",
    ]
    assert figure.get_suptitle() == "dotted: unfinished; 1 without a finished epoch left out"


def test_images_are_the_axis_if_steps_are_not_alike(draw, tmp_path):
    figure = draw(
        write_run(tmp_path / "a", summary={}, batch_size=32),
        write_run(tmp_path / "b", summary={}, batch_size=32, accumulation_steps=2, seed=1),
    )
    assert figure.axes[0].get_xlabel() == "training images"
    assert sorted(line[0] for line in lines_of(figure.axes[0])) == [[320, 640], [640, 1280]]


def test_without_a_validation_split_the_training_is_shown(draw, tmp_path):
    folders = [write_run(tmp_path / name, summary={}, flip=name == "b") for name in "ab"]
    folders[0].history.write_text("epoch,step,accuracy,loss\n1,10,0.5,nan\n2,20,0.6,0.4\n")
    accuracy, loss = draw(*folders).axes
    assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("training accuracy", "training loss")
    assert sorted(line[1] for line in lines_of(accuracy)) == [[0.25, 0.375], [0.5, 0.6]]
    assert sorted(len(line[1]) for line in lines_of(loss)) == [1, 2]  # without what is not finite


def test_seeds_with_other_steps_have_a_line_each(draw, tmp_path):
    """The images of a folder have changed between the runs, and their number is not recorded."""
    folders = [write_run(tmp_path / str(seed), summary={}, seed=seed) for seed in (0, 1)]
    folders[1].history.write_text(
        "epoch,step,val_accuracy,val_loss\n1,12,0.5,0.5\n2,20,0.75,0.25\n"
    )
    accuracy, _ = draw(*folders).axes
    assert [line[0] for line in lines_of(accuracy)] == [[10, 20], [12, 20]]
    assert len({line.get_color() for line in accuracy.get_lines()}) == 1
    assert not accuracy.collections


def test_many_groups_and_strange_names(draw, tmp_path):
    folders = [
        write_run(tmp_path / str(i), summary={"test_accuracy": i / 100}, learning_rate=1.0 + i)
        for i in range(MOST_GROUPS + 2)
    ]
    figure = draw(*folders)
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].get_lines()}
    assert len(looks) == len(texts_of(figure)) == MOST_GROUPS
    assert figure.get_suptitle() == f"the first {MOST_GROUPS} of {MOST_GROUPS + 2}"
    figure = draw(write_run(tmp_path / f"$x^$ 猫{'n' * 150}", summary={}))
    (text,) = texts_of(figure)
    assert text.startswith("1: $x^$ \\u732bnnn") and text.endswith("n…")


def test_bands_are_of_the_runs_of_a_group(draw, tmp_path):
    """Against an independent computation, for random curves."""
    rng = np.random.default_rng(0)
    curves = rng.uniform(0.1, 0.9, (4, 30))
    folders = [
        write_run(tmp_path / str(seed), [*map(float, curve)], {}, seed=seed)
        for seed, curve in enumerate(curves)
    ]
    accuracy, _ = draw(*folders).axes
    ((positions, means),) = lines_of(accuracy)
    np.testing.assert_allclose(means, curves.mean(axis=0))
    vertices = accuracy.collections[0].get_paths()[0].vertices
    for i, position in enumerate(positions):
        heights = vertices[np.isclose(vertices[:, 0], position), 1]
        assert math.isclose(heights.min(), curves[:, i].min())
        assert math.isclose(heights.max(), curves[:, i].max())
