"""`export` on the command line."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import flat
from tests.support.exported import gray_mixer
from tests.support.pixels import PHOTO
from training.export import comparison

# What the running backend writes itself; JAX starts a process.
FORMAT, SUFFIX = ("torch", ".pt2") if keras.backend.backend() == "torch" else ("onnx", ".onnx")


@pytest.mark.long
class TestExport:
    def test_a_run(self, call, finished):
        run, _ = finished
        status, out, err = call("export", run.path, "--to", FORMAT, "--num-images", 3, "--json")
        assert status == 0, err
        entries = json.loads(out)
        (export,) = entries["exports"]
        folder = run.path / "export"
        assert entries["metadata"] == str(folder / "model.json")
        assert entries["compared_on"] == "the test split of digits"
        assert export["path"] == str(folder / f"model{SUFFIX}")
        assert export["bytes"] == (folder / f"model{SUFFIX}").stat().st_size
        assert export["images"] == 3 and export["agreement"] == 1
        assert export["difference"] < 1e-5
        metadata = json.loads((folder / "model.json").read_text())
        assert metadata["model"] == run.path.name
        assert metadata["class_names"] == list(map(str, range(10)))
        assert metadata["evaluation_transform"]["name"] == "resize"
        assert metadata["outputs"]["probabilities"]["activation"] == "softmax"

    @pytest.mark.backend("torch")  # nothing in the command depends on it
    def test_a_keras_file_is_compared_on_photos(self, call, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        model = gray_mixer(classifier_activation="sigmoid")
        model.save("mixer.keras")
        (tmp_path / "names.txt").write_text("\n".join("abcdefghij"))
        status, out, err = call(
            *("export", "mixer.keras", "--to", FORMAT, "--num-images", 2, "--name", "small"),
            *("--class-names", "names.txt", "--evaluation-transform", "resize"),
        )
        assert status == 0, err
        text = flat(out)
        assert "comparing on 2 images: crops of scikit-learn's photographs." in text
        assert f"small{SUFFIX}" in text and "exports/mixer/small.json" in text
        assert (tmp_path / f"exports/mixer/small{SUFFIX}").is_file()
        metadata = json.loads((tmp_path / "exports/mixer/small.json").read_text())
        assert metadata["class_names"] == list("abcdefghij")
        assert metadata["evaluation_transform"]["name"] == "resize"
        assert metadata["outputs"]["probabilities"]["activation"] == "sigmoid"

    @pytest.mark.backend("torch")
    def test_image_files_and_a_model_that_differs(self, call, finished, tmp_path, monkeypatch):
        monkeypatch.setattr(comparison.Comparison, "is_within", lambda *_: False)
        Image.fromarray(np.asarray(PHOTO)).save(tmp_path / "photo.png")
        status, _, err = call(
            *("export", finished[0].path, "--to", FORMAT, "--images", tmp_path / "photo.png"),
            *("--output-dir", tmp_path / "out"),
        )
        assert status == 2 and "same class for 100.0% of 1 images" in err
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "onnx", "onnx"], "--to must be one or more of"),
        (["--to", "onnx", "--num-images", "0"], "--num-images must be at least 1"),
        (["--to", "onnx", "--name", "a/b"], "--name must be a file name without a folder"),
        (["--to", "onnx", "--name", ""], "--name must be a file name without a folder"),
        (
            ["--to", "onnx", "--source", "digits", "--images", "a.png"],
            "--images must be left out with --source",
        ),
    ],
)
def test_options_that_are_refused(call, tmp_path, options, message):
    gray_mixer().save(tmp_path / "mixer.keras")
    status, _, err = call("export", tmp_path / "mixer.keras", *options)
    assert status == 2 and message in flat(err)


@pytest.mark.backend("torch")
def test_an_unknown_format_and_no_format(call, tmp_path):
    for options in (["--to", "onxx"], []):
        status, _, err = call("export", tmp_path / "mixer.keras", *options)
        assert status == 2 and "--to" in err


@pytest.mark.backend("torch")
def test_images_of_another_kind(call, tmp_path):
    gray_mixer().save(tmp_path / "mixer.keras")
    status, _, err = call("export", tmp_path / "mixer.keras", "--to", "torch", "--source", "shapes")
    assert status == 2 and "--source must have images with 1 channel" in err
    status, _, err = call("export", tmp_path / "mixer.keras", "--to", "torch", "--images", "no.png")
    assert status == 2 and "IMAGE must be an image file" in err
