"""The one error of the application."""

import sys
import traceback

STATUS_USER_ERROR = 2
STATUS_INTERRUPTED = 130  # what a shell reports of a program that ctrl-C ended


class UserError(ValueError):
    """What the user asked for cannot be done; the message says why and what to do instead.

    The command line prints the message alone and ends with status 2.
    """


def report(error):
    """Print an error as it is for users; return the status for the program to end with."""
    if isinstance(error, UserError | OSError):  # OSError: a full disk, a path too long
        print(f"error: {error}", file=sys.stderr, flush=True)
        return STATUS_USER_ERROR
    traceback.print_exception(error)
    return 1
