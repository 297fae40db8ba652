"""`evaluate` on the command line."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import flat
from tests.support.tfds import build_tfds
from training.run.folder import RunFolder

pytestmark = pytest.mark.long  # needs a trained model

FIGURES = ["accuracy", "top5_accuracy", "loss", "calibration_error", "examples"]
MEANS = ["balanced_accuracy", "macro_f1"]
REPORT = ["classes.csv", "confusion.csv", "confusion.png", "evaluation.json", "mistakes.png"]


def read_confusion(folder):
    """Return `{(true, predicted): count}`."""
    with open(folder / "confusion.csv", newline="") as file:
        return {(r["true"], r["predicted"]): int(r["count"]) for r in csv.DictReader(file)}


def test_evaluate_agrees_with_the_summary(call, finished):
    folder, _ = finished
    summary = folder.read_summary()
    status, out, err = call("evaluate", folder.path, "--json")
    result = json.loads(out)
    assert status == 0 and "evaluating" not in err
    keys = ["source", "test_split", *FIGURES[:2], *MEANS, *FIGURES[2:], "missing_classes"]
    assert list(result) == keys
    assert result["missing_classes"] == []
    assert (result["source"], result["test_split"]) == ("digits", "")
    assert result["accuracy"] == summary["test_accuracy"]
    assert result["loss"] == pytest.approx(summary["test_loss"], rel=1e-5)
    assert result["accuracy"] < result["top5_accuracy"] < 1
    assert 0 < result["calibration_error"] < 1
    assert result["examples"] == 360
    report = folder.path / "evaluation"
    assert json.loads((report / "evaluation.json").read_text()) == result
    counts = read_confusion(report)
    assert sum(counts.values()) == 360
    assert sum(n for (t, p), n in counts.items() if t == p) == round(result["accuracy"] * 360)


@pytest.mark.backend("torch")
def test_evaluate_replaces_the_report_in_output_dir(call, finished, tmp_path):
    folder, _ = finished
    output = tmp_path / "new" / "report"
    output.mkdir(parents=True)
    (output / "evaluation.json").write_text("an earlier one, and a longer one" * 100)
    status, out, _ = call("evaluate", folder.path, "--output-dir", output)
    assert status == 0
    assert sorted(path.name for path in output.iterdir()) == REPORT
    table, joined = flat(out), "".join(out.replace("│", "").split())
    result = json.loads((output / "evaluation.json").read_text())
    for words in (
        f"accuracy {result['accuracy']:.4f}",
        f"balanced accuracy {result['balanced_accuracy']:.4f}",
        f"macro F1 {result['macro_f1']:.4f}",
        "top-5 accuracy",
        "calibration error",
    ):
        assert words in table
    for name in REPORT:
        assert str(output / name) in joined
    for name in ("confusion.png", "mistakes.png"):
        with Image.open(output / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


@pytest.mark.backend("torch")
def test_evaluate_names_a_folder_that_it_cannot_write(call, finished, tmp_path):
    folder, _ = finished
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "inside"):
        status, _, err = call("evaluate", folder.path, "--output-dir", path)
        assert status == 2
        assert "--output-dir must be a folder that can be written" in err
        assert f"Received: {path}: " in err
    (tmp_path / "taken" / "confusion.csv").mkdir(parents=True)
    status, _, err = call("evaluate", folder.path, "--output-dir", tmp_path / "taken")
    assert status == 2 and "--output-dir must be" in err and "Choose another" in err


@pytest.mark.backend("torch")
def test_evaluate_names_a_batch_that_does_not_fit_in_memory(call, finished, monkeypatch):
    from training.evaluation import accuracy

    def fail(*arguments):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(accuracy, "evaluate_accuracy", fail)
    folder, _ = finished
    status, _, err = call("evaluate", folder.path)
    assert status == 2 and "Traceback" not in err
    assert "Received: --batch-size 128 with images of 8 pixels" in err
    assert "Pass a smaller --batch-size." in err


@pytest.mark.backend("torch")
def test_evaluate_shows_progress_on_a_terminal(call, finished, tmp_path, monkeypatch):
    folder, _ = finished
    for watched in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: watched)  # noqa: B023
        _, _, err = call("evaluate", folder.path, "--output-dir", tmp_path)
        assert ("evaluating" in err) == watched and ("3/3" in err) == watched
        _, _, err = call("evaluate", folder.path, "--output-dir", tmp_path, "--json")
        assert "evaluating" not in err


@pytest.mark.backend("torch")
def test_a_run_of_sigmoid_loss_has_sigmoid_probabilities(call, finished, tmp_path):
    folder, _ = finished
    run = tmp_path / "run"
    shutil.copytree(folder.path, run)
    config = json.loads(folder.config.read_text())
    config["optimization"]["loss"] = "sigmoid"
    (run / "config.json").write_text(json.dumps(config))
    softmax, sigmoid = (
        json.loads(call("evaluate", path, "--json")[1]) for path in (folder.path, run)
    )
    assert softmax["accuracy"] == sigmoid["accuracy"]
    assert sigmoid["loss"] > 1.5 * softmax["loss"]  # it asks ten questions, not one
    Image.new("L", (8, 8), 200).save(tmp_path / "image.png")
    arguments = (tmp_path / "image.png", "--top", 10, "--json")
    shares, chances = (
        dict(json.loads(call("predict", path, *arguments)[1])[0]["classes"])
        for path in (folder.path, run)
    )
    assert list(shares) == list(chances)
    assert sum(shares.values()) == pytest.approx(1)
    shares, chances = np.array(list(shares.values())), np.array(list(chances.values()))
    logits = np.log(chances / (1 - chances))
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), shares, rtol=1e-5)


@pytest.mark.backend("torch")
def test_evaluate_on_images_of_several_classes(call, finished, tmp_path, capsys):
    """All images are alike, so that the labels decide what is right."""
    import tensorflow_datasets as tfds

    folder, _ = finished
    image = np.full((8, 8, 1), 77, np.uint8)
    Image.fromarray(image[..., 0]).save(tmp_path / "image.png")
    _, out, _ = call("predict", folder.path, tmp_path / "image.png", "--top", 10, "--json")
    order = [int(name) for name, _ in json.loads(out)[0]["classes"]]
    first, fifth, sixth, last = order[0], order[4], order[5], order[9]
    sets = [[first]] * 2 + [[last, first]] * 3 + [[last, sixth]] * 4 + [[fifth]] * 5 + [[]] * 6
    classes = tfds.features.Sequence(tfds.features.ClassLabel(names=list("0123456789")))
    build_tfds(tmp_path, "several", classes, {"validation": [(image, s) for s in sets]})
    capsys.readouterr()  # what TensorFlow Datasets said
    arguments = ["--source", "tfds:several", "--data-dir", tmp_path, "--output-dir", tmp_path]
    status, out, err = call(
        "evaluate", folder.path, *arguments, "--test-split", "validation", "--json", "--predictions"
    )
    result = json.loads(out)
    assert status == 0 and "note: metrics of each class are left out, since an image may" in err
    assert not (tmp_path / "classes.csv").exists() and (tmp_path / "mistakes.png").exists()
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = [[*list(row.values())[:3], row["correct"]] for row in csv.DictReader(file)]
    assert len(rows) == 14 and sorted({tuple(row[1:]) for row in rows}) == sorted(
        [
            (str(first), str(first), "True"),
            (f"{first}|{last}", str(first), "True"),
            (f"{sixth}|{last}", str(first), "False"),
            (str(fifth), str(first), "False"),
        ]
    )
    assert list(result) == [
        "source",
        "test_split",
        "real_accuracy",
        "real_top5_accuracy",
        *FIGURES[2:],
    ]
    assert result["examples"] == 14
    assert result["real_accuracy"] == 5 / 14
    assert result["real_top5_accuracy"] == 10 / 14
    first, fifth, sixth, last = map(str, (first, fifth, sixth, last))
    assert read_confusion(tmp_path) == {
        (first, first): 5,
        (last, first): 4,
        (sixth, first): 4,
        (fifth, first): 5,
    }
    status, out, _ = call("evaluate", folder.path, *arguments, "--test-split", "validation")
    assert "ReaL accuracy 0.3571" in flat(out) and "ReaL top-5 accuracy 0.7143" in flat(out)

    arguments[3] = tmp_path / "elsewhere"  # where the set is prepared first, which is no result
    _, out, _ = call("evaluate", folder.path, *arguments, "--test-split", "validation", "--json")
    assert json.loads(out) == result and arguments[3].is_dir()

    arguments[3] = tmp_path
    build_tfds(tmp_path, "unlabelled", classes, {"test": [(image, [])] * 4})
    arguments[1] = "tfds:unlabelled"
    status, _, err = call("evaluate", folder.path, *arguments)
    assert status == 2 and "must hold examples that have a label. Received: none" in err


@pytest.mark.backend("torch")
def test_evaluate_on_another_set(call, finished, tmp_path):
    folder, _ = finished
    images = np.full((60, 8, 8), 200, np.uint8)
    arrays = {"x_train": images, "y_train": np.arange(60) % 10, "x_test": images[:20]}
    np.savez(tmp_path / "alike.npz", y_test=np.arange(20) % 10, **arrays)
    source = f"arrays:{tmp_path / 'alike.npz'}"
    status, out, _ = call("evaluate", folder.path, "--source", source, "--json")
    assert status == 0
    assert json.loads(out)["examples"] == 20
    assert json.loads(out)["accuracy"] == 0.1  # all images are alike
    np.savez(tmp_path / "alike.npz", x_train=images, y_train=np.arange(60) % 10)
    status, out, _ = call("evaluate", folder.path, "--source", source, "--json")
    assert (status, json.loads(out)["examples"]) == (0, 60)
    np.savez(tmp_path / "alike.npz", x_train=np.repeat(images[..., None], 3, 3), y_train=range(60))
    status, _, err = call("evaluate", folder.path, "--source", source)
    assert status == 2
    assert "--source must have images with 1 channel, as the model. Received: 3" in err
    np.savez(
        tmp_path / "alike.npz", y_test=np.arange(20) % 10, class_names=list("abcdefghij"), **arrays
    )
    status, _, err = call("evaluate", folder.path, "--source", source)
    assert status == 2
    expected = "those of the model, 10: 0, 1, 2, 3, 4, …. Received: 10: a, b, c, d, e, …. Leave"
    assert expected in err


@pytest.mark.backend("torch")
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_corrupt_model_is_reported(call, finished, tmp_path, damage):
    folder, _ = finished
    damaged = RunFolder(tmp_path)
    for file in (folder.config, folder.summary):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = bytearray(folder.model.read_bytes())
    model[len(model) // 2] ^= 1
    damaged.model.write_bytes(model[:1000] if damage == "cut" else model)
    status, _, err = call("evaluate", tmp_path)
    assert status == 2
    assert "model.keras must be a valid Keras model file" in err
