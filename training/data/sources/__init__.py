"""Where labelled images come from; one file each."""

from training.data.sources import arrays, digits, folder, tfds
from training.errors import UserError

READERS = {"arrays": arrays.load, "folder": folder.load, "tfds": tfds.load}


def load_source(data):
    """Return the `Source` that a `training.config.Data` names.

    Raises:
        UserError: If there is no such source, or it is unsound.
    """
    kind, _, where = data.source.partition(":")
    if data.source == "digits":
        return digits.load(data)
    if kind not in READERS or not where:
        raise UserError(
            "--source must be digits, tfds:NAME, folder:PATH or arrays:FILE.npz. "
            f"Received: {data.source}. Name one of these."
        )
    return READERS[kind](where, data)
