"""`fewshot` and `knn` on the command line."""

import csv
import json
import statistics

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.linear_model import Ridge

from tests.support.command_line import flat
from tests.support.tfds import build_tfds
from training.evaluation.features import features_model
from training.model_argument import load_model, parse

pytestmark = pytest.mark.long  # needs a trained model


@pytest.fixture
def probe_dir(finished):
    """The default folder for results: shared, so that features are computed once."""
    return finished[0].path / "probe"


def digits_features(path):
    """Return the features and labels of the training and the test split of the run's dataset."""
    from training.data.sources import load_source

    loaded = load_model(parse(str(path)))
    source = load_source(loaded.data)
    model = features_model(loaded.model)
    parts = []
    for split in (source.train, source.test):
        images = np.stack([image.numpy() for _, image, _ in split.in_order()])
        parts.append((model.predict(images.astype("float32"), verbose=0), split.labels))
    return parts


def test_fewshot_of_a_run(call, finished, probe_dir):
    path = finished[0].path
    arguments = ("fewshot", path, "--shots", 1, 5, "--seeds", 2, "--full")
    status, out, _ = call(*arguments, "--json")
    assert status == 0
    result = json.loads(out)
    assert result["source"] == "digits" and result["test_examples"] == 360
    assert [(p["shots"], p["seed"]) for p in result["probes"]] == [
        *((1, 0), (1, 1), (5, 0), (5, 1)),
        (None, None),
    ]
    one, five, full = result["summary"]
    assert one["mean"] < five["mean"] < full["mean"] and full["mean"] > 0.6
    accuracies = [p["accuracy"] for p in result["probes"][:2]]
    assert one["mean"] == statistics.mean(accuracies)
    assert one["stddev"] == statistics.stdev(accuracies)
    assert json.loads((probe_dir / "fewshot.json").read_text()) == result
    with open(probe_dir / "fewshot.csv", newline="") as file:
        assert [float(row["accuracy"]) for row in csv.DictReader(file)] == [
            p["accuracy"] for p in result["probes"]
        ]
    with Image.open(probe_dir / "fewshot.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
    status, out, _ = call(*arguments)
    assert status == 0 and f"5 {five['mean']:.4f}" in flat(out) and "all" in flat(out)


def test_the_probe_of_all_images_is_that_of_scikit_learn(call, finished):
    result = json.loads(call("fewshot", finished[0].path, "--shots", 1, "--full", "--json")[1])
    (train, labels), (test, test_labels) = digits_features(finished[0].path)
    mean, stddev = train.mean(axis=0, dtype="float64"), train.std(axis=0, dtype="float64") + 1e-5
    x, others = (
        np.pad((part - mean) / stddev, ((0, 0), (0, 1)), constant_values=100.0)
        for part in (train, test)
    )
    targets = np.where(labels[:, None] == np.arange(10), 1.0, -1.0)
    ridge = Ridge(1024.0, fit_intercept=False).fit(x, targets)
    expected = np.mean(ridge.predict(others).argmax(axis=1) == test_labels)
    assert result["summary"][-1]["mean"] == pytest.approx(expected, abs=1 / 360)


@pytest.mark.backend("torch")
def test_cross_validation_chooses_penalties(call, finished):
    result = json.loads(
        call(
            *("fewshot", finished[0].path, "--shots", 5, "--seeds", 2, "--json"),
            *("--penalty", "cross-validation"),
        )[1]
    )
    assert all(p["penalty"] != 1024 and 2**-10 <= p["penalty"] <= 2**19 for p in result["probes"])


@pytest.mark.backend("torch")
def test_features_are_computed_once(call, finished, probe_dir):
    call("knn", finished[0].path)
    files = {path: path.stat().st_mtime_ns for path in probe_dir.rglob("features/*/*.npz")}
    assert len(files) == 2  # training and test split
    call("fewshot", finished[0].path)
    assert {path: path.stat().st_mtime_ns for path in probe_dir.rglob("*.npz")} == files


def test_knn_of_a_run(call, finished, probe_dir):
    status, out, _ = call("knn", finished[0].path, "--neighbors", 7, 1, "--json")
    result = json.loads(out)
    assert status == 0 and [row["neighbors"] for row in result["neighbors"]] == [1, 7]
    assert all(0.6 < row["accuracy"] < 1 for row in result["neighbors"])
    assert json.loads((probe_dir / "knn.json").read_text()) == result
    with open(probe_dir / "knn.csv", newline="") as file:
        assert [float(row["accuracy"]) for row in csv.DictReader(file)] == [
            row["accuracy"] for row in result["neighbors"]
        ]
    with Image.open(probe_dir / "knn.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
    assert f"7 {result['neighbors'][1]['accuracy']:.4f}" in flat(
        call("knn", finished[0].path, "--neighbors", 1, 7)[1]
    )


@pytest.mark.backend("torch")
def test_a_file_on_another_dataset_with_other_classes(call, finished, tmp_path, monkeypatch):
    """As with published weights on ImageNet: a model without a run, and a source."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (20, 9, 9, 1), np.uint8),
        "y_train": np.arange(20) % 2,
        "x_test": rng.integers(0, 256, (6, 9, 9, 1), np.uint8),
        "y_test": np.arange(6) % 2,
    }
    np.savez(tmp_path / "images.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    arguments = (finished[0].model, "--source", "arrays:images.npz")
    status, out, err = call("fewshot", *arguments, "--shots", 2, "--json")
    assert status == 0, err
    assert json.loads(out)["classes"] == 2
    assert (tmp_path / "probes" / "model" / "fewshot.png").exists()


@pytest.mark.backend("torch")
def test_a_dataset_of_tensorflow_datasets(call, finished, tmp_path, capsys):
    """As `--source fewshot-imagenet`: a part of its training split is drawn from."""
    rng = np.random.default_rng(0)
    splits = {
        name: [(rng.integers(0, 256, (8, 8, 1), np.uint8), i % 3) for i in range(number)]
        for name, number in (("train", 40), ("validation", 9))
    }
    build_tfds(tmp_path, "probed", tfds.features.ClassLabel(num_classes=3), splits)
    capsys.readouterr()  # what building prints
    status, out, err = call(
        *("fewshot", finished[0].model, "--source", "tfds:probed", "--data-dir", tmp_path),
        *("--train-split", "train[:30]", "--test-split", "validation", "--shots", 3, "--json"),
        *("--output-dir", tmp_path / "probe"),
    )
    assert status == 0, err
    result = json.loads(out)
    assert (result["train_examples"], result["test_examples"]) == (30, 9)
    assert len(result["probes"]) == 3


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--shots", "999"), "--shots must be at most the number of training images"),
        (("--output-dir", "FILE"), "--output-dir must be a folder that can be written"),
        (("--source", "arrays:color.npz"), "--source must have images with 1 channel"),
    ],
)
def test_what_does_not_fit_is_refused(call, finished, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "color.npz", x_train=images, y_train=np.arange(90) % 2)
    status, _, err = call("fewshot", finished[0].path, *arguments)
    assert status == 2 and message in flat(err) and "Traceback" not in err


@pytest.mark.backend("torch")
def test_more_neighbors_than_images_are_refused(call, finished):
    status, _, err = call("knn", finished[0].path, "--neighbors", 9999)
    assert status == 2 and "--neighbors must be at most the number of training images" in flat(err)
