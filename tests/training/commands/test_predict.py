"""`predict` on the command line."""

import json

import pytest
from PIL import Image

from tests.support.command_line import flat

pytestmark = pytest.mark.long  # needs a trained model


def test_predict(call, finished, tmp_path, monkeypatch):
    folder, _ = finished
    monkeypatch.chdir(tmp_path)
    names = ["[red]one.png", "two.png"]
    for name in names:
        Image.new("RGB", (20, 30), (200, 200, 200)).save(name)
    status, out, _ = call("predict", folder.path, *names, "--json")
    predictions = json.loads(out)
    assert status == 0
    assert [p["image"] for p in predictions] == names
    for prediction in predictions:
        classes, probabilities = zip(*prediction["classes"], strict=True)
        assert len(classes) == 3 and set(classes) <= set("0123456789")
        assert list(probabilities) == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1 + 1e-6
    status, out, _ = call("predict", folder.path, names[0], "--top", "1")
    assert status == 0
    assert "[red]one.png" in flat(out)


def test_predict_names_an_unreadable_image(call, finished, tmp_path):
    folder, _ = finished
    (tmp_path / "note.png").write_text("no picture")
    status, out, err = call("predict", folder.path, tmp_path / "note.png")
    assert (status, out) == (2, "")
    assert f"{tmp_path / 'note.png'}: it is not an image" in err
