import contextlib
import signal
import threading

import pytest

from training.interruption import Interruption


def test_an_interruption_that_was_dropped_is_raised_after_the_batch():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        interruption.on_train_batch_end(0)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interruption.on_train_batch_end(1)
    assert signal.getsignal(signal.SIGINT) == before


def test_another_thread_may_train():
    failures = []

    def train():
        try:
            with Interruption() as interruption:
                interruption.on_train_batch_end(0)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not failures
