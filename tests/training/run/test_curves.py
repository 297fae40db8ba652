import pytest
from PIL import Image

from training.run.curves import draw_curves

pytestmark = pytest.mark.backend("torch")  # no backend is used


def test_curves_with_and_without_validation(tmp_path):
    without = {"accuracy": 0.5, "loss": 1.0}
    for row in (without, without | {"val_accuracy": 0.4, "val_loss": 1.1}):
        history = [{"epoch": epoch, **row} for epoch in (1, 2)]
        draw_curves(history, tmp_path / "curves.png", "a title")
        with Image.open(tmp_path / "curves.png") as picture:
            assert picture.size == (1200, 480)
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10  # not blank
