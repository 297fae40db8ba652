"""Conversion of out-of-memory and missing-file errors to `UserError`."""

import contextlib
import re

from training.errors import UserError, out_of_memory_as_user_error

# TensorFlow's message for a missing file, which may follow the name of the node that failed.
NO_FILE = re.compile(r"(?:^|\}\} )([^\n{}]*); No such file or directory", re.MULTILINE)


@contextlib.contextmanager
def as_user_errors(config):
    """Turn errors that say that memory is exhausted or an image is missing into UserErrors.

    Args:
        config: The `training.config.Config` of the run.
    """
    data = config.data
    received = f"--batch-size {data.batch_size} with images of {data.image_size} pixels"
    advice = (
        "Pass a smaller --batch-size, with --accumulation-steps to keep the number of images per "
        "update; or --rematerialize, or a smaller model."
    )
    with out_of_memory_as_user_error(received, advice):
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            if gone := NO_FILE.search(str(error)):
                raise UserError(
                    "The images must stay where they were at the start. Received: "
                    f"{gone[1]} no longer exists. Put it back; the same command resumes from the "
                    "last checkpoint."
                ) from error
            raise
