"""The command line, as a user meets it."""

import csv
import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests.support.tfds import build_tfds
from training.__main__ import main
from training.config import Augmentation, Checkpointing, Data, Model, Optimization
from training.run.folder import RunFolder


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs the command line and returns (status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run, made through the real command in a process of its own."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "tiny")
    result = subprocess.run(
        [sys.executable, "-m", "training", "train", "tiny", "--run-dir", folder.path],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def flat(text):
    """The text of a box as one line."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--help"], ["train", "show", "evaluate", "predict", "plan", "benchmark"]),
        (["train", "--help"], ["digits", "tiny", "KERAS_BACKEND"]),
        (["show", "--help"], ["digits", "tiny", "as the model will see them"]),
        (["show", "tiny", "--help"], ["--output-dir", "--images", "--mixup-alpha"]),
        (["evaluate", "--help"], ["RUN", "--source", "--output-dir", "--json", "Folder of a fin"]),
        (["predict", "--help"], ["RUN", "IMAGE...", "--top", "--json"]),
        (["plan", "--help"], ["digits", "tiny", "TPUs that are not there", "nothing runs"]),
        (["plan", "tiny", "--help"], ["--tpu", "--model-devices", "--no-search", "--classes"]),
        (["benchmark", "--help"], ["loading", "data", "WHAT --help"]),
        (["benchmark", "loading", "--help"], ["--variant", "--repeats", "--json"]),
        (["benchmark", "training", "--help"], ["--variant", "--batch-size", "--steps", "--json"]),
        (["benchmark", "data", "--help"], ["--batches", "--repeats", "--json", "500 × 400"]),
    ],
)
def test_help(call, arguments, expected):
    status, out, _ = call(*arguments)
    assert status == 0
    for word in expected:
        assert word in flat(out)


@pytest.mark.parametrize(
    "command, text",
    [
        ("train tiny", "10 classes, which come with scikit-learn), folder:PATH"),
        ("evaluate", "Of folders and arrays without a part for the test, all"),
        ("plan tiny", "each side, such as v5e:2x4"),
    ],
)
def test_help_has_no_line_breaks_of_the_source(call, monkeypatch, command, text):
    monkeypatch.setenv("COLUMNS", "1000")
    assert text in call(*command.split(), "--help")[1]


def test_help_of_a_recipe_lists_every_field(call):
    status, out, _ = call("train", "digits", "--help")
    assert status == 0
    for part in (Data, Augmentation, Model, Optimization, Checkpointing):
        for field in dataclasses.fields(part):
            name = field.name.replace("_", "-")
            assert f"--{'no-' if field.default is True else ''}{name} " in out
    assert "--run-dir" in out and "--seed" in out


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "Expected one of {train, show, evaluate, predict, plan, benchmark}"),
        (["trian"], "trian"),
        (["train"], "{digits, tiny, cifar10-scratch, "),
        (["train", "digist"], "digist"),
        (["train", "tiny", "--total-epoch", "2"], "--total-epoch"),
        (["train", "tiny", "--total-epochs", "two"], "--total-epochs"),
        (["train", "tiny", "--learning-rate", "fast"], "--learning-rate"),
        (["train", "tiny", "--source", "cats"], "--source"),
        (["train", "tiny", "--total-epochs", "0"], "--total-epochs must be above 0"),
        (["train", "tiny", "--image-size", "9"], "--image-size must be a multiple"),
        (["train", "tiny", "--variant", "B/16"], "Add --patch-size 0 --hidden-dim 0"),
        (["train", "tiny", "--variant", "B/17"], "--variant"),
        (["train", "tiny", "--weights", "imagenet1k"], "--weights must be sound weights of this"),
        (["train", "tiny", "--weights", "no/such.npz"], "no/such.npz': does not exist"),
        (["show", "tiny", "--images", "0"], "--images must be above 0"),
        (["show", "tiny", "--batch-size", "9999"], "--batch-size must be at most"),
        (["show", "tiny", "--source", "cats"], "--source must be digits"),
        (["show", "tiny", "--on-bad-image", "maybe"], "--on-bad-image"),
        (["show", "tiny", "--cache", "disk"], "--cache-dir must name a folder"),
        (["evaluate"], "RUN"),
        (["evaluate", "no/such/run"], "no/such/run, which does not exist"),
        (["predict", "no/such/run"], "IMAGE... must be one or more image files"),
        (["predict", "no/such/run", "a.png"], "no/such/run, which does not exist"),
        (["predict", "no/such/run", "a.png", "--top", "0"], "--top must be at least 1"),
        (["plan", "tiny"], "--tpu"),
        (["plan", "tiny", "--tpu", "v5e-8"], "--tpu must be one of v4, v5e, v5p, v6e, a colon"),
        (["benchmark", "speed"], "speed"),
        (["benchmark", "loading", "--variant", "B16"], "B16"),
        (["benchmark"], "{loading, data, training}"),
        (["benchmark", "loading", "--repeats", "0"], "--repeats must be above 0"),
        (["benchmark", "loading", "--batches", "2"], "--batches"),
        (["benchmark", "data", "--repeats", "0"], "--repeats must be above 0"),
        (["benchmark", "data", "--batches", "-1"], "--batches must be above 0"),
        (["benchmark", "data", "--batches", "many"], "--batches"),
        (["benchmark", "data", "--variant", "MixerB16"], "--variant"),
        (["benchmark", "training", "--batch-size", "0"], "--batch-size must be above 0"),
        (["benchmark", "training", "--steps", "0"], "--steps must be above 0"),
        (["benchmark", "training", "--variant", "B16"], "--variant"),
    ],
)
def test_mistakes_end_with_status_2_and_name_what_is_wrong(call, tmp_path, arguments, expected):
    if arguments[:2] == ["train", "tiny"]:
        arguments = [*arguments, "--run-dir", tmp_path / "run"]
    status, _, err = call(*arguments)
    assert status == 2
    assert expected in flat(err)
    assert "Traceback" not in err and "__tyro" not in err
    assert not (tmp_path / "run").exists()


def test_train_ends_in_a_table_of_results_and_paths(finished):
    folder, out = finished
    summary = folder.read_summary()
    table = flat(out)
    assert "Epoch 3/3" in out
    assert f"test accuracy {summary['test_accuracy']:.4f}" in table
    joined = "".join(table.split())  # long paths are folded
    for path in (folder.model, folder.curves, folder.summary, folder.history):
        assert str(path) in joined and path.exists()


def test_a_second_train_shows_the_results_again(call, finished):
    folder, _ = finished
    before = folder.summary.read_bytes()
    status, out, _ = call("train", "tiny", "--run-dir", folder.path)
    assert status == 0
    assert "finished" in out and "test accuracy" in out and "Epoch" not in out
    assert folder.summary.read_bytes() == before


def test_a_folder_of_another_configuration_is_refused(call, finished):
    folder, _ = finished
    status, _, err = call("train", "tiny", "--run-dir", folder.path, "--seed", "5")
    assert status == 2
    assert "seed is 0 there and 5 here" in err


FIGURES = ["accuracy", "top5_accuracy", "loss", "calibration_error", "examples"]
REPORT = ["confusion.csv", "confusion.png", "evaluation.json"]


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
    assert list(result) == ["source", "test_split", *FIGURES]
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


def test_evaluate_writes_where_it_is_told_and_replaces_what_was_there(call, finished, tmp_path):
    folder, _ = finished
    output = tmp_path / "new" / "report"
    output.mkdir(parents=True)
    (output / "evaluation.json").write_text("an earlier one, and a longer one" * 100)
    status, out, _ = call("evaluate", folder.path, "--output-dir", output)
    assert status == 0
    assert sorted(path.name for path in output.iterdir()) == REPORT
    table, joined = flat(out), "".join(out.replace("│", "").split())
    result = json.loads((output / "evaluation.json").read_text())
    for words in (f"accuracy {result['accuracy']:.4f}", "top-5 accuracy", "calibration error"):
        assert words in table
    for name in REPORT:
        assert str(output / name) in joined
    with Image.open(output / "confusion.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


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


def test_evaluate_shows_how_far_it_is_to_who_watches(call, finished, tmp_path, monkeypatch):
    folder, _ = finished
    for watched in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: watched)  # noqa: B023
        _, _, err = call("evaluate", folder.path, "--output-dir", tmp_path)
        assert ("evaluating" in err) == watched and ("3/3" in err) == watched
        _, _, err = call("evaluate", folder.path, "--output-dir", tmp_path, "--json")
        assert "evaluating" not in err


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
    status, out, _ = call(
        "evaluate", folder.path, *arguments, "--test-split", "validation", "--json"
    )
    result = json.loads(out)
    assert status == 0
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


def test_evaluate_on_another_set(call, finished, tmp_path):
    folder, _ = finished
    images = np.zeros((60, 8, 8), np.uint8)
    arrays = {"x_train": images, "y_train": np.arange(60) % 10, "x_test": images[:20]}
    np.savez(tmp_path / "zeros.npz", y_test=np.arange(20) % 10, **arrays)
    source = f"arrays:{tmp_path / 'zeros.npz'}"
    status, out, _ = call("evaluate", folder.path, "--source", source, "--json")
    assert status == 0
    assert json.loads(out)["examples"] == 20
    assert json.loads(out)["accuracy"] == 0.1  # all images are alike
    np.savez(tmp_path / "zeros.npz", x_train=images, y_train=np.arange(60) % 10)
    status, out, _ = call("evaluate", folder.path, "--source", source, "--json")
    assert (status, json.loads(out)["examples"]) == (0, 60)
    np.savez(tmp_path / "zeros.npz", x_train=np.repeat(images[..., None], 3, 3), y_train=range(60))
    status, _, err = call("evaluate", folder.path, "--source", source)
    assert status == 2 and "--source must have images of 1 channels, as the run. Received: 3" in err
    np.savez(
        tmp_path / "zeros.npz", y_test=np.arange(20) % 10, class_names=list("abcdefghij"), **arrays
    )
    status, _, err = call("evaluate", folder.path, "--source", source)
    assert status == 2
    assert "--source must have the classes of the run, 10: 0, 1, 2, 3, 4, …. Received: 10: a" in err


def test_show_draws_pictures(call, tmp_path):
    for _ in range(2):  # the second time replaces them
        status, out, _ = call("show", "tiny", "--output-dir", tmp_path / "pictures")
        assert status == 0
    for name in ("images.png", "classes.png"):
        path = tmp_path / "pictures" / name
        assert str(path) in "".join(out.replace("│", "").split())
        with Image.open(path) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


def test_show_refuses_a_place_that_cannot_be_written(call, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = call("show", "tiny", "--output-dir", tmp_path / "file")
    assert status == 2 and "--output-dir must be a folder that can be written" in err


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


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_model_is_named(call, finished, tmp_path, damage):
    folder, _ = finished
    damaged = RunFolder(tmp_path)
    for file in (folder.config, folder.summary):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = bytearray(folder.model.read_bytes())
    model[len(model) // 2] ^= 1
    damaged.model.write_bytes(model[:1000] if damage == "cut" else model)
    status, _, err = call("evaluate", tmp_path)
    assert status == 2
    assert "model.keras must be a whole Keras model file" in err


@pytest.fixture
def small_benchmark(monkeypatch):
    from training.benchmarks import data

    small = functools.partial(data.measure, files=16, image_size=16, batch_size=4)
    monkeypatch.setattr(data, "measure", small)
    return data


def test_benchmark_data_prints_every_pipeline(call, small_benchmark):
    names = [small_benchmark.PLAIN, small_benchmark.OURS, *small_benchmark.AUGMENTATIONS]
    names.append(small_benchmark.PRETRAINING)
    arguments = ("benchmark", "data", "--batches", "1", "--repeats", "1")
    status, out, err = call(*arguments)
    assert status == 0 and "measuring" in err
    rows = [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]
    assert rows == names
    for words in ("images/s", "to plain", "of the sum", "16 JPEGs", "cores"):
        assert words in flat(out)
    status, out, _ = call(*arguments, "--json")
    result = json.loads(out)
    assert status == 0
    assert [speed["pipeline"] for speed in result["speeds"]] == names
    assert (result["batches"], result["repeats"]) == (1, 1)


def test_ctrl_c_ends_a_benchmark(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "training", "benchmark", "data", "--repeats", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)},
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)  # until the files are examined
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err and not list(tmp_path.rglob("*.jpg"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, number):
    command = [sys.executable, "-m", "training", "train", "tiny", "--run-dir", tmp_path / "run"]
    process = subprocess.Popen(
        [*command, "--total-epochs", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    history = tmp_path / "run" / "history.csv"
    deadline = time.monotonic() + 120
    while not history.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Saved. The same command goes on from here." in out
    assert "Traceback" not in err


@pytest.mark.parametrize("backend", ["no_such", "numpy"])
def test_a_backend_that_cannot_train_is_named(backend, tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "training", "train", "tiny", "--run-dir", tmp_path / "run"],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert result.returncode == 2
    assert "KERAS_BACKEND must be tensorflow, jax or torch" in result.stderr
    assert f"Received: {backend}:" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_impossible_paths_end_without_traceback(call, command, tmp_path):
    path = tmp_path / ("x" * 300)
    status, _, err = call(
        *(["evaluate", path] if command == "evaluate" else ["train", "tiny", "--run-dir", path])
    )
    assert status == 2 and "too long" in err
    (tmp_path / "file").touch()
    path = tmp_path / "file"
    status, _, err = call(
        *(["evaluate", path] if command == "evaluate" else ["train", "tiny", "--run-dir", path])
    )
    assert status == 2 and str(path) in err
