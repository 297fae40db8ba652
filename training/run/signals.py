"""SIGINT (ctrl-C) and SIGTERM (sent at preemption) during a training run."""

import contextlib
import os
import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal ended the training run after a batch, and the state is saved.

    Like KeyboardInterrupt it is not an Exception, so that no code on the way handles it as an
    error.
    """

    def __init__(self, number):
        super().__init__(f"{signal.Signals(number).name}")
        self.number = number


class Signals:
    """A context in which the first signal is only noted, and the second ends the process.

    A thread handles them, which Python's C code wakes: Python's own handlers have to wait for the
    end of a step of TensorFlow or JAX, and an exception raised in a handler can be dropped there.

    Attributes:
        first: The number of the first signal, or None.
    """

    def __init__(self, announcement):
        self.first = None
        self._announcement = announcement

    def __enter__(self):
        # Only the main thread can handle signals; training in another one is not interrupted.
        self._is_active = threading.current_thread() is threading.main_thread()
        if self._is_active:
            read_end, self._write_end = os.pipe()
            os.set_blocking(self._write_end, False)
            self._previous = {n: signal.signal(n, self._note) for n in SIGNALS}
            self._previous_wakeup = signal.set_wakeup_fd(self._write_end)
            threading.Thread(target=self._watch, args=(read_end,), daemon=True).start()
        return self

    def __exit__(self, *_):
        if self._is_active:
            signal.set_wakeup_fd(self._previous_wakeup)
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            os.close(self._write_end)  # which ends the thread

    def _note(self, number, frame):
        self.first = self.first or number

    def _watch(self, read_end):
        seen = 0
        with open(read_end, "rb", buffering=0) as pipe:
            while number := pipe.read(1):
                if number[0] not in SIGNALS:
                    continue
                seen += 1
                if seen > 1:
                    os._exit(128 + number[0])  # as a shell reports a program that a signal ended
                with contextlib.suppress(OSError):  # the terminal may be closed
                    os.write(2, f"\n{self._announcement}\n".encode())
