"""Mosaics of weights, and the figures as files."""

import numpy as np
import pytest
from matplotlib.image import imread

from training.studies import weights_figure as figure
from training.studies.hidden_units import judge_pairs, study_units
from training.studies.weights import Change

pytestmark = pytest.mark.backend("torch")  # drawn by matplotlib
NAN = np.nan


def test_tiles_are_arranged_in_rows():
    tiles = np.arange(1.0, 6)[:, None, None] * np.ones((1, 1, 2))
    mosaic = figure.arrange(tiles, gap=1)
    expected = [
        [1, 1, NAN, 2, 2, NAN, 3, 3],
        [NAN] * 8,
        [4, 4, NAN, 5, 5, NAN, NAN, NAN],
    ]
    np.testing.assert_array_equal(mosaic, expected)
    colors = figure.arrange(np.repeat(tiles[..., None], 3, axis=3), gap=1)
    np.testing.assert_array_equal(colors[..., 2], expected)


def test_each_map_is_beside_its_inverse_and_scaled():
    a, b = np.array([[1.0, 2, -4]]), np.array([[1.0, 0, 1]])
    kernel = np.stack([b, a, -3 * a]).reshape(3, 3).T
    tiles = figure.pair_tiles(study_units(kernel, (1, 3)))
    expected = [
        [[1, 0, 1, NAN, NAN, NAN, NAN]],
        [[0.25, 0.5, -1, NAN, -0.25, -0.5, 1]],
    ]
    np.testing.assert_array_equal(tiles, expected)


@pytest.mark.parametrize("grid, number", [((4, 6), 30), ((2, 2), 1), ((1, 1), 3)])
def test_hidden_units_as_a_figure(grid, number, tmp_path):
    kernel = np.random.default_rng(0).standard_normal((grid[0] * grid[1], number))
    units = study_units(kernel, grid)
    figure.draw_units(units, judge_pairs(units, 1), "a run of $5", tmp_path / "units.png")
    pixels = imread(tmp_path / "units.png")
    assert pixels.shape[1] > figure.SMALLEST_WIDTH
    red, blue = ((pixels[..., i] > pixels[..., 2 - i] + 0.2).mean() for i in (0, 2))
    assert red > 0.01 and (blue > 0.01 or number == 1)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_stem_as_a_figure(channels, tmp_path):
    kernel = np.random.default_rng(0).standard_normal((4, 6, channels, 10))
    figure.draw_stem(kernel, "a run", tmp_path / "stem.png")
    pixels = imread(tmp_path / "stem.png")[..., :3]
    green = (pixels[..., 1] > pixels[..., [0, 2]].max(axis=2) + 0.1).mean()
    assert (green > 0.01) == (channels == 3)


def test_changes_as_a_figure(tmp_path):
    changes = [Change(s, b, s * (b + 1), 0.2, 0.5) for s in (1, 5) for b in range(30)]
    figure.draw_changes(changes, "a run", tmp_path / "changes.png")
    assert imread(tmp_path / "changes.png").shape[1] == 12 * figure.DPI
