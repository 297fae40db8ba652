"""Help and errors of the command line."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_mixer.weights.catalog import NAMES
from tests.support.command_line import flat
from training import commands
from training.__main__ import find_commands
from training.config import Augmentation, Checkpointing, Data, Model, Optimization

pytestmark = pytest.mark.backend("torch")  # the command line is parsed alike under every backend


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (
            ["--help"],
            [
                "train",
                "show",
                "compare",
                "evaluate",
                "predict",
                "explain",
                "demo",
                "fewshot",
                "knn",
                "export",
                "share",
                "study",
                "tune-lr",
                "plan",
                "benchmark",
            ],
        ),
        (["train", "--help"], ["digits", "tiny", "KERAS_BACKEND"]),
        (["show", "--help"], ["digits", "tiny", "as the model sees them"]),
        (["show", "tiny", "--help"], ["--output-dir", "--images", "--mixup-alpha"]),
        (["tune-lr", "--help"], ["digits", "tiny", "range test", "no model is kept"]),
        (["tune-lr", "tiny", "--help"], ["--grid", "--lowest", "--seeds", "--mixup-alpha"]),
        (["compare", "--help"], ["RUN...", "--metric", "--output-dir", "standard deviation"]),
        (["evaluate", "--help"], ["MODEL", "--source", "--output-dir", "--json", "RUN@best"]),
        (["demo", "--help"], ["MODEL...", "--host", "--max-megabytes", "without a password"]),
        (["predict", "--help"], ["MODEL", "IMAGE...", "--top", "--json"]),
        (["fewshot", "--help"], ["MODEL", "--shots", "--penalty", "--source", "fewshot-imagenet"]),
        (["knn", "--help"], ["MODEL", "--neighbors", "--source", "--output-dir"]),
        (["plan", "--help"], ["digits", "tiny", "without having any", "nothing is executed"]),
        (["plan", "tiny", "--help"], ["--tpu", "--model-devices", "--no-search", "--classes"]),
        (["benchmark", "--help"], ["loading", "data", "WHAT --help"]),
        (["benchmark", "loading", "--help"], ["--variant", "--repeats", "--json"]),
        (["benchmark", "prediction", "--help"], ["--variant", "--images", "--repeats", "--json"]),
        (["benchmark", "training", "--help"], ["--variant", "--batch-size", "--steps", "--json"]),
        (["benchmark", "tpu", "--help"], ["--variant", "--tpu", "--batch-size", "not run"]),
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
        ("train tiny", "10 classes, included in scikit-learn), shapes"),
        ("evaluate", "If a folder or a file of arrays has no test split, all its"),
        ("plan tiny", "each dimension, such as v5e:2x4"),
    ],
)
def test_help_is_not_broken_into_the_lines_of_the_source(call, monkeypatch, command, text):
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
    for name in NAMES:
        assert name in out  # published weights


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (
            [],
            "{benchmark, compare, demo, evaluate, explain, export, fewshot, knn, plan, predict, "
            "share, show, study, train, tune-lr}",
        ),
        (["trian"], "trian"),
        (["train"], "{cifar10-scratch, digits, finetune-cifar10, "),
        (["train", "digist"], "digist"),
        (["train", "tiny", "--total-epoch", "2"], "--total-epoch"),
        (["train", "tiny", "--total-epochs", "two"], "--total-epochs"),
        (["train", "tiny", "--learning-rate", "fast"], "--learning-rate"),
        (["train", "tiny", "--source", "cats"], "--source"),
        (["train", "tiny", "--total-epochs", "0"], "--total-epochs must be above 0"),
        (["train", "tiny", "--image-size", "9"], "--image-size must be a multiple"),
        (["train", "tiny", "--variant", "B/16"], "Pass 16, for example"),
        (["train", "tiny", "--patch-size", "0"], "--patch-size must be above 0"),
        (["train", "tiny", "--variant", "B/17"], "--variant"),
        (["train", "tiny", "--weights", "imagenet1k"], "--weights must be valid weights of this"),
        (["train", "tiny", "--weights", "no/such.npz"], "no/such.npz. It does not exist."),
        (["show", "tiny", "--images", "0"], "--images must be above 0"),
        (["show", "tiny", "--batch-size", "9999"], "--batch-size must be at most"),
        (["show", "tiny", "--source", "cats"], "--source must be arrays:FILE.npz, digits, "),
        (["show", "tiny", "--on-bad-image", "maybe"], "--on-bad-image"),
        (["show", "tiny", "--cache", "disk"], "--cache-dir must name a folder"),
        (["tune-lr", "tiny", "--steps", "10"], "--steps must be 0 or at least 20"),
        (["tune-lr", "tiny", "--seeds", "0"], "--seeds must be at least 1 and at most 100"),
        (["tune-lr", "tiny", "--lowest", "-1"], "--lowest must be at least 0"),
        (["tune-lr", "tiny", "--lowest", "1", "--highest", "1"], "--highest must be above"),
        (["tune-lr", "tiny", "--grid", "0"], "--grid must be one or more numbers above 0"),
        (["tune-lr", "tiny", "--grid", "1", "--highest", "1"], "--highest must be left out"),
        (["compare"], "RUN... must be one or more folders of runs"),
        (["evaluate"], "MODEL"),
        (["evaluate", "no/such/run"], "no/such/run, which does not exist"),
        (["predict", "no/such/run"], "IMAGE... must be one or more image files"),
        (["predict", "no/such/run", "a.png"], "no/such/run, which does not exist"),
        (["predict", "no/such/run", "a.png", "--top", "0"], "--top must be at least 1"),
        (["fewshot", "no/such/run"], "no/such/run, which does not exist"),
        (["fewshot", "no/such/run", "--shots", "0"], "--shots must be one or more numbers above 0"),
        (["fewshot", "no/such/run", "--seeds", "0"], "--seeds must be at least 1"),
        (["fewshot", "no/such/run", "--penalty", "1"], "--penalty"),
        (["fewshot", "no/such/run", "--batch-size", "-1"], "no/such/run, which does not exist"),
        (["knn", "no/such/run", "--neighbors", "0"], "--neighbors must be one or more numbers"),
        (["knn", "no/such/run", "--neighbors"], "--neighbors must be one or more numbers"),
        (["plan", "tiny"], "--tpu"),
        (["plan", "tiny", "--tpu", "v5e-8"], "--tpu must be one of v4, v5e, v5p, v6e, a colon"),
        (["benchmark", "velocity"], "velocity"),
        (["benchmark", "loading", "--variant", "B16"], "B16"),
        (
            ["benchmark"],
            "{loading, data, training, precision, ",
        ),
        (["benchmark", "loading", "--repeats", "0"], "--repeats must be above 0"),
        (["benchmark", "loading", "--batches", "2"], "--batches"),
        (["benchmark", "data", "--repeats", "0"], "--repeats must be above 0"),
        (["benchmark", "data", "--batches", "-1"], "--batches must be above 0"),
        (["benchmark", "data", "--batches", "many"], "--batches"),
        (["benchmark", "data", "--variant", "MixerB16"], "--variant"),
        (["benchmark", "training", "--batch-size", "0"], "--batch-size must be above 0"),
        (["benchmark", "training", "--steps", "0"], "--steps must be above 0"),
        (["benchmark", "training", "--variant", "B16"], "--variant"),
        (["benchmark", "tpu", "--batch-size", "0"], "--batch-size must be above 0"),
        (["benchmark", "tpu", "--tpu", "v5e-8"], "--tpu must be one of v4, v5e, v5p, v6e, a colon"),
    ],
)
def test_a_mistake_ends_with_status_2_and_a_message(call, tmp_path, arguments, expected):
    if arguments[:2] == ["train", "tiny"]:
        arguments = [*arguments, "--run-dir", tmp_path / "run"]
    status, _, err = call(*arguments)
    assert status == 2
    assert expected in flat(err)
    assert "Traceback" not in err and "__tyro" not in err
    assert not (tmp_path / "run").exists()


def test_every_file_is_a_command():
    files = Path(commands.__file__).parent.glob("[!_]*.py")
    assert list(find_commands()) == sorted(file.stem.replace("_", "-") for file in files)


def test_help_imports_no_backend():
    """So that help and errors appear at once."""
    code = (
        "import sys, training.__main__\ntraining.__main__.find_commands()\n"
        "print(*sorted({'keras', 'tensorflow', 'jax', 'torch'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr


@pytest.mark.long
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
