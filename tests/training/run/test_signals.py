import os
import signal
import subprocess
import sys
import threading

import pytest

from training.run.signals import SIGNALS, Signals

pytestmark = pytest.mark.backend("torch")  # no backend is used

LONG_STEP = """
import hashlib
from training.run.signals import Signals

with Signals("noted") as signals:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in C, where no Python handler runs
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_the_second_signal_ends_the_process_during_a_step(number):
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_STEP], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.stderr.readline() + process.stderr.readline() == b"\nnoted\n"
    process.send_signal(number)
    assert process.wait(timeout=10) == 128 + number


def test_the_first_signal_is_noted_with_a_closed_terminal(monkeypatch):
    written = threading.Event()

    def fail(*_):
        written.set()
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", fail)
    before = [signal.getsignal(number) for number in SIGNALS]
    with Signals("noted") as signals:
        assert signals.first is None
        signal.raise_signal(signal.SIGTERM)
        assert written.wait(10)
        assert signals.first == signal.SIGTERM
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1
