"""The small JSON files of a run folder: read strictly, and replaced as a whole."""

import contextlib
import json
import os

LARGEST_BYTES = 2**26  # of a file; the names of a million classes fit


def read_json(path):
    """Return what a JSON file holds.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not UTF-8, not JSON, too large, or has a key twice.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"it has more than {LARGEST_BYTES:,} bytes")
    return parse_json(content)


def parse_json(content):
    """Return what bytes of JSON hold; raise ValueError as `read_json` does."""
    try:
        return json.loads(content.decode(), object_pairs_hook=_without_duplicates)
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
    with draft.open("w", newline="") as file:
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
