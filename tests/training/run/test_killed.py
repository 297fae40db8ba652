"""Runs in subprocesses that are killed at random times."""

import os
import random
import subprocess
import sys
import time
import zipfile

import pytest

from training.run.folder import RunFolder

KILLS = 10
OPTIONS = (
    "--total-epochs 30 --drop-path-rate 0.2 --dropout-rate 0.1 --mixup-alpha 0.3 "
    "--shift-fraction 0.1 --ema-momentum 0.9 --accumulation-steps 3 --checkpoint-steps 2 --quiet"
).split()


def start(folder):
    command = [sys.executable, "-m", "training", "train", "tiny", "--run-dir", folder.path]
    return subprocess.Popen([*command, *OPTIONS], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def newest(folder):
    return max((path.name for path in folder.checkpoints.glob("batch-*.npz")), default="")


def state(folder):
    with zipfile.ZipFile(folder.checkpoints / newest(folder)) as archive:
        arrays = {n: archive.read(n) for n in archive.namelist() if n.endswith(".npy")}
    return arrays, folder.history.read_text()


@pytest.mark.slow
def test_a_run_killed_ten_times_is_bitwise_identical(tmp_path):
    """With all random layers and augmentations, EMA, and accumulation over three batches."""
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    process = start(whole)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out.decode()

    draw = random.Random(os.getpid())  # other times in each test run
    for _ in range(KILLS):
        before, process, deadline = newest(killed), start(killed), time.monotonic() + 120
        while newest(killed) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3))
        process.kill()
        out, _ = process.communicate()
        assert process.returncode == -9, out.decode()
    process = start(killed)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out.decode()
    assert b"warning" not in out  # no checkpoint was corrupt
    assert len(state(whole)[0]) > 100
    assert state(killed) == state(whole)
