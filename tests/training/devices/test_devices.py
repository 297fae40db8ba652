"""The same run on one device, on several devices and on two hosts, in new processes."""

import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile

import keras
import numpy as np
import pytest

from tests.support.on_devices import NEXT
from training.devices.hosts.environment import ADDRESSES, NUMBER, PROCESS
from training.run.folder import RunFolder

BACKEND = keras.backend.backend()
TEST_IMAGES = 61  # a prime
OPTIONS = (
    "--optimizer sgd --learning-rate 0.1 --warmup-steps 2 --total-steps 20 --batch-size 24 "
    "--ema-momentum 0.8 --checkpoint-steps 5 --keep-checkpoints 9 --quiet"
).split()
# The kind of parallelism, the number of devices, and the options for them.
WAYS = {
    "jax": {
        "four devices": ("data parallel", 4, []),
        "three of four devices": ("data parallel", 3, ["--devices", "3"]),
        "sharded weights": ("model parallel", 4, ["--model-devices", "2"]),
    },
    "tensorflow": {
        "four devices": ("data parallel", 4, []),
        "three of four devices": ("data parallel", 3, ["--devices", "3"]),
    },
    "torch": {},
}[BACKEND]
EVALUATED_ON = (1, 3, 4)  # devices
PATIENCE_SECONDS = 600
pytestmark = pytest.mark.long  # starts many processes
on_several = pytest.mark.skipif(not WAYS, reason="PyTorch trains on one device of one host")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "images.npz"
    rng = np.random.default_rng(0)

    def split(number):
        labels = np.arange(number) % 5
        noise = rng.integers(0, 256, (number, 8, 8))
        return (noise // 4 + 40 * labels[:, None, None]).astype("uint8"), labels

    (x, y), (x_test, y_test) = split(200), split(TEST_IMAGES)
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return path


def start(devices, *arguments, **environment):
    return start_python("-m", "tests.support.on_devices", devices, *arguments, **environment)


def start_python(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, *(str(argument) for argument in arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, status=0):
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == status, out
    return out


def training(images, path, *options):
    source = f"arrays:{images}"
    return ("train", "tiny", "--source", source, "--run-dir", path, *OPTIONS, *options)


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    """The run on one device."""
    path = tmp_path_factory.mktemp("alone") / "run"
    finish(start(1, *training(images, path)))
    return RunFolder(path)


def state(folder, batch=20):
    """Return all arrays of a checkpoint and all numbers of the history."""
    with zipfile.ZipFile(folder.checkpoints / f"batch-{batch:09d}.npz") as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        arrays = {name: np.load(io.BytesIO(archive.read(name))) for name in names}
    rows = list(csv.DictReader(folder.history.open()))
    return arrays, [[float(value) for value in row.values()] for row in rows]


def require_same(folder, expected):
    """Require equal weights, averages, momenta, history and test results, to a relative 1e-5."""
    (arrays, history), (expected_arrays, expected_history) = state(folder), state(expected)
    assert arrays.keys() == expected_arrays.keys() and len(arrays) > 60
    for group in ("trainable", "optimizer"):
        names = [n for n in arrays if n.startswith(group) and arrays[n].dtype.kind == "f"]
        largest = max(np.abs(expected_arrays[n]).max() for n in names)
        for name in names:
            np.testing.assert_allclose(
                arrays[name], expected_arrays[name], rtol=0, atol=1e-5 * largest
            )
    np.testing.assert_allclose(history, expected_history, rtol=1e-5)
    ours, theirs = folder.read_summary(), expected.read_summary()
    assert ours["test_examples"] == TEST_IMAGES
    for name in ("test_accuracy", "test_top5_accuracy", "test_loss", "test_calibration_error"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-5), name


@pytest.fixture(scope="module")
def several(alone, images, tmp_path_factory):
    """Folder with the results of all commands that run on several devices.

    They are a training run for each of `WAYS`, the rest of a run that one device began, and an
    evaluation on one, three and four devices. Their outputs are in `output.txt`.

    JAX runs all of them in one process. TensorFlow needs one for each, because the collective
    operations of a process cannot have groups of different sizes.
    """
    path = tmp_path_factory.mktemp("several")
    resumed = RunFolder(path / "resumed")
    shutil.copytree(alone.path, resumed.path)
    for checkpoint in sorted(resumed.checkpoints.glob("batch-*"))[2:]:
        checkpoint.unlink()  # all after batch 10, in the middle of an epoch
    resumed.summary.unlink()
    commands = [training(images, path / way, *options) for way, (_, _, options) in WAYS.items()]
    commands.append(training(images, resumed.path, "--devices", "4"))
    for devices in EVALUATED_ON:
        output = path / f"evaluated on {devices}"
        commands.append(("evaluate", alone.path, "--devices", devices, "--output-dir", output))
    processes = [[command] for command in commands] if BACKEND == "tensorflow" else [commands]
    outputs = [finish(start(4, *with_separators(commands))) for commands in processes]
    (path / "output.txt").write_text("".join(outputs))
    return path


def with_separators(commands):
    first, *others = commands
    return [*first, *(argument for command in others for argument in (NEXT, *command))]


@on_several
@pytest.mark.parametrize("way", WAYS)
def test_run_equals_that_on_one_device(way, alone, several):
    distribution, devices, _ = WAYS[way]
    out = (several / "output.txt").read_text().split(f"\n{NEXT}\n")[list(WAYS).index(way)]
    assert " via tf.distribute." in out or " via keras.distribution." in out
    folder = RunFolder(several / way)
    require_same(folder, alone)
    summary = folder.read_summary()
    assert summary["distribution"] == distribution
    assert len(summary["devices"]) == devices


@on_several
def test_run_resumes_on_another_number_of_devices(alone, several):
    require_same(RunFolder(several / "resumed"), alone)


@on_several
def test_evaluation_is_the_same_on_any_number_of_devices(alone, several):
    seen = []
    for devices in EVALUATED_ON:
        output = several / f"evaluated on {devices}"
        entries = json.loads((output / "evaluation.json").read_text())
        seen.append(((output / "confusion.csv").read_text(), entries["accuracy"]))
        assert entries["examples"] == TEST_IMAGES
        assert entries["loss"] == pytest.approx(alone.read_summary()["test_loss"], rel=1e-6)
    assert seen[0] == seen[1] == seen[2]


def environments_of_hosts():
    """Return the environment variables for two hosts, both on this machine."""
    with socket.socket() as first, socket.socket() as second:
        for free in (first, second):
            free.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in (first, second)]

    def environment(index):
        if BACKEND == "jax":
            named = {ADDRESSES: addresses[0], NUMBER: "2"}
            return {**named, PROCESS: str(index)}
        task = {"type": "worker", "index": index}
        return {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}

    return [environment(index) for index in range(2)]


def start_on_hosts(*arguments):
    """Start two hosts of two devices; TensorFlow uses one CPU device of each."""
    return [start(2, *arguments, **environment) for environment in environments_of_hosts()]


@on_several
def test_two_hosts_resume_after_either_is_killed(alone, images, tmp_path):
    folder = RunFolder(tmp_path / "run")
    command = training(images, folder.path, "--checkpoint-steps", "1")
    for killed in range(2):
        before = set(folder.checkpoints.glob("batch-*"))
        processes = start_on_hosts(*command)
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while before.issuperset(folder.checkpoints.glob("batch-*")):
                assert time.monotonic() < deadline and processes[killed].poll() is None
                time.sleep(0.01)
            processes[killed].kill()
            killed_at = time.monotonic()
            out, _ = processes[1 - killed].communicate(timeout=PATIENCE_SECONDS)
            assert time.monotonic() - killed_at < 60
            assert processes[1 - killed].returncode != 0 and not folder.is_finished()
            assert out.rstrip().endswith("to resume from the last checkpoint."), out
        finally:
            for process in processes:
                process.kill()

    out, other = (finish(process) for process in start_on_hosts(*command))
    engine = {
        "jax": "4 CPUs on 2 hosts via keras.distribution.DataParallel",
        "tensorflow": "2 CPUs on 2 hosts via tf.distribute.MultiWorkerMirroredStrategy",
    }[BACKEND]
    assert f"Training on {engine}" in out
    assert "test accuracy" in out and "test accuracy" not in other  # the first host reports
    require_same(folder, alone)
    assert folder.read_summary()["hosts"] == 2


WAITING = """
from training.devices import hosts
with hosts.exit_on_failure():
    hosts.connect()
    while True:
        hosts.gather(0)
        print("met", flush=True)
"""


@on_several
def test_host_exits_when_the_one_it_waits_for_is_killed():
    processes = [
        start_python("-c", WAITING, **environment) for environment in environments_of_hosts()
    ]
    try:
        while "met" not in processes[0].stdout.readline():
            assert processes[0].poll() is None
        processes[1].kill()
        killed_at = time.monotonic()
        out, _ = processes[0].communicate(timeout=PATIENCE_SECONDS)
        assert time.monotonic() - killed_at < 60
        assert out.rstrip().endswith("to resume from the last checkpoint."), out
    finally:
        for process in processes:
            process.kill()


@pytest.mark.backend("jax")
def test_weights_sharded_over_two_hosts(alone, images, tmp_path):
    folder = RunFolder(tmp_path / "run")
    command = training(images, folder.path, "--model-devices", "4")
    for process in start_on_hosts(*command):
        finish(process)
    require_same(folder, alone)
