"""The small JSON files of a run folder: read strictly, and replaced atomically."""

import contextlib
import json
import os

from keras_mixer.files import read_text


def read_json(path):
    """Return what a JSON file holds.

    Raises:
        OSError: If it cannot be read, is too large, or is not a regular file.
        ValueError: If it is not UTF-8, not JSON, nested too deeply, or has a key twice.
    """
    return parse_json(read_text(path))


def parse_json(text):
    """Return what a text of JSON holds; raise ValueError as `read_json` does."""
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def write_json(path, value):
    """Replace a file by JSON of a value; it is on the disk when this returns."""
    with replacing(path) as file:
        file.write(json.dumps(value, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


@contextlib.contextmanager
def replacing(path):
    """Open a text file that replaces `path` when it is complete."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    # "x" follows no link. Names of files need not be UTF-8.
    with draft.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield file
    draft.replace(path)


def sync_folder(folder):
    """Flush the folder so that a rename survives a power failure, where this is supported."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _without_duplicates(pairs):
    entries = dict(pairs)
    if len(entries) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it has {max(keys, key=keys.count)!r} twice")
    return entries
