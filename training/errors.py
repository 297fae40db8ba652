"""The one error of the application, and the failures that become it."""

import contextlib
import re
import traceback

from keras_mixer.terminal import STATUS_MISTAKE, print_mistake

# How TensorFlow, XLA, PyTorch and NumPy say that memory is exhausted.
NO_MEMORY = re.compile(
    "RESOURCE_EXHAUSTED|OOM when|[Oo]ut of memory|can't allocate memory|Unable to allocate"
)
LONGEST_LINE = 200  # of a message of a backend


class UserError(ValueError):
    """What the user asked for cannot be done; the message says why and what to do instead.

    The command line prints the message alone and ends with status 2.
    """


@contextlib.contextmanager
def out_of_memory_as_user_error(received, advice):
    """Turn an error that says that memory is exhausted into a UserError.

    Args:
        received: What does not fit, such as "--batch-size 64".
        advice: The sentence that says what to do.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError):  # not of a device: batches may not be the cause
            raise UserError(
                "Images, model and batches must fit into the memory of the computer. Received: "
                f"{_describe_allocation(error)}, with {received}. Close other programs, or use "
                f"fewer or smaller images or a smaller model. {advice}"
            ) from error
        if NO_MEMORY.search(str(error)):
            raise UserError(
                "The model and its batches must fit into the memory of the device. Received: "
                f"{received}, which do not fit: {_describe_allocation(error)}. {advice}"
            ) from error
        raise


def _describe_allocation(error):
    """Return what was being allocated: what the message says, or the line of code."""
    for line in str(error).splitlines():
        if NO_MEMORY.search(line):
            return line.strip(" .")[:LONGEST_LINE]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"no memory for `{frame.line}` in {frame.name}"


def report(error):
    """Print an error as it is for users; return the status for the program to end with."""
    if isinstance(error, UserError | OSError):  # OSError: a full disk, a path too long
        print_mistake(error)
        return STATUS_MISTAKE
    traceback.print_exception(error)
    return 1
