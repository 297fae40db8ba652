"""Files of results that the user names."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from training.errors import UserError


def require_output_file(path, option):
    """Raise UserError unless the file of an option can be written; create its folder.

    Call it before the work, so that the mistake is found at once.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("not a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(
            f"{option} must be a file in a folder that can be written to, on a disk with free "
            f"space. Received: {path}: {error.strerror or error}. Choose another path."
        ) from error


@contextlib.contextmanager
def replacing_file(path, mode="w"):
    """Open a file that replaces `path` when the block ends; if it fails, nothing is left.

    Args:
        path: Path of the file.
        mode: "w" for text, in which names of files need not be UTF-8, or "wb".
    """
    text = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    options: dict[str, Any] = {} if "b" in mode else text
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".draft") as folder:
        draft = Path(folder) / "draft"
        with draft.open(mode, **options) as file:
            yield file
        draft.replace(path)
