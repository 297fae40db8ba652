"""`explain` on the command line."""

import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_mixer import explain
from tests.support.command_line import flat
from tests.support.image_files import PNG
from tests.support.models import random_pixels, randomize, small_mixer
from training.studies.models.permutation import permute_input

SIZE = (24, 16)  # of the images of `model_file`, height and width
GRID = (6, 4)
CLASSES = ("cat", "dog", "emu", "emu", "7")


def make_model(**changes):
    model = small_mixer(input_shape=(*SIZE, 3), **changes)
    randomize(model)
    return model


@pytest.fixture
def model_file(tmp_path, monkeypatch):
    """The path of a model, in the working folder."""
    monkeypatch.chdir(tmp_path)
    make_model().save("animals.keras")
    (tmp_path / "names.json").write_text(json.dumps(CLASSES))
    return "animals.keras"


def write_images(number, folder=""):
    """Write images of the size of the model; return them and their paths."""
    images = random_pixels((number, *SIZE, 3))
    paths = [str(Path(folder, f"{i}.png")) for i in range(number)]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path)
    return images, paths


def test_maps_are_those_of_the_pixels_that_the_model_sees(call, model_file, tmp_path):
    images, paths = write_images(2)
    status, out, err = call(
        "explain",
        model_file,
        *paths,
        "--evaluation-transform",
        "resize",
        "--json",
        "--methods",
        "integrated-gradients",
        "occlusion",
        "grad-cam",
    )
    assert (status, "explaining" in err) == (0, False)
    results = json.loads(out)
    output = tmp_path / "explanations" / "animals"
    assert json.loads((output / "explanations.json").read_text()) == results
    assert sorted(p.name for p in output.iterdir()) == ["0.png", "1.png", "explanations.json"]
    assert (results["model"], results["evaluation_transform"]) == (model_file, "resize")
    assert results["layer"] == "pre_head_layer_norm"
    model = make_model()
    expected = {
        "integrated-gradients": explain.integrated_gradients(model, images),
        "occlusion": explain.occlusion(model, images),
        "grad-cam": explain.grad_cam(model, images),
    }
    logits = model.predict(images, verbose=0)
    for i, entry in enumerate(results["explanations"]):
        assert (entry["image"], entry["figure"]) == (f"{i}.png", f"{i}.png")
        assert entry["class"] == str(entry["class_index"]) == str(logits[i].argmax())
        exponents = np.exp(logits[i] - logits[i].max())
        assert entry["probability"] == pytest.approx(1 / exponents.sum(), rel=1e-4)
        assert entry["is_predicted"]
        for method, maps in expected.items():
            np.testing.assert_allclose(entry["maps"][method], maps[i], rtol=1e-3, atol=1e-4)
            peak = np.unravel_index(np.argmax(entry["maps"][method]), GRID)
            assert entry["peaks"][method] == list(peak)
        with Image.open(output / entry["figure"]) as figure:
            assert figure.format == "PNG" and min(figure.size) > 300


def test_one_method_a_class_and_a_layer(call, model_file, tmp_path):
    _, paths = write_images(1)
    arguments = ["explain", model_file, *paths, "--class-names", "names.json", "--class", "dog"]
    status, out, _ = call(
        *arguments, "--methods", "grad-cam", "--layer", "MixerBlock_0", "--output-dir", "a/b"
    )
    assert status == 0
    text = flat(out)
    for words in ("0.png", "dog", "hottest patch", "grad-cam", "a/b/explanations.json"):
        assert words in text
    results = json.loads((tmp_path / "a" / "b" / "explanations.json").read_text())
    (entry,) = results["explanations"]
    assert (entry["class"], entry["class_index"], results["layer"]) == ("dog", 1, "MixerBlock_0")
    assert list(entry["maps"]) == ["grad-cam"]
    status, out, _ = call(*arguments, "--methods", "occlusion", "--batch-size", 5, "--json")
    results = json.loads(out)
    assert list(results["explanations"][0]["maps"]) == ["occlusion"] and "layer" not in results


@pytest.mark.backend("torch")
def test_classes_have_names_and_numbers(call, model_file):
    _, paths = write_images(1)
    arguments = ["explain", model_file, *paths, "--methods", "grad-cam", "--json"]
    for text, names, index in [("3", False, 3), ("7", True, 4), ("2", True, 2)]:
        options = ["--class-names", "names.json"] if names else []
        _, out, _ = call(*arguments, "--class", text, *options)
        assert json.loads(out)["explanations"][0]["class_index"] == index
    for text, words in {
        "emu": "Received: emu, the name of 2 classes. Pass the number of one: 2, 3.",
        "catt": "Received: catt. Did you mean 'cat'?",
        "5": "from 0 to 4. Received: 5.",
        "-1": "--class",
    }.items():
        status, out, err = call(*arguments, f"--class={text}", "--class-names", "names.json")
        assert (status, out) == (2, "") and words in flat(err), err


@pytest.mark.backend("torch")
def test_unreadable_images_do_not_hide_the_others(call, model_file, tmp_path):
    _, paths = write_images(2)
    (tmp_path / "half.png").write_bytes(PNG[: len(PNG) // 2])
    status, out, err = call(
        "explain", model_file, "0.png", "half.png", "1.png", "gone.png", "--json"
    )
    assert status == 2 and "Traceback" not in err
    assert [e["image"] for e in json.loads(out)["explanations"]] == paths
    assert "Received: 2 of 4 that cannot" in err
    for words in ("half.png: its PNG data are corrupt", "gone.png: it cannot be opened"):
        assert words in err
    status, out, err = call("explain", model_file, "half.png")
    assert (status, out) == (2, "") and "1 of 1" in err


@pytest.mark.backend("torch")
def test_figures_of_images_with_one_name(call, model_file, tmp_path):
    for folder in ("a", "B"):
        (tmp_path / folder).mkdir()
        write_images(1, folder)
    shutil.copy("a/0.png", "a/0.PNG")
    status, out, _ = call("explain", model_file, "a", "B", "--methods", "grad-cam", "--json")
    figures = [entry["figure"] for entry in json.loads(out)["explanations"]]
    assert status == 0 and sorted(figures) == ["0.png", "0_2.png", "0_3.png"]
    assert all((tmp_path / "explanations" / "animals" / name).exists() for name in figures)


@pytest.mark.backend("torch")
def test_progress_is_shown_on_a_terminal(call, model_file, monkeypatch):
    _, paths = write_images(2)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, _, err = call("explain", model_file, *paths, "--methods", "grad-cam")
    assert "explaining" in err and "2/2" in err


@pytest.mark.backend("torch")
def test_invalid_options(call, model_file, tmp_path):
    write_images(1)
    (tmp_path / "file").touch()
    flattened = keras.Sequential(
        [keras.Input((*SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    flattened.save("no_mixer.keras")
    permute_input(make_model(), "patches", 4, 0).save("permuted.keras")
    cases = {
        (model_file,): "IMAGE... must be",
        (model_file, "nowhere.png"): "IMAGE... must exist. Received: nowhere.png",
        (model_file, "https://x.org/0.png"): "Received: https://x.org/0.png",
        ("nowhere", "0.png"): "MODEL must be",
        (model_file, "0.png", "--batch-size", 0): "--batch-size must be at least 1",
        (model_file, "0.png", "--methods", "cam"): "--methods",
        (model_file, "0.png", "--methods", "occlusion", "occlusion"): "--methods must name",
        (
            model_file,
            "0.png",
            "--layer",
            "head",
            "--methods",
            "grad-cam",
        ): "--layer must be a layer that returns one token",
        (model_file, "0.png", "--layer", "stem", "--methods", "occlusion"): "--layer chooses the",
        (model_file, "0.png", "--output-dir", "file"): "--output-dir must be a folder",
        ("no_mixer.keras", "0.png"): "MODEL must be a Mixer, or have one inside",
        ("permuted.keras", "0.png"): "--methods must be occlusion for a model that permutes",
    }
    for arguments, words in cases.items():
        status, out, err = call("explain", *arguments)
        assert (status, out) == (2, ""), arguments
        assert words in flat(err) and "Traceback" not in err, err
    assert call("explain", "permuted.keras", "0.png", "--methods", "occlusion")[0] == 0


@pytest.mark.backend("torch")
def test_logits_that_are_not_finite(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = make_model()
    model.get_layer("head").bias.assign(np.full(5, np.nan))
    model.save("broken.keras")
    write_images(1)
    status, _, err = call("explain", "broken.keras", "0.png")
    assert status == 2 and "must be finite" in err


@pytest.mark.long
def test_a_run_on_gray_images(call, finished, tmp_path):
    folder, _ = finished
    Image.new("RGB", (20, 30), (200, 200, 200)).save(tmp_path / "[red]one.png")
    status, out, _ = call("explain", folder.path, tmp_path / "[red]one.png")
    assert status == 0 and "[red]one.png" in flat(out)
    output = folder.path / "explanation"
    assert (output / "[red]one.png").exists()
    (entry,) = json.loads((output / "explanations.json").read_text())["explanations"]
    assert np.shape(entry["maps"]["integrated-gradients"]) == np.shape(entry["maps"]["occlusion"])
    assert entry["class"] in "0123456789"
