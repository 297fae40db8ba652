"""Download of published files into Keras's cache: verified, atomic, and only when needed."""

import contextlib
import os
import secrets
import sys
import time

from keras_mixer.weights.cache import (
    cached_path,
    find_fault,
    record_digest,
    record_of,
    recorded_digests,
)
from keras_mixer.weights.transfer import (
    ADVICE_ON_OTHER_CONTENT,
    LONGEST_SECONDS,
    TransferError,
    find_source,
    transfer,
)

RETRY_WAITS_SECONDS = (1, 4)  # between attempts: one attempt more than waits
LARGEST_FILE_BYTES = 2**32  # if the size is unknown; the largest published file has 0.9e9


class DownloadError(OSError):
    """A file could not be downloaded; the message says which, why, and what to do."""


class MissingFileError(DownloadError):
    """A server says that it does not have a file."""


def fetch(url, path, num_bytes=None, digest=None, most_bytes=None, find_flaw=None):
    """Return the path of a file in Keras's cache; download the file if it is not there.

    The path never holds an incomplete file, even if a process is killed or several processes
    download at once. A cached file needs no network. `$KERAS_MIXER_MIRROR`, if set, replaces
    the scheme and host of `url`; only a mirror may be a server without TLS.

    Args:
        url: Where the file is published: an https URL.
        path: Where it is cached, relative to Keras's cache.
        num_bytes: Size of the file, or None if unknown.
        digest: `"sha256:HEX"` or `"md5:HEX"` of the file, or None if unknown. The size and the
            digest that the server announces are checked in any case, and the digest that the file
            had then is recorded beside it.
        most_bytes: Largest plausible size, if the size is unknown.
        find_flaw: Function from the path of a file to what its content lacks, None for nothing.

    Raises:
        DownloadError: If the file cannot be downloaded, differs from what was expected, or cannot
            be written.
        ValueError: If `url` or the mirror is not a valid URL.
    """
    path = cached_path(path)
    sizes = [] if num_bytes is None else [num_bytes]
    digests = [] if digest is None else [tuple(digest.split(":"))]

    def fault(file, more_sizes=(), more_digests=()):
        found = find_fault(file, [*sizes, *more_sizes], [*digests, *more_digests])
        return found or (find_flaw and find_flaw(file))

    try:
        if path.is_file():
            found = fault(path, more_digests=[] if digest else recorded_digests(path))
            if found is None:
                return path
            _print(f"{path} {found}; downloading it again.")
    except OSError as error:
        _print(f"{path} cannot be read: {error.strerror}; downloading it again.")

    source, credentials = find_source(url)
    most_bytes = most_bytes or LARGEST_FILE_BYTES
    for wait_seconds in (*RETRY_WAITS_SECONDS, None):
        try:
            with _draft(path) as (part, file):
                announced = transfer(source, credentials, file, path.name, sizes, most_bytes)
                file.flush()
                os.fsync(file.fileno())  # or a crash could leave the name without the content
                found = fault(part, *announced)
                if found is not None:
                    cause = f"the received file {found}"
                    raise TransferError(cause, retry=True, advice=ADVICE_ON_OTHER_CONTENT)
                if digest is None:
                    record_digest(path, part)
            return path
        except TransferError as failure:
            if not failure.retry or wait_seconds is None:
                record = record_of(path)
                outdated = f" Then delete {record.name} beside it." if record.exists() else ""
                raise DownloadError(
                    f"fetch: {source} could not be downloaded: {failure}. "
                    f"It belongs at {path}. {failure.advice}{outdated}"
                ) from failure
            _print(f"{path.name}: {failure}. Trying again in {wait_seconds} s.")
            time.sleep(wait_seconds)
        except OSError as error:
            raise DownloadError(
                f"fetch: the folder of {path} must be writable and have room. Received: {error}. "
                "Set the environment variable KERAS_HOME to such a folder."
            ) from error


@contextlib.contextmanager
def _draft(path):
    """Yield a new file and its path, which replaces `path` unless an error is raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f"{path.name}.*.part"):  # by a process that was killed
        with contextlib.suppress(FileNotFoundError):
            if time.time() - abandoned.stat().st_mtime > LONGEST_SECONDS:
                abandoned.unlink()
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        # Not with `tempfile`, whose files other users of a shared cache could not read.
        with open(part, "xb") as file:
            yield part, file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _print(text):
    print(f"keras_mixer: {text}", file=sys.stderr)  # stdout belongs to the program
