"""What can end a training without any mistake of the code, in words for the user."""

import contextlib
import re

from training.errors import UserError

# How TensorFlow, XLA, PyTorch and NumPy say that there is no more memory.
NO_MEMORY = re.compile(
    "RESOURCE_EXHAUSTED|OOM when|[Oo]ut of memory|can't allocate memory|Unable to allocate"
)
# How TensorFlow says that a file is gone; before it can stand which operation found out.
NO_FILE = re.compile(r"(?:^|\}\} )([^\n{}]*); No such file or directory", re.MULTILINE)


@contextlib.contextmanager
def as_user_errors(config):
    """Turn what says that memory or a file is missing into a UserError that says what to do.

    Args:
        config: The `training.config.Config` of the training.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        message = str(error)
        if isinstance(error, MemoryError) or NO_MEMORY.search(message):
            data = config.data
            raise UserError(
                "The model and its batches must fit into the memory of the device. Received: "
                f"--batch-size {data.batch_size} with images of {data.image_size} pixels, which "
                "do not. Pass a smaller --batch-size, with --accumulation-steps for as many "
                "images per update; or --rematerialize, or a smaller model."
            ) from error
        if gone := NO_FILE.search(message):
            raise UserError(
                f"The images must stay where they were at the start. Received: {gone[1]} is gone. "
                "Bring it back, and the same command goes on after the last checkpoint."
            ) from error
        raise
