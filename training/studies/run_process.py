"""Process of a study that trains one run, and ends with the study."""

import os
import signal
import threading


def main():
    """Run `python -m training`, and send SIGTERM to itself when standard input closes."""
    threading.Thread(target=_terminate_when_stdin_closes, daemon=True).start()
    from training.__main__ import main

    main()


def _terminate_when_stdin_closes():
    while os.read(0, 1):  # the standard input ends when the study closes the pipe, or is killed
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # which saves a checkpoint


if __name__ == "__main__":
    main()
