"""Names of the checkpoint files of a run: `batch-N.npz`, and `best.npz`."""

import re

BEST = "best.npz"
DIGITS = 9
NUMBERED = re.compile(r"batch-([0-9]{9,18})\.npz")


def checkpoint_name(batches):
    """Return the file name of the checkpoint after `batches` batches."""
    return f"batch-{batches:0{DIGITS}}.npz"


def batches_of(path):
    """Return the number of batches that a `batch-N.npz` was saved after; None for other files."""
    match = NUMBERED.fullmatch(path.name)
    return int(match[1]) if match else None


def newest_first(folder):
    """Return the paths of the `batch-N.npz` in a folder, newest first; empty if it is missing."""
    paths = (path for path in folder.glob("batch-*.npz") if batches_of(path) is not None)
    return sorted(paths, key=batches_of, reverse=True)
