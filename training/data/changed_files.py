"""Files that are removed or changed while their images are read."""

import contextlib
import re

import tensorflow as tf

from training.errors import UserError

# TensorFlow's message about a file, which may follow the name of what failed.
FILE_ERROR = re.compile(
    r"^(?:.*(?:\}\} |: ))?(.*); "
    "(No such file or directory|Permission denied|Input/output error|Stale file handle)",
    re.MULTILINE,
)
LISTED_FAULTS = 10


@contextlib.contextmanager
def changed_files_as_user_errors(source, next_step):
    """Turn TensorFlow's error about a file that changed after the start into a UserError.

    Args:
        source: The `training.data.source.Source` that is read.
        next_step: The sentence that says what to do when the files are restored.
    """
    try:
        yield
    except tf.errors.OpError as error:
        faults, restore = source.find_faults(), "Restore these files."
        if faults:
            pass
        elif gone := FILE_ERROR.search(str(error)):  # of a cache, or of TensorFlow Datasets
            faults = [f"{gone[1]}: {gone[2]}"]
            restore = "Restore it, or remove the folder if it is one of --cache-dir."
        elif isinstance(error, tf.errors.DataLossError):
            faults = [f"{error.message}, in the files of the dataset"]
        if not faults:
            raise
        listed = "\n  ".join(faults[:LISTED_FAULTS])
        more = f"\n  and {len(faults) - LISTED_FAULTS} more" if faults[LISTED_FAULTS:] else ""
        raise UserError(
            "The images must stay as they were at the start. Received:\n  "
            f"{listed}{more}\n{restore} {next_step}"
        ) from error
