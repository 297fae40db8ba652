"""Keras's cache: its folder, and the digests that say whether a file in it is intact.

Beside a file whose publisher states no digest, `FILE.sha256` has the one that it had when it was
downloaded and verified, in the format of the program `sha256sum`.
"""

import functools
import hashlib
import os
import pathlib
import re
import secrets
from collections.abc import Callable

import google_crc32c

from keras_mixer.files import open_regular, read_text

CHUNK_BYTES = 2**20
CHECKSUMS: dict[str, Callable] = {
    "crc32c": google_crc32c.Checksum,
    "md5": functools.partial(hashlib.md5, usedforsecurity=False),
    "sha256": hashlib.sha256,
}


def cached_path(path):
    """Return the absolute `pathlib.Path` of `path`, which is relative to Keras's cache.

    The cache is `$KERAS_HOME`, or `~/.keras` if that is not set. As in Keras, it is `/tmp/.keras`
    if there is no home folder, or none that can be written.
    """
    home = os.path.expanduser(os.environ.get("KERAS_HOME") or "~")
    if not os.environ.get("KERAS_HOME"):
        known = os.path.isdir(f"{home}/.keras") or os.access(home, os.W_OK)
        home = f"{home if known else '/tmp'}/.keras"
    if home.startswith("~"):  # of a user who does not exist
        home = "/tmp/.keras"
    return pathlib.Path(home).absolute() / path


def find_fault(path, sizes, digests):
    """Return how a file differs from the expected sizes and digests, or None.

    Args:
        path: Its `pathlib.Path`.
        sizes: Numbers of bytes.
        digests: Pairs of an algorithm in `CHECKSUMS` and a digest in hexadecimal.
    """
    actual = path.stat().st_size
    for size in sizes:
        if actual != size:
            return f"has {actual:,} bytes instead of {size:,}"
    for algorithm, expected in digests:
        actual = _digest(path, algorithm)
        if actual != expected.lower():
            return f"has the {algorithm} digest {actual} instead of {expected}"
    return None


def recorded_digests(path):
    """Return the digest that was recorded for a file, in a list; an empty one without a record."""
    try:
        text = read_text(record_of(path))
    except (OSError, ValueError):
        return []
    match = re.match("[0-9a-f]{64}(?= )", text)
    return [("sha256", match[0])] if match else []


def record_digest(path, content):
    """Record the digest of the file `content`, which is to replace the file `path`.

    The record comes first: if the process is killed between the two, the record disagrees with an
    older file, which is then downloaded again, and is ignored without a file.
    """
    record = record_of(path)
    draft = record.with_name(f"{record.name}.{secrets.token_hex(4)}.part")
    try:
        draft.write_text(f"{_digest(content, 'sha256')}  {path.name}\n", encoding="utf-8")
        os.replace(draft, record)
    finally:
        draft.unlink(missing_ok=True)


def record_of(path):
    """Return the path of the record of a file."""
    return path.with_name(f"{path.name}.sha256")


def _digest(path, algorithm):
    checksum = CHECKSUMS[algorithm]()
    with open_regular(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            checksum.update(chunk)
    return checksum.digest().hex()
