"""`benchmark` on the command line."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.command_line import flat


@pytest.fixture
def small_benchmark(monkeypatch):
    from training.benchmarks import data

    small = functools.partial(data.measure, files=16, image_size=16, batch_size=4)
    monkeypatch.setattr(data, "measure", small)
    return data


@pytest.mark.long
@pytest.mark.backend("torch")
def test_benchmark_data_prints_every_pipeline(call, small_benchmark):
    names = [small_benchmark.PLAIN, small_benchmark.OURS, *small_benchmark.AUGMENTATIONS]
    names.append(small_benchmark.PRETRAINING)
    arguments = ("benchmark", "data", "--batches", "1", "--repeats", "1")
    status, out, err = call(*arguments)
    assert status == 0 and "measuring" in err
    rows = [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]
    assert rows == names
    for words in ("images/s", "to plain", "times the sum", "16 JPEGs", "cores"):
        assert words in flat(out)
    status, out, _ = call(*arguments, "--json")
    result = json.loads(out)
    assert status == 0
    assert [speed["pipeline"] for speed in result["speeds"]] == names
    assert (result["batches"], result["repeats"]) == (1, 1)


@pytest.mark.long
@pytest.mark.backend("torch")
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
