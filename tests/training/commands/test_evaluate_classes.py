"""`evaluate` on datasets that have some of the model's classes, in another order."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score, precision_recall_fscore_support, recall_score

from keras_mixer.preprocessing import prepare_image
from tests.support.command_line import flat
from tests.support.models import random_pixels
from tests.support.runs import CLASS_NAMES, train_run
from training.keras_file import open_logits

IMAGES = random_pixels((40, 8, 8, 3), seed=5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with the classes cat, dog and emu."""
    return train_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def logits(run):
    """The logits of the images, in float64."""
    model, _ = open_logits(run.model)
    images = np.stack([prepare_image(image, "resize-crop", (8, 8)) for image in IMAGES])
    return model.predict(images, verbose=0).astype("float64")


def metrics(logits, labels):
    """Each figure by its definition."""
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = logits.argmax(axis=1) == labels
    error = 0
    for low in np.arange(15) / 15:
        members = (shares.max(axis=1) > low) & (shares.max(axis=1) <= low + 1 / 15)
        error += abs(right[members].sum() - shares.max(axis=1)[members].sum()) / len(labels)
    return {
        "accuracy": right.mean(),
        "top5_accuracy": 1.0,
        "loss": -np.log(shares[np.arange(len(labels)), labels]).mean(),
        "calibration_error": error,
        "examples": len(labels),
    }


def as_arrays(folder, names, images):
    np.savez(
        folder / "set.npz",
        x_test=images,
        y_test=np.arange(len(images)) % len(names),
        class_names=np.array(names),
    )
    return f"arrays:{folder / 'set.npz'}"


def as_folder(folder, names, images, split=""):
    for i, image in enumerate(images):
        path = folder / "photos" / split / names[i % len(names)] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return f"folder:{folder / 'photos'}"


def require_classes(folder, result, labels, predicted):
    """Compare the metrics of each class, and their means, with scikit-learn's."""
    with open(folder / "classes.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["class", "precision", "recall", "f1", "support"]
    assert [row[0] for row in rows] == list(CLASS_NAMES)
    every = {"labels": range(3), "zero_division": np.nan}
    found = np.array([[float(cell or "nan") for cell in row[1:]] for row in rows])
    expected = np.transpose(precision_recall_fscore_support(labels, predicted, **every))
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    present = {"labels": np.unique(labels), "average": "macro"}
    assert result["balanced_accuracy"] == recall_score(labels, predicted, **present)
    assert result["macro_f1"] == f1_score(labels, predicted, **present)


def require_predictions(folder, logits, labels, name):
    """Compare the rows with the logits; the number in a file's name is that of its image."""
    with open(folder / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    images = [row["image"] for row in rows]
    if name:
        order = list(range(len(IMAGES)))
        assert images == [name.format(i) for i in order]
    else:
        assert images == sorted(map(str, folder.glob("photos/*/*.png")))
        order = [int(image[-6:-4]) for image in images]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for i, row in zip(order, rows, strict=True):
        predicted = logits[i].argmax()
        assert row["true"] == CLASS_NAMES[labels[i]]
        assert row["predicted"] == CLASS_NAMES[predicted]
        assert float(row["probability"]) == pytest.approx(shares[i, predicted], rel=1e-4)
        assert float(row["true_probability"]) == pytest.approx(shares[i, labels[i]], rel=1e-4)
        assert row["correct"] == str(predicted == labels[i])


@pytest.mark.parametrize("names", [("emu", "cat"), ("dog",), ("emu", "dog", "cat")], ids="-".join)
@pytest.mark.parametrize("write", [as_arrays, as_folder])
def test_classes_are_matched_by_name(run, logits, names, write, call, tmp_path):
    source = write(tmp_path, names, IMAGES)
    arguments = ("evaluate", run.path, "--source", source, "--output-dir", tmp_path)
    status, out, err = call(*arguments, "--json", "--predictions")
    assert status == 0, err
    result = json.loads(out)
    labels = np.array([CLASS_NAMES.index(names[i % len(names)]) for i in range(len(IMAGES))])
    for name, value in metrics(logits, labels).items():
        assert result[name] == pytest.approx(value, rel=1e-4), name
    missing = [name for name in CLASS_NAMES if name not in names]
    assert result["missing_classes"] == missing
    assert (tmp_path / "mistakes.png").exists()
    with open(tmp_path / "confusion.csv", newline="") as file:
        rows = {(r["true"], r["predicted"]): int(r["count"]) for r in csv.DictReader(file)}
    expected = {}
    for label, predicted in zip(labels, logits.argmax(axis=1), strict=True):
        pair = CLASS_NAMES[label], CLASS_NAMES[predicted]
        expected[pair] = expected.get(pair, 0) + 1
    assert rows == expected
    require_classes(tmp_path, result, labels, logits.argmax(axis=1))
    require_predictions(tmp_path, logits, labels, "x_test[{}]" if write is as_arrays else "")
    if len(names) == 1:
        _, out, _ = call(*arguments)
        assert "without examples 2: cat, emu" in flat(out)


def test_without_mistakes_there_is_no_figure_of_them(run, logits, call, tmp_path):
    predicted = logits.argmax(axis=1)
    np.savez(tmp_path / "set.npz", x_test=IMAGES, y_test=predicted, class_names=CLASS_NAMES)
    (tmp_path / "mistakes.png").write_text("of an earlier evaluation")
    (tmp_path / "predictions.csv").write_text("of an earlier evaluation")
    source = f"arrays:{tmp_path / 'set.npz'}"
    status, out, err = call("evaluate", run.path, "--source", source, "--output-dir", tmp_path)
    assert status == 0, err
    assert "mistakes none, so there is no figure of them" in flat(out)
    assert "balanced accuracy 1.0000" in flat(out) and "macro F1 1.0000" in flat(out)
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"set.npz", "evaluation.json", "classes.csv", "confusion.csv", "confusion.png"}


@pytest.mark.backend("torch")  # classes are compared before the model is used
@pytest.mark.parametrize("split", ["test", "Testing"])
def test_a_test_split_alone_is_evaluated(run, call, tmp_path, split):
    source = as_folder(tmp_path, ["dog", "cat"], IMAGES[:6], split)
    as_folder(tmp_path, ["dog"], IMAGES[:9], "val")
    status, out, err = call("evaluate", run.path, "--source", source, "--json")
    assert status == 0, err
    assert json.loads(out)["examples"] == 6


@pytest.mark.backend("torch")
def test_unknown_classes_are_refused(run, call, tmp_path):
    source = as_folder(tmp_path, ["dog", "fox"], IMAGES[:6])
    status, _, err = call("evaluate", run.path, "--source", source)
    assert status == 2
    assert "no classes other than those of the model, 3: cat, dog, emu. Received: 1: fox." in err
    (tmp_path / "photos" / "fox").rename(tmp_path / "fox")  # leave their images out
    status, out, err = call("evaluate", run.path, "--source", source, "--json")
    assert status == 0 and json.loads(out)["examples"] == 3


@pytest.mark.backend("torch")
def test_numbers_are_not_the_names_of_classes(run, call, tmp_path):
    arrays = {"x_test": IMAGES[:6], "y_test": np.arange(6) % 2 + 1}
    np.savez(tmp_path / "set.npz", **arrays)
    source = ("--source", f"arrays:{tmp_path / 'set.npz'}", "--json")
    status, _, err = call("evaluate", run.path, *source)
    assert status == 2 and "Received: 2: 1, 2. If labels are numbers of classes, save class" in err
    np.savez(tmp_path / "set.npz", class_names=np.array(CLASS_NAMES), **arrays)
    status, out, _ = call("evaluate", run.path, *source)
    assert status == 0 and json.loads(out)["missing_classes"] == ["cat"]


@pytest.mark.backend("torch")
def test_a_file_without_class_names(run, call, tmp_path):
    """Numbers of classes are taken as such; names need the names of the model's classes."""
    arguments = ("evaluate", run.model, "--output-dir", tmp_path, "--json", "--source")
    np.savez(tmp_path / "set.npz", x_test=IMAGES[:6], y_test=np.arange(6) % 2 + 1)
    status, out, err = call(*arguments, f"arrays:{tmp_path / 'set.npz'}")
    assert status == 0, err
    assert json.loads(out)["missing_classes"] == ["0"]
    source = as_folder(tmp_path, ["emu", "dog"], IMAGES[:6])
    status, _, err = call(*arguments, source)
    assert status == 2 and "Pass --class-names FILE with the names of all its classes" in err
    status, out, err = call(*arguments, source, "--class-names", run.class_names)
    assert status == 0, err
    assert json.loads(out)["missing_classes"] == ["cat"]


def test_images_that_change_are_named(run, call, tmp_path, monkeypatch):
    from training.evaluation import accuracy

    source = as_folder(tmp_path, ["emu", "dog"], IMAGES[:6])
    evaluate = accuracy.evaluate_accuracy

    def change(*arguments):
        (tmp_path / "photos" / "dog" / "01.png").write_bytes(b"")
        return evaluate(*arguments)

    monkeypatch.setattr(accuracy, "evaluate_accuracy", change)
    status, _, err = call("evaluate", run.path, "--source", source)
    assert status == 2
    assert "dog/01.png: it is empty\nRestore these files. Then evaluate again." in err
