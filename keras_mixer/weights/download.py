"""Download of published files into Keras's cache: verified, atomic, and only when needed."""

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

from keras_mixer.files import open_regular

MIRROR_VARIABLE = "KERAS_MIXER_MIRROR"
RETRY_WAITS_SECONDS = (1, 4)  # between attempts: one attempt more than waits
TIMEOUTS_SECONDS = (15, 60)  # to connect, and for each piece of the response
CHUNK_BYTES = 2**20
LARGEST_FILE_BYTES = 2**32  # if the size is unknown; the largest published file has 0.9e9
ABANDONED_SECONDS = 24 * 3600  # no download takes longer

CHECKSUMS: dict[str, Callable] = {
    "crc32c": google_crc32c.Checksum,
    "md5": functools.partial(hashlib.md5, usedforsecurity=False),
    "sha256": hashlib.sha256,
}

ADVICE = (
    "Download that URL by other means and put the file there, or set the environment variable "
    f"{MIRROR_VARIABLE} to the base URL of a mirror, or try again later."
)
ADVICE_ON_OTHER_CONTENT = (
    "Try again later. If the publisher replaced weights on purpose, download them manually and "
    "pass the path as `weights`, with the `value_range` and `approximate_gelu` that "
    "keras_mixer.list_weights() shows."
)


class DownloadError(OSError):
    """A file could not be downloaded; the message says which, why, and what to do."""


class _Failure(Exception):
    """A failed attempt: the cause, whether to retry, and advice for the user."""

    def __init__(self, cause, retry=False, advice=ADVICE):
        super().__init__(cause)
        self.retry = retry
        self.advice = advice


def cached_path(path):
    """Return the absolute `pathlib.Path` of `path`, which is relative to Keras's cache.

    The cache is `$KERAS_HOME`, or `~/.keras` if that is not set.
    """
    home = pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras")
    return home.expanduser().absolute() / path


def fetch(url, path, num_bytes=None, digest=None):
    """Return the path of a file in Keras's cache; download the file if it is not there.

    The path never holds an incomplete file, even if a process is killed or several processes
    download at once. A cached file needs no network. `$KERAS_MIXER_MIRROR`, if set, replaces
    the scheme and host of `url`; only a mirror may be a server without TLS.

    Args:
        url: Where the file is published: an https URL.
        path: Where it is cached, relative to Keras's cache.
        num_bytes: Size of the file, or None if unknown.
        digest: `"sha256:HEX"` or `"md5:HEX"` of the file, or None if unknown. The size and the
            digest that the server announces are checked in any case.

    Raises:
        DownloadError: If the file cannot be downloaded, differs from what was expected, or cannot
            be written.
        ValueError: If `url` or the mirror is not a valid URL.
    """
    path = cached_path(path)
    sizes = [] if num_bytes is None else [num_bytes]
    digests = [] if digest is None else [tuple(digest.split(":"))]
    if path.is_file():
        fault = _fault(path, sizes, digests)
        if fault is None:
            return path
        _print(f"{path} {fault}; downloading it again.")

    source = _source(url)
    for wait_seconds in (*RETRY_WAITS_SECONDS, None):
        try:
            _attempt(source, path, sizes, digests)
            return path
        except _Failure as failure:
            if not failure.retry or wait_seconds is None:
                raise DownloadError(
                    f"fetch: {_without_password(source)} could not be downloaded: {failure}. "
                    f"It belongs at {path}. "
                    f"{failure.advice}"
                ) from failure
            _print(f"{path.name}: {failure}. Trying again in {wait_seconds} s.")
            time.sleep(wait_seconds)
        except OSError as error:
            raise DownloadError(
                f"fetch: the folder of {path} must be writable and have room. Received: {error}. "
                "Set the environment variable KERAS_HOME to such a folder."
            ) from error


def _source(url):
    """Return the URL to request: `url`, or its counterpart on the mirror."""
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
    """Download the file to `path`; on failure raise _Failure or OSError and leave nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f"{path.name}.*.part"):  # by a process that was killed
        with contextlib.suppress(FileNotFoundError):
            if time.time() - abandoned.stat().st_mtime > ABANDONED_SECONDS:
                abandoned.unlink()
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        # Not with `tempfile`, whose files other users of a shared cache could not read.
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
    """Write the response to `file`; return the sizes and digests that the server announced."""
    try:
        response = requests.get(
            source,
            stream=True,
            timeout=TIMEOUTS_SECONDS,
            headers={"Accept-Encoding": "identity"},  # sizes and digests are of the file as it is
            hooks={"response": _refuse_loss_of_tls},
        )
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Failure(f"no connection: {_root(error)}", retry=True) from error
    except OSError as error:  # other errors of requests and certificates
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
    """Raise _Failure if `response` redirects from https to another scheme; a requests hook."""
    if response.is_redirect and urlsplit(response.url).scheme == "https":
        target = urljoin(response.url, response.headers["Location"])
        if urlsplit(target).scheme != "https":
            raise _Failure(f"the server redirects to {target}, which is not https")


def _announced(response):
    """Return the sizes that the server announces, and pairs of algorithm and hex digest."""
    sizes = [_count(response.headers.get("Content-Length"))]
    digests = []
    for hop in (*response.history, response):  # the Hugging Face Hub sends them with the redirect
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
    """Return how the file differs from the expected sizes and digests, or None."""
    actual = path.stat().st_size
    for size in sizes:
        if actual != size:
            return f"has {actual:,} bytes instead of {size:,}"
    for algorithm, expected in digests:
        checksum = CHECKSUMS[algorithm]()
        with open_regular(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                checksum.update(chunk)
        actual = checksum.digest().hex()
        if actual != expected.lower():
            return f"has the {algorithm} digest {actual} instead of {expected}"
    return None


def _root(error):
    """Return the root cause of an error of requests in plain words."""
    while inner := error.__cause__ or next(
        (value for value in error.args if isinstance(value, Exception)), None
    ):
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _print(text):
    print(f"keras_mixer: {text}", file=sys.stderr)  # stdout belongs to the program
