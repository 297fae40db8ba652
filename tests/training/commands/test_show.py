"""`show` on the command line."""

import pytest
from PIL import Image

pytestmark = pytest.mark.backend("torch")  # tf.data does this under every backend


@pytest.mark.long
def test_show_writes_figures(call, tmp_path):
    for _ in range(2):  # the second time replaces them
        status, out, _ = call("show", "tiny", "--output-dir", tmp_path / "figures")
        assert status == 0
    for name in ("images.png", "classes.png"):
        path = tmp_path / "figures" / name
        assert str(path) in "".join(out.replace("│", "").split())
        with Image.open(path) as figure:
            assert len(figure.convert("RGB").getcolors(1 << 24)) > 10


def test_show_refuses_a_place_that_cannot_be_written(call, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = call("show", "tiny", "--output-dir", tmp_path / "file")
    assert status == 2 and "--output-dir must be a folder that can be written" in err
