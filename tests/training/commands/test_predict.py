"""`predict` on the command line."""

import csv
import io
import json
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from keras_mixer.preprocessing import prepare_image
from tests.support.command_line import flat
from tests.support.models import random_pixels, randomize, small_mixer
from training.evaluation import prediction
from training.evaluation.logits import probabilities

NUMBER = 7


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Mixer for images of 8 × 12 pixels, and the path of its file."""
    path = tmp_path_factory.mktemp("model") / "small.keras"
    model = small_mixer()
    randomize(model)
    model.save(path)
    return model, path


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Images of different sizes in the folder `photos` of the working folder, and their pixels."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    pixels = {f"photos/{i}.png": random_pixels((20 + i, 30, 3), i) for i in range(NUMBER)}
    for name, image in pixels.items():
        Image.fromarray(image).save(name)
    return pixels


def expected_probabilities(model, photos, names, activation="softmax", channels=3):
    """Return the probability of each class for each image."""
    size = model.input_shape[1:3]
    images = [prepare_image(photos[name], "resmall-crop", size)[..., :channels] for name in names]
    logits = np.concatenate([model.predict(image[None], verbose=0) for image in images])
    return probabilities(logits.astype("float64"), activation)


def assert_predicts(predictions, names, expected):
    """Check the images, the classes and the probabilities of predictions as in JSON."""
    assert [p["image"] for p in predictions] == list(names)
    for one, values in zip(predictions, expected, strict=True):
        classes, found = zip(*one["classes"], strict=True)
        assert [int(c) for c in classes] == np.argsort(-values)[: len(classes)].tolist()
        np.testing.assert_allclose(found, np.sort(values)[::-1][: len(classes)], rtol=1e-4)


@pytest.mark.long  # needs a trained model
def test_a_run(call, finished, tmp_path, monkeypatch):
    folder, _ = finished
    monkeypatch.chdir(tmp_path)
    names = ["[red]one.png", "two.png"]
    for name in names:
        Image.new("RGB", (20, 30), (200, 200, 200)).save(name)
    status, out, _ = call("predict", folder.path, *names, "--json")
    predictions = json.loads(out)
    assert status == 0
    assert [p["image"] for p in predictions] == names
    for one in predictions:
        classes, values = zip(*one["classes"], strict=True)
        assert len(classes) == 3 and set(classes) <= set("0123456789")
        assert list(values) == sorted(values, reverse=True)
        assert 0 < sum(values) <= 1 + 1e-6
    status, out, _ = call("predict", folder.path, names[0], "--top", "1")
    assert status == 0
    assert "[red]one.png" in flat(out)


def test_formats(call, model, photos):
    """A folder, in batches of 3, of 3 and of 1 that is padded."""
    mixer, path = model
    arguments = ["predict", path, "photos", "--batch-size", 3, "--top", 2]
    expected = expected_probabilities(mixer, photos, photos)
    status, out, err = call(*arguments, "--json")
    assert status == 0, err
    listed = json.loads(out)
    assert out == json.dumps(listed, indent=2) + "\n"
    assert_predicts(listed, photos, expected)
    assert call(*arguments, "--format", "json")[1] == out
    _, out, _ = call(*arguments, "--format", "jsonl")
    assert [json.loads(line) for line in out.splitlines()] == listed
    _, out, _ = call(*arguments, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(r["image"], int(r["rank"]), r["class"], float(r["probability"])) for r in rows] == [
        (p["image"], rank, *best)
        for p in listed
        for rank, best in enumerate(map(tuple, p["classes"]), 1)
    ]
    _, out, _ = call(*arguments)
    for one in listed:
        (first, p), (second, q) = one["classes"]
        assert f"{one['image']} {first} {p:.4f} {second} {q:.4f}" in flat(out)


@pytest.mark.backend("torch")
def test_tables_are_written_in_parts(call, model, photos, monkeypatch):
    monkeypatch.setattr("training.cli.prediction_writers.TableWriter.LARGEST_TABLE", 3)
    _, out, _ = call("predict", model[1], "photos", "--top", 1, "--batch-size", 2)
    assert out.count("probability") == 3
    assert [name for name in flat(out).split() if name in photos] == list(photos)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.txt", "new/folder/a.CSV"])
def test_the_results_are_written_to_a_file(call, model, photos, tmp_path, name):
    """In the format of its suffix."""
    (tmp_path / "a.csv").write_text("of an earlier command")
    form = {"txt": "table"}.get(suffix := name[-3:].lower(), suffix)
    form = "jsonl" if name == "a.jsonl" else "json" if name == "a.json" else form
    _, expected, _ = call("predict", model[1], "photos", "--format", form)
    status, out, err = call("predict", model[1], "photos", "--output", name)
    assert (status, out) == (0, ""), err
    assert (tmp_path / name).read_text() == expected
    assert not list(tmp_path.rglob(".draft*"))


@pytest.mark.backend("torch")
def test_images_are_named_by_folders_patterns_and_standard_input(call, model, photos, monkeypatch):
    for arguments, contents in [
        (["photos"], b""),
        (["photos/[0-9].png"], b""),
        (["-"], b"\n".join(name.encode() for name in photos)),
        (["photos/0.png", "-"], b"\0".join(name.encode() for name in list(photos)[1:])),
    ]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(contents)))
        status, out, err = call("predict", model[1], *arguments, "--json")
        assert status == 0, err
        assert [p["image"] for p in json.loads(out)] == list(photos)


def test_unreadable_images_are_reported_after_the_results(call, model, photos, tmp_path):
    mixer, path = model
    for name in ("photos/2.png", "photos/5.png"):
        (tmp_path / name).write_text("no picture")
    good = [name for name in photos if name not in ("photos/2.png", "photos/5.png")]
    expected = expected_probabilities(mixer, photos, good)
    arguments = ["predict", path, "missing.png", "photos", "--batch-size", 2, "--format", "jsonl"]
    status, out, err = call(*arguments)
    assert status == 2
    assert_predicts([json.loads(line) for line in out.splitlines()], good, expected)
    assert "Received: 3 of 8 that cannot:\n" in err and "results of the others are complete" in err
    assert "\n  missing.png: it cannot be opened: No such file or directory\n" in err
    for name in ("2", "5"):
        assert f"\n  photos/{name}.png: it is not an image of a known format\n" in err
    status, skipped, err = call(*arguments, "--on-bad-image", "skip")
    assert (status, skipped) == (0, out)
    assert "warning: 3 of 8 image files were skipped" in err and "missing.png" in err
    status, _, _ = call(*arguments, "--output", "a.jsonl")
    assert (status, (tmp_path / "a.jsonl").read_text()) == (2, out)


@pytest.mark.backend("torch")
def test_no_image_can_be_decoded(call, model, photos, tmp_path):
    (tmp_path / "note.png").write_text("no picture")
    status, out, err = call("predict", model[1], tmp_path / "note.png")
    assert (status, out) == (2, "")
    assert f"{tmp_path / 'note.png'}: it is not an image" in err and "others" not in err


def test_features(call, model, photos, tmp_path):
    mixer, path = model
    body = keras.Model(mixer.input, mixer.get_layer("head").input)
    (tmp_path / "photos" / "3.png").write_text("no picture")
    _, without, _ = call("predict", path, "photos", "--on-bad-image", "skip", "--json")
    status, out, err = call(
        *("predict", path, "photos", "--on-bad-image", "skip", "--json"),
        *("--features", "new/features.npy", "--batch-size", 4),
    )
    assert status == 0, err
    good = [name for name in photos if name != "photos/3.png"]
    found = np.load("new/features.npy")
    assert json.loads((tmp_path / "new/features.json").read_text()) == good
    images = [prepare_image(photos[name], "resmall-crop", (8, 12)) for name in good]
    np.testing.assert_allclose(found, body.predict(np.stack(images), verbose=0), atol=1e-5)
    assert found.dtype == np.float32
    for one, other in zip(json.loads(out), json.loads(without), strict=True):
        assert [c for c, _ in one["classes"]] == [c for c, _ in other["classes"]]
        np.testing.assert_allclose(*([p for _, p in o["classes"]] for o in (one, other)), 1e-5)


def test_a_gray_model_that_ends_with_sigmoid(call, photos, tmp_path):
    mixer = small_mixer(input_shape=(8, 8, 1), classifier_activation="sigmoid")
    randomize(mixer)
    mixer.save(tmp_path / "gray.keras")
    gray = {
        name: np.asarray(Image.fromarray(image).convert("L"))[..., None]
        for name, image in photos.items()
    }
    status, out, err = call("predict", "gray.keras", "photos", "--top", 5, "--json")
    assert status == 0, err
    images = [prepare_image(gray[name], "resmall-crop", 8)[..., :1] for name in photos]
    assert_predicts(json.loads(out), photos, mixer.predict(np.stack(images), verbose=0))


@pytest.mark.backend("torch")
@pytest.mark.parametrize("error, expected", [(KeyboardInterrupt, 130), (OSError, 2)])
def test_nothing_is_left_of_files_that_are_not_complete(
    call, model, photos, tmp_path, monkeypatch, error, expected
):
    computed = []

    def predict_batch(model, images):
        computed.append(images)
        if len(computed) == 3:
            raise error("in the third batch")
        return model.predict_on_batch(images)

    monkeypatch.setattr(prediction, "predict_batch", predict_batch)
    before = sorted(tmp_path.rglob("*"))
    arguments = ["--batch-size", 2, "--output", "a.csv", "--features", "a.npy"]
    assert call("predict", model[1], "photos", *arguments)[0] == expected
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["photos", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["photos", "--json", "--format", "csv"], "--json must not be combined with another"),
        (["photos", "--features", "a.txt"], "--features must be a file that ends in .npy. Re"),
        (["photos", "--features", "a.npy", "--output", "./a.json"], "that --features writes, a.n"),
        (["photos", "--output", "photos"], "--output must be a file in a folder that can be wri"),
        (["photos", "--output", "photos/0.png/a.csv"], "--output must be a file in a folder tha"),
        (["--output", "photos/0.png", "photos/1.png"], "--output must not end in .jpg, .jpeg"),
        (["https://example.org/a.jpg"], "nothing is downloaded"),
        (["photos/*.gif"], "matches nothing"),
        (["nowhere.png"], "IMAGE... must exist. Received: nowhere.png, which does not."),
    ],
)
def test_mistakes_are_found_before_the_model_is_loaded(
    call, model, photos, tmp_path, monkeypatch, arguments, expected
):
    def load_model(*arguments):
        raise AssertionError("the model is loaded")

    monkeypatch.setattr("training.model_argument.load_model", load_model)
    before = sorted(tmp_path.rglob("*"))
    status, out, err = call("predict", model[1], *arguments)
    assert (status, out) == (2, "")
    assert expected in flat(err)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_without_a_dense_head_has_no_features(call, photos, tmp_path):
    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)).save(tmp_path / "a.keras")
    status, out, err = call("predict", "a.keras", "photos", "--features", "a.npy")
    assert (status, out) == (2, "")
    assert "must end with a dense layer" in err and not (tmp_path / "a.npy").exists()


@pytest.mark.backend("torch")
def test_names_of_features_do_not_replace_another_file(call, model, photos, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    status, out, err = call("predict", model[1], "photos", "--features", "a.npy")
    assert (status, out) == (2, "")
    assert "--features must not replace a.json, which no earlier --features wrote" in flat(err)
    assert (tmp_path / "a.json").read_text() == "{}" and not (tmp_path / "a.npy").exists()
