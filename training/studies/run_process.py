"""Process of a study that trains one run, and ends with the study."""

import os
import signal
import threading


def main():
    """Run the command line of `python -m training`; on the end of standard input, as by SIGTERM."""
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    from training.__main__ import main

    main()


def _end_with_the_study():
    while os.read(0, 1):  # the standard input ends when the study closes the pipe, or is killed
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # which saves a checkpoint


if __name__ == "__main__":
    main()
