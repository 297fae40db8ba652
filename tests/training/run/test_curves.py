import pytest
from PIL import Image

from training.run.curves import draw_curves

pytestmark = pytest.mark.backend("torch")  # no backend is used


def test_curves_with_and_without_validation(tmp_path):
    history = tmp_path / "history.csv"
    for header, row in [
        ("epoch,accuracy,loss", "0.5,1.0"),
        ("epoch,accuracy,loss,val_accuracy,val_loss", "0.5,1.0,0.4,1.1"),
    ]:
        history.write_text(f"{header}\n1,{row}\n2,{row}\n")
        draw_curves(history, tmp_path / "curves.png", "a title")
        with Image.open(tmp_path / "curves.png") as picture:
            assert picture.size == (1200, 480)
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10  # not blank
