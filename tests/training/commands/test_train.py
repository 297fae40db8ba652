"""`train` on the command line."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.backends import torch_only
from tests.support.command_line import flat


@pytest.mark.long
def test_train_prints_results_and_paths(finished):
    folder, out = finished
    summary = folder.read_summary()
    table = flat(out)
    assert "Epoch 3/3" in out
    assert f"test accuracy {summary['test_accuracy']:.4f}" in table
    joined = "".join(table.split())  # long paths are folded
    for path in (folder.model, folder.curves, folder.summary, folder.history):
        assert str(path) in joined and path.exists()


@pytest.mark.long
def test_repeating_a_finished_run_prints_its_results(call, finished):
    folder, _ = finished
    before = folder.summary.read_bytes()
    status, out, _ = call("train", "tiny", "--run-dir", folder.path)
    assert status == 0
    assert "finished" in out and "test accuracy" in out and "Epoch" not in out
    assert folder.summary.read_bytes() == before


@pytest.mark.long
def test_a_folder_of_another_configuration_is_refused(call, finished):
    folder, _ = finished
    status, _, err = call("train", "tiny", "--run-dir", folder.path, "--seed", "5")
    assert status == 2
    assert "seed is 0 there and 5 here" in err


@pytest.mark.parametrize("number", [signal.SIGINT, torch_only(signal.SIGTERM)])
@pytest.mark.long
def test_a_signal_saves_a_checkpoint_and_the_message_says_how_to_resume(tmp_path, number):
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
    assert "Checkpoint saved. Run the same command to resume." in out
    assert "Traceback" not in err
