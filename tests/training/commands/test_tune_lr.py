"""`tune-lr` on the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from PIL import Image

from run import ROOT
from tests.support.command_line import flat

CLUSTER = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
SHORT = ("--batch-size", 32, "--train-fraction", 0.3)


@pytest.fixture(autouse=True)
def working_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_range_test_leaves_nothing_behind(call, working_dir):
    status, out, err = call("tune-lr", "tiny", *SHORT, "--steps", 60, "--seed", 4, "--json")
    assert status == 0, err
    result = json.loads(out)
    (test,) = result["tests"]
    assert test["seed"] == 4 and result["backend"] == keras.backend.backend()
    assert test["suggestion"] == pytest.approx(result["suggestion"])
    assert 1e-5 < result["suggestion"] < 1
    assert (result["lowest"], result["highest"], result["steps"]) == (1e-6, 1.0, 60)
    assert len(test["losses"]) == len(test["learning_rates"]) == len(test["smoothed"])
    assert list(working_dir.iterdir()) == []


@pytest.mark.backend("torch")
def test_a_range_test_prints_a_table_and_writes_a_figure(call, working_dir, saved_figures):
    folder = working_dir / "lr"
    arguments = ("tune-lr", "tiny", *SHORT, "--steps", 60, "--seeds", 2, "--output-dir", folder)
    status, out, err = call(*arguments)
    assert status == 0, err
    result = json.loads((folder / "range_test.json").read_text())
    assert [test["seed"] for test in result["tests"]] == [0, 1]
    product = np.prod([test["suggestion"] for test in result["tests"]])
    assert result["suggestion"] == pytest.approx(np.sqrt(product))
    table = flat(out)
    assert f"suggested --learning-rate {result['suggestion']:.2g}" in table
    assert "swept 1e-06 to 1" in table and "the recipe's 0.005" in table
    assert sorted(path.name for path in folder.iterdir()) == ["range_test.json", "range_test.png"]
    with Image.open(folder / "range_test.png") as figure:
        assert len(figure.convert("RGB").getcolors(1 << 24)) > 10
    (axes,) = saved_figures[0].axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), result["tests"][0]["losses"])
    assert axes.get_xscale() == "log"


def test_a_grid_leaves_nothing_behind(call, working_dir):
    arguments = ("tune-lr", "tiny", *SHORT, "--grid", 0.01, 1e-7, 0.01, "--steps", 30)
    status, out, err = call(*arguments, "--json")
    assert status == 0, err
    result = json.loads(out)
    assert result["best"] == 0.01 and result["steps"] == 30 and result["warmup_steps"] > 0
    low, high = result["learning_rates"]
    assert (low["learning_rate"], high["learning_rate"]) == (1e-7, 0.01)
    assert high["accuracy"] > low["accuracy"] and high["loss"] < low["loss"]
    assert [training["learning_rate"] for training in result["trainings"]] == [1e-7, 0.01]
    assert list(working_dir.iterdir()) == []


@pytest.mark.backend("torch")
def test_a_grid_prints_a_table_and_writes_a_figure(call, working_dir, saved_figures):
    """One of its rates diverges."""
    arguments = ("tune-lr", "tiny", *SHORT, "--grid", 0.01, 1e30, "--steps", 5, "--seeds", 2)
    sgd = ("--optimizer", "sgd", "--clip-global-norm", 0, "--output-dir", "lr")
    status, out, err = call(*arguments, *sgd)
    assert status == 0, err
    result = json.loads((working_dir / "lr" / "grid.json").read_text())
    mean, none = (row["accuracy"] for row in result["learning_rates"])
    assert none is None and len(result["trainings"]) == 4
    table = " ".join(flat(out).replace("┃", " ").split())
    assert f"0.01 {mean:.4f}" in table and "1e+30 diverged diverged" in table
    assert "best --learning-rate 0.01" in table
    assert sorted(p.name for p in (working_dir / "lr").iterdir()) == ["grid.json", "grid.png"]
    (axes,) = saved_figures[0].axes
    assert list(axes.lines[1].get_ydata()) == [mean]


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "options, expected",
    [
        (["--source", "folder:no/such"], "no/such"),
        (["--batch-size", 9999], "--batch-size must be at most"),
        (["--grid", 0.1, "--validation-fraction", 0], "must have images in its validation split"),
        (
            ["--grid", 1e30, "--optimizer", "sgd", "--clip-global-norm", 0],
            "--grid must have a learning rate at which the loss stays finite. Received: 1e+30",
        ),
        (
            ["--lowest", 1e-12, "--highest", 1e-11, "--steps", 20],
            "must include a learning rate at which the loss falls. Received: 1e-12 and 1e-11",
        ),
        (["--lowest", 2], "--highest must be above --lowest, 2. Received: 1."),
        (["--reference-batch-size", 320, "--lowest", 20], "--lowest, 20. Received: 10."),
    ],
)
def test_mistakes_end_with_a_message_and_leave_nothing(call, working_dir, options, expected):
    status, _, err = call("tune-lr", "tiny", *SHORT, *options)
    assert status == 2 and expected in flat(err) and "Traceback" not in err
    assert list(working_dir.iterdir()) == []


@pytest.mark.backend("torch")
def test_an_output_dir_that_cannot_be_written_is_refused_at_once(call, working_dir):
    (working_dir / "file").touch()
    status, _, err = call("tune-lr", "tiny", "--output-dir", "file")
    assert status == 2 and "--output-dir must be a folder that can be written" in err


@pytest.mark.backend("torch")
def test_several_hosts_are_refused(call, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(CLUSTER))
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    status, _, err = call("tune-lr", "tiny")
    assert status == 2 and "`tune-lr` must run on one host" in err


@pytest.mark.long
def test_ctrl_c_leaves_nothing_behind(working_dir):
    temporary = working_dir / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "training", "tune-lr", "tiny", "--steps", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
    )
    while not process.stderr.readline().startswith("Training on"):
        assert process.poll() is None
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT and out == ""
    assert "Traceback" not in err
    assert list(working_dir.iterdir()) == [temporary] and list(temporary.iterdir()) == []


@pytest.mark.slow
def test_the_suggestion_is_near_the_best_of_a_grid(call):
    """Within a factor of 3, with each of three seeds."""
    for seed in range(3):
        common = ("tune-lr", "digits", "--validation-fraction", 0.2, "--seed", seed, "--json")
        suggestion = json.loads(call(*common)[1])["suggestion"]
        rates = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
        best = json.loads(call(*common, "--grid", *rates, "--steps", 100)[1])["best"]
        assert best / 3 <= suggestion <= best * 3, f"seed {seed}"
