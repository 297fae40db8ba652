"""Fetch a published file into Keras's cache: verified, atomically, and only when it must be."""

import base64
import contextlib
import functools
import hashlib
import os
import pathlib
import re
import secrets
import sys
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import google_crc32c
import requests
import tqdm

MIRROR_VARIABLE = "KERAS_MIXER_MIRROR"
RETRY_WAITS_SECONDS = (1, 4)  # between the attempts, of which there is one more
TIMEOUTS_SECONDS = (15, 60)  # until the connection stands, and for each piece of the answer
CHUNK_BYTES = 2**20
LARGEST_FILE_BYTES = 2**32  # where nobody says how large a file is; the largest known has 0.9e9
ABANDONED_SECONDS = 24 * 3600  # nobody writes to a file that is older

CHECKSUMS: dict[str, Callable] = {
    "crc32c": google_crc32c.Checksum,
    "md5": functools.partial(hashlib.md5, usedforsecurity=False),
    "sha256": hashlib.sha256,
}

ADVICE = (
    "Fetch that URL by other means and put the file there, or set the environment variable "
    f"{MIRROR_VARIABLE} to the base URL of a mirror, or try again later."
)
ADVICE_ON_OTHER_CONTENT = (
    "Try again later. If it is a checkpoint that was replaced on purpose, fetch it by hand and "
    "pass its path as `weights`, with its `value_range` and `approximate_gelu`, which "
    "keras_mixer.list_weights() shows."
)


class DownloadError(OSError):
    """A file could not be fetched; the message says which, why, and what to do."""


class _Failure(Exception):
    """One attempt failed: the cause, whether another may do better, and what the user can do."""

    def __init__(self, cause, retry=False, advice=ADVICE):
        super().__init__(cause)
        self.retry = retry
        self.advice = advice


def cached_path(path):
    """Return `path`, which is relative to Keras's cache, as an absolute `pathlib.Path`.

    The cache is `$KERAS_HOME`, or `~/.keras` where that is not set.
    """
    home = pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras")
    return home.expanduser().absolute() / path


def fetch(url, path, num_bytes=None, digest=None):
    """Return the path of a file in Keras's cache, after fetching it if it is not there.

    Nothing incomplete is ever at that path, whoever interrupts and however many processes fetch
    at once. A cached file is used without any network. `$KERAS_MIXER_MIRROR`, if set, replaces
    scheme and host of `url`, and alone may lead to a server without TLS.

    Args:
        url: Where the file is published: an https URL.
        path: Where it is cached, relative to Keras's cache.
        num_bytes: The size of the file, or None if it is not known.
        digest: `"sha256:HEX"` or `"md5:HEX"` of the file, or None if it is not known. What the
            server itself says of size and digest is checked in any case.

    Raises:
        DownloadError: If the file cannot be fetched, is not what was expected, or cannot be
            written.
        ValueError: If `url` or the mirror is not a URL to fetch from.
    """
    path = cached_path(path)
    sizes = [] if num_bytes is None else [num_bytes]
    digests = [] if digest is None else [tuple(digest.split(":"))]
    if path.is_file():
        fault = _fault(path, sizes, digests)
        if fault is None:
            return path
        _tell(f"{path} {fault}; fetching it anew.")

    source = _source(url)
    for wait_seconds in (*RETRY_WAITS_SECONDS, None):
        try:
            _attempt(source, path, sizes, digests)
            return path
        except _Failure as failure:
            if not failure.retry or wait_seconds is None:
                raise DownloadError(
                    f"fetch: {_without_password(source)} could not be fetched: {failure}. "
                    f"It belongs at {path}. "
                    f"{failure.advice}"
                ) from failure
            _tell(f"{path.name}: {failure}. Trying again in {wait_seconds} s.")
            time.sleep(wait_seconds)
        except OSError as error:
            raise DownloadError(
                f"fetch: the folder of {path} must be writable and have room. Received: {error}. "
                "Set the environment variable KERAS_HOME to a folder that is and has."
            ) from error


def _source(url):
    """Return the URL to ask: `url`, or its counterpart on the mirror."""
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    if not mirror:
        if urlsplit(url).scheme != "https":
            raise ValueError(
                "fetch: `url` must be an https URL. "
                f"Received: url={url!r}. Only the environment variable {MIRROR_VARIABLE} may "
                "name a server without TLS."
            )
        return url
    if not _is_web_address(mirror):
        raise ValueError(
            f"fetch: the environment variable {MIRROR_VARIABLE} must be an http or https URL. "
            f"Received: {MIRROR_VARIABLE}={mirror!r}. Set it to one such as "
            "https://mirror.example/files, or unset it."
        )
    return mirror.rstrip("/") + urlsplit(url)._replace(scheme="", netloc="").geturl()


def _is_web_address(url):
    try:
        return urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        return False


def _without_password(url):
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _attempt(source, path, sizes, digests):
    """Bring the file to `path`; raise _Failure or OSError, and leave nothing, if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f"{path.name}.*.part"):  # by a process that was killed
        with contextlib.suppress(FileNotFoundError):
            if time.time() - abandoned.stat().st_mtime > ABANDONED_SECONDS:
                abandoned.unlink()
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        # Not by `tempfile`, whose files no other user of a shared cache could read.
        with open(part, "xb") as file:
            announced_sizes, announced_digests = _transfer(source, file, path.name, sizes)
            file.flush()
            os.fsync(file.fileno())  # or a crash could leave the name without the content
        fault = _fault(part, sizes + announced_sizes, digests + announced_digests)
        if fault is not None:
            cause = f"the received file {fault}"
            raise _Failure(cause, retry=True, advice=ADVICE_ON_OTHER_CONTENT)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _transfer(source, file, name, sizes):
    """Write what the server sends to `file`; return the sizes and digests that it announced."""
    try:
        response = requests.get(
            source,
            stream=True,
            timeout=TIMEOUTS_SECONDS,
            headers={"Accept-Encoding": "identity"},  # what is announced is of the file as it is
            hooks={"response": _refuse_loss_of_tls},
        )
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Failure(f"no connection: {_root(error)}", retry=True) from error
    except OSError as error:  # the other errors of requests, and of its certificates
        raise _Failure(str(error).rstrip(".")) from error

    with response:
        status = response.status_code
        if status != 200:
            cause = f"the server answered {status} {response.reason or ''}".rstrip()
            raise _Failure(cause, retry=status == 429 or status >= 500)
        announced_sizes, announced_digests = _announced(response)
        if sizes and (others := set(announced_sizes) - set(sizes)):
            cause = f"the server offers {min(others):,} bytes instead of {sizes[0]:,}"
            raise _Failure(cause, advice=ADVICE_ON_OTHER_CONTENT)
        total = _count(response.headers.get("Content-Length"))
        largest = min([*sizes, *announced_sizes], default=LARGEST_FILE_BYTES)
        try:
            with tqdm.tqdm(total=total, desc=name, unit="B", unit_scale=True) as bar:
                for chunk in response.iter_content(CHUNK_BYTES):
                    file.write(chunk)
                    bar.update(len(chunk))
                    if file.tell() > largest:
                        cause = f"the server sends more than the expected {largest:,} bytes"
                        raise _Failure(cause, advice=ADVICE_ON_OTHER_CONTENT)
        except requests.RequestException as error:
            end = "fell silent" if isinstance(error, requests.ConnectionError) else "was cut"
            received = f"{response.raw.tell():,}" + (f" of {total:,}" if total else "")
            raise _Failure(f"the connection {end} after {received} bytes", retry=True) from error
    return announced_sizes, announced_digests


def _refuse_loss_of_tls(response, **_):
    """Raise _Failure if `response` redirects from https to a URL that is not; a requests hook."""
    if response.is_redirect and urlsplit(response.url).scheme == "https":
        target = urljoin(response.url, response.headers["Location"])
        if urlsplit(target).scheme != "https":
            raise _Failure(f"the server redirects to {target}, which is not https")


def _announced(response):
    """Return what the server says of the file: sizes, and pairs of algorithm and hex digest."""
    sizes = [_count(response.headers.get("Content-Length"))]
    digests = []
    for hop in (*response.history, response):  # the Hugging Face Hub: beside the redirect
        sizes.append(_count(hop.headers.get("X-Linked-Size")))
        etag = hop.headers.get("X-Linked-ETag", "").strip('"')
        if re.fullmatch("[0-9a-fA-F]{64}", etag):
            digests.append(("sha256", etag))
    # Google Cloud Storage: "crc32c=BASE64,md5=BASE64".
    for entry in response.headers.get("X-Goog-Hash", "").split(","):
        algorithm, _, value = entry.strip().partition("=")
        if algorithm in CHECKSUMS:
            try:
                checksum = base64.b64decode(value, validate=True)
            except ValueError:
                checksum = b""
            if len(checksum) != len(CHECKSUMS[algorithm]().digest()):
                raise _Failure(f"the server announces an unreadable digest, {entry.strip()!r}")
            digests.append((algorithm, checksum.hex()))
    return [size for size in sizes if size is not None], digests


def _count(header):
    return int(header) if header is not None and header.isdecimal() else None


def _fault(path, sizes, digests):
    """Say in what the file differs from what is known of it, or return None."""
    actual = path.stat().st_size
    for size in sizes:
        if actual != size:
            return f"has {actual:,} bytes instead of {size:,}"
    for algorithm, expected in digests:
        checksum = CHECKSUMS[algorithm]()
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                checksum.update(chunk)
        actual = checksum.digest().hex()
        if actual != expected.lower():
            return f"has the {algorithm} digest {actual} instead of {expected}"
    return None


def _root(error):
    """Return in plain words what lies under an error of requests, which names it last."""
    while inner := error.__cause__ or next(
        (value for value in error.args if isinstance(value, Exception)), None
    ):
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _tell(text):
    print(f"keras_mixer: {text}", file=sys.stderr)  # standard output is the program's own
