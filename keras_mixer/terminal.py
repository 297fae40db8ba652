"""Standard streams, ctrl-C and exit status of a command line."""

import contextlib
import io
import os
import signal
import sys

STATUS_MISTAKE = 2
STATUS_INTERRUPTED = 128 + signal.SIGINT  # as a shell reports a program that a signal ended
STATUS_BROKEN_PIPE = 128 + signal.SIGPIPE


@contextlib.contextmanager
def command_line(*mistakes):
    """Return a context in which a program ends as people expect of a command.

    A mistake is printed as one message, with status 2. On ctrl-C, or when the reader of the output
    has ended as in `| head`, the program ends silently, with the status of the signal.

    Args:
        *mistakes: Types of the errors that are the user's. OSError always is one: a full disk, a
            path that is too long.
    """
    _prepare_streams()
    try:
        try:
            yield
        finally:
            _flush()
    except BrokenPipeError:
        sys.exit(STATUS_BROKEN_PIPE)
    except KeyboardInterrupt:
        sys.exit(STATUS_INTERRUPTED)
    except (OSError, *mistakes) as error:
        print_mistake(error)
        sys.exit(STATUS_MISTAKE)


@contextlib.contextmanager
def ctrl_c_ends_at_once():
    """Return a context in which ctrl-C ends the process at once; nothing can be saved in it.

    A KeyboardInterrupt would be lost in a callback, or in an import by JAX or TensorFlow, that
    swallows exceptions.
    """
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def print_mistake(error):
    """Print the message of an error that is the user's."""
    print(f"error: {printable(error)}", file=sys.stderr, flush=True)


def printable(text):
    """Return text, such as names from a file, without what a terminal takes as a command."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(text))


def _prepare_streams():
    """Replace closed standard streams, and escape what the encoding of stdout does not have."""
    for name, mode in [("stdin", "r"), ("stdout", "w"), ("stderr", "w")]:
        if getattr(sys, name) is None:
            # It takes the free number, 0 to 2. Otherwise the next file that is opened would, and
            # what libraries print would be written into it.
            setattr(sys, name, open(os.devnull, mode))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush():
    """Write what stdout holds back; at the exit of Python, an error could not be handled."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "w") as nowhere:  # Python flushes once more
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise
