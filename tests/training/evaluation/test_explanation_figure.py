"""The figure of an explanation."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from tests.support.models import random_pixels
from training.evaluation.explanation import GRAD_CAM, OCCLUSION, Explanation
from training.evaluation.explanation_figure import draw_explanation

pytestmark = pytest.mark.backend("torch")  # no backend is involved

MAPS = {
    GRAD_CAM: np.array([[0.0, -2.0, 0.5], [0.1, 4.0, -4.0]], "float32"),
    OCCLUSION: np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -0.5]], "float32"),
}


def draw(path, maps=MAPS, image=None, is_predicted=True, name="photo.png"):
    explanation = Explanation(1, 0.25, is_predicted, maps)
    image = random_pixels((16, 24, 3)) if image is None else image
    draw_explanation(explanation, image, name, "a $cat$", "stem", path)
    return image


def test_each_map_lies_over_the_image(saved_figures, tmp_path):
    image = draw(tmp_path / "a.png")
    (figure,) = saved_figures
    original, *overlays = [axes for axes in figure.axes if axes.images]
    np.testing.assert_array_equal(original.images[0].get_array(), image)
    for axes, values in zip(overlays, MAPS.values(), strict=True):
        below, above = axes.images
        assert above.get_extent() == [-0.5, 23.5, 15.5, -0.5]  # the edges of the image
        assert above.get_interpolation() == "nearest"
        assert below.get_array().shape == image.shape[:2]
        colors = above.get_array()
        assert colors.shape == (2, 3, 4)
        opacity = np.abs(values) / np.abs(values).max()
        np.testing.assert_allclose(colors[..., 3], 0.75 * opacity, atol=1e-6)
        red, blue = colors[..., 0], colors[..., 2]
        assert (red[values > 0.4] > blue[values > 0.4]).all()
        assert (red[values < -0.4] < blue[values < -0.4]).all()


def test_a_frame_marks_the_largest_value(saved_figures, tmp_path):
    draw(tmp_path / "a.png")
    for axes, corner in zip(
        [a for a in saved_figures[0].axes if a.images][1:], [(8, 8), (0, 0)], strict=True
    ):
        (frame,) = (p for p in axes.patches if isinstance(p, Rectangle))
        assert frame.get_xy() == (corner[0] - 0.5, corner[1] - 0.5)
        assert (frame.get_width(), frame.get_height()) == (8, 8)


def test_titles_name_what_is_shown(saved_figures, tmp_path):
    draw(tmp_path / "a.png", is_predicted=False, name="folder/猫.png")
    title = saved_figures[0].get_suptitle()
    assert title == "folder/\\u732b.png\nclass a $cat$, probability 0.2500, not the predicted class"
    names = [axes.get_title() for axes in saved_figures[0].axes if axes.images]
    assert names == ["16 × 24 pixels", "Grad-CAM, stem", "occlusion"]
    bars = [axes.get_ylabel() for axes in saved_figures[0].axes if axes.get_ylabel()]
    assert bars == ["part of the logit", "drop of the logit without it"]


@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 8, 3), (8, 64, 3)])
def test_gray_and_long_images_and_a_map_of_zeros(saved_figures, tmp_path, shape):
    maps = {OCCLUSION: np.zeros((2, 2), "float32")}
    draw(tmp_path / "a.png", maps, random_pixels(shape))
    with Image.open(tmp_path / "a.png") as figure:
        assert figure.format == "PNG"
    colors = saved_figures[0].axes[1].images[1].get_array()
    assert (colors[..., 3] == 0).all()
    np.testing.assert_allclose(colors[..., :3], 0.97, atol=0.01)  # the middle of the colors
