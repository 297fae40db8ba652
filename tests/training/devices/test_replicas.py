"""Runs `tests/support/replicas.py` in new processes, where devices can be configured."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import support

PATIENCE_SECONDS = 1200  # a busy host with two cores takes 500

pytestmark = [pytest.mark.backend("tensorflow"), pytest.mark.long]


def start(*arguments, **environment):
    tests = Path(support.__file__).with_name("replicas.py")
    command = [sys.executable, "-m", "pytest", "-q", tests, *arguments]
    environment = {**os.environ, **environment}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def require_success(process):
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, out


def test_four_devices():
    require_success(start())


@pytest.mark.slow
def test_four_devices_with_one_field_changed_at_a_time():
    require_success(start("-m", "slow"))


@pytest.mark.slow  # `test_devices.py` always tests two hosts
def test_two_hosts():
    with socket.socket() as first, socket.socket() as second:
        for free in (first, second):
            free.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{free.getsockname()[1]}" for free in (first, second)]
    processes = [
        start(
            *("-k", "run_equals or together or masks"),
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            ),
        )
        for index in range(2)
    ]
    try:
        for process in processes:
            require_success(process)
    finally:
        for process in processes:
            process.kill()  # each waits for the other
