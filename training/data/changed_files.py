"""Files that are removed or changed while their images are read."""

import contextlib
import re

import tensorflow as tf

from training.data.image_files import list_faults
from training.errors import UserError

# TensorFlow's message about a file, which may follow the name of what failed.
FILE_ERROR = re.compile(
    r"^(?:.*(?:\}\} |: ))?(.*); "
    "(No such file or directory|Permission denied|Input/output error|Stale file handle)",
    re.MULTILINE,
)


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
        if not faults:
            faults, restore = _faults_of(error)
        if not faults:
            raise
        raise UserError(
            "The images must stay as they were at the start. Received:"
            f"{list_faults(faults)}\n{restore} {next_step}"
        ) from error


def _faults_of(error):
    """Return what an error of TensorFlow says about a file of a cache or of TensorFlow Datasets.

    That is a list of one fault, or of none if it is about something else, and the next step.
    """
    if gone := FILE_ERROR.search(str(error)):
        restore = "Restore it, or remove the folder if it is one of --cache-dir."
        return [f"{gone[1]}: {gone[2]}"], restore
    if isinstance(error, tf.errors.DataLossError):
        return [f"{error.message}, in the files of the dataset"], "Restore these files."
    return [], ""
