"""Names of the checkpoint files of a run: `batch-N.npz`, and `best.npz`."""

BEST = "best.npz"
DIGITS = 9


def checkpoint_name(batches):
    """Return the file name of the checkpoint after `batches` batches."""
    return f"batch-{batches:0{DIGITS}}.npz"


def batches_of(path):
    """Return the number of batches that a `batch-N.npz` was saved after."""
    return int(path.stem.removeprefix("batch-"))


def newest_first(folder):
    """Return the paths of the `batch-N.npz` in a folder, newest first; empty if it is missing."""
    return sorted(folder.glob("batch-*.npz"), reverse=True)
