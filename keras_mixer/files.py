"""Reading of regular files, and of nothing else that a path can name.

Opening a FIFO waits for a writer, and reading a device may never end. A folder from someone else
can contain links to either, so every file is opened here.
"""

import errno
import os
import stat

LARGEST_TEXT_BYTES = 2**26  # JSON and lists of names
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class NotRegularFileError(OSError):
    """A path names a folder, a FIFO, a device or a socket; `strerror` says which."""


def open_regular(path):
    """Open a regular file, or a link to one, for reading bytes.

    Raises:
        NotRegularFileError: If `path` names anything else.
        OSError: If the file cannot be opened.
    """
    _require_regular(path, os.stat(path))  # before `open`, which has side effects on some devices
    file = open(path, "rb", opener=_open_without_waiting)
    try:
        _require_regular(path, os.fstat(file.fileno()))  # another may have taken its place
    except OSError:
        file.close()
        raise
    return file


def require_regular(path):
    """Raise as `open_regular` does; for readers that open the path themselves."""
    open_regular(path).close()


def read_bytes(path, most_bytes):
    """Return the contents of a regular file of at most `most_bytes`.

    Raises:
        OSError: If it is larger, is not a regular file, or cannot be read.
    """
    with open_regular(path) as file:
        num_bytes = os.fstat(file.fileno()).st_size
        if num_bytes > most_bytes:
            raise OSError(errno.EFBIG, f"larger than {most_bytes:,} bytes", os.fspath(path))
        return file.read(num_bytes)


def read_text(path, errors="strict"):
    """Return the contents of a small UTF-8 file; `errors` as for `bytes.decode`.

    Raises:
        OSError: As `read_bytes`, for files of more than `LARGEST_TEXT_BYTES`.
        UnicodeDecodeError: If it is not UTF-8, which is a ValueError.
    """
    return read_bytes(path, LARGEST_TEXT_BYTES).decode("utf-8", errors)


def _open_without_waiting(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # which Windows does not have


def _require_regular(path, status):
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        what = KINDS.get(kind, "something else")
        raise NotRegularFileError(errno.EINVAL, f"not a regular file but {what}", os.fspath(path))
