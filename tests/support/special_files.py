"""Paths that name no regular file, and that no reader may wait for."""

import os

# How messages call them.
SPECIAL = {"FIFO": "a FIFO", "device": "a device", "folder": "a folder"}


def make_special(kind, path):
    """Make a FIFO, a link to a device, or a folder at `path`; return `path`."""
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        path.mkdir()
    return path
