"""One HTTP request for a file, which is not trusted to be brief, well-formed or honest."""

import base64
import os
import queue
import re
import threading
import time
from urllib.parse import unquote, urljoin, urlsplit

import requests
import tqdm

from keras_mixer.weights.cache import CHECKSUMS, CHUNK_BYTES

MIRROR_VARIABLE = "KERAS_MIXER_MIRROR"
TIMEOUTS_SECONDS = (15, 60)  # to connect, and for each piece of the response
ANSWER_SECONDS = 300  # for the headers, of redirects too
LOWEST_SPEED = 1000  # bytes a second, over
SPEED_SECONDS = 120
LONGEST_SECONDS = 24 * 3600  # of a download

ADVICE = (
    "Download that URL by other means and put the file there, or set the environment variable "
    f"{MIRROR_VARIABLE} to the base URL of a mirror, or try again later."
)
ADVICE_ON_OTHER_CONTENT = (
    "Try again later. If the publisher replaced weights on purpose, download them manually and "
    "pass the path as `weights`, with the `value_range` and `approximate_gelu` that "
    "keras_mixer.list_weights() shows."
)


class TransferError(Exception):
    """A failed request: the cause, whether to retry, and advice for the user."""

    def __init__(self, cause, retry=False, advice=ADVICE):
        super().__init__(cause)
        self.retry = retry
        self.advice = advice


def find_source(url):
    """Return the URL to request, `url` or its counterpart on the mirror, and its credentials.

    The credentials are a pair for HTTP authentication, or None. They are not in the URL, so that
    no message can show them.

    Raises:
        ValueError: If `url` or the mirror is not valid.
    """
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    if not mirror:
        if urlsplit(url).scheme != "https":
            raise ValueError(
                "fetch: `url` must be an https URL. "
                f"Received: url={url!r}. Only the environment variable {MIRROR_VARIABLE} may "
                "name a server without TLS."
            )
        return url, None
    if not _is_web_address(mirror):
        _, at, end = mirror.rpartition("@")
        shown = f"…@{end}" if at else mirror  # what is before may be a password
        raise ValueError(
            f"fetch: the environment variable {MIRROR_VARIABLE} must be an http or https URL. "
            f"Received: {MIRROR_VARIABLE}={shown!r}. Set it to one such as "
            "https://mirror.example/files, or unset it. A user name or password in it must be "
            "percent-encoded."
        )
    parts = urlsplit(mirror.rstrip("/"))
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    base = parts._replace(netloc=host).geturl()
    path = urlsplit(url)._replace(scheme="", netloc="").geturl()
    return base + path, (unquote(name), unquote(password)) if at else None


def _is_web_address(url):
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises ValueError if it is not a number
    except ValueError:
        return False
    # A password with "/", "?" or "#" would be taken for what follows the host.
    more = parts.query or parts.fragment or parts.netloc.endswith(":")
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not more


def transfer(source, credentials, file, name, sizes, most_bytes):
    """Write the response to `file`; return the sizes and digests that the server announced.

    Args:
        source: The URL.
        credentials: As `find_source` returns them.
        file: An open binary file.
        name: What to call the file in the progress bar.
        sizes: Those that are known in advance.
        most_bytes: The largest plausible size, if none is known or announced.

    Raises:
        TransferError: If the request fails, or its answer cannot be the file.
    """
    deadline = time.monotonic() + LONGEST_SECONDS
    with _request(source, credentials) as response:
        status = response.status_code
        if status != 200:
            cause = f"the server answered {status} {_plain(response.reason or '')}".rstrip()
            raise TransferError(cause, retry=status == 429 or status >= 500)
        announced_sizes, announced_digests = _announced(response)
        if sizes and (others := set(announced_sizes) - set(sizes)):
            cause = f"the server offers {min(others):,} bytes instead of {sizes[0]:,}"
            raise TransferError(cause, advice=ADVICE_ON_OTHER_CONTENT)
        largest = min([*sizes, *announced_sizes], default=most_bytes)
        if largest > most_bytes and not sizes:
            cause = f"the server offers {largest:,} bytes, of at most {most_bytes:,} expected"
            raise TransferError(cause, advice=ADVICE_ON_OTHER_CONTENT)
        total = _count(response.headers.get("Content-Length"))
        with tqdm.tqdm(total=total, desc=name, unit="B", unit_scale=True) as bar:
            for chunk in _chunks(response, total, deadline):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > largest:
                    cause = f"the server sends more than the expected {largest:,} bytes"
                    raise TransferError(cause, advice=ADVICE_ON_OTHER_CONTENT)
    return announced_sizes, announced_digests


def _request(source, credentials):
    """Return the response to a GET request; its body is still to be read.

    A thread waits for it, since a server that sends its headers byte by byte is within every
    timeout of a socket.
    """
    answers: queue.SimpleQueue = queue.SimpleQueue()

    def request():
        try:
            response = requests.get(
                source,
                auth=credentials,
                stream=True,
                timeout=TIMEOUTS_SECONDS,
                headers={"Accept-Encoding": "identity"},  # sizes and digests are of the file as is
                hooks={"response": refuse_loss_of_tls},
            )
            answers.put((response, None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=request, daemon=True).start()
    try:
        response, error = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        cause = f"the server did not answer within {ANSWER_SECONDS} s"
        raise TransferError(cause, retry=True) from None
    if isinstance(error, TransferError):
        raise error
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        raise TransferError(f"no connection: {_root(error)}", retry=True) from error
    if error is not None:  # other errors of requests, of certificates and of malformed answers
        raise TransferError(_plain(str(error).rstrip("."))) from error
    return response


def _chunks(response, total, deadline):
    """Yield the body in pieces as they come; raise TransferError if it is cut or too slow."""
    read = getattr(response.raw, "read1", response.raw.read)  # read1: since urllib3 2
    received, before, began = 0, 0, time.monotonic()
    while True:
        try:
            chunk = read(CHUNK_BYTES, decode_content=True)
        except Exception as error:  # urllib3 and http.client have many
            end = "fell silent" if "timed out" in str(error) else "was cut"
            of_total = f" of {total:,}" if total else ""
            cause = f"the connection {end} after {received:,}{of_total} bytes"
            raise TransferError(cause, retry=True) from error
        if not chunk:
            return
        received += len(chunk)
        now = time.monotonic()
        if now - began >= SPEED_SECONDS:
            if received - before < LOWEST_SPEED * SPEED_SECONDS or now > deadline:
                speed = f"{received - before:,} bytes in {now - began:.0f} s"
                raise TransferError(f"the server is too slow, with {speed}")
            before, began = received, now
        yield chunk


def refuse_loss_of_tls(response, **_):
    """Raise TransferError if `response` redirects from https to another scheme; a requests hook."""
    if response.is_redirect and urlsplit(response.url).scheme == "https":
        target = urlsplit(urljoin(response.url, response.headers["Location"]))
        if target.scheme != "https":
            shown = f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}"
            raise TransferError(f"the server redirects to {_plain(shown)}, which is not https")


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
                shown = _plain(entry.strip())
                raise TransferError(f"the server announces an unreadable digest, {shown!r}")
            digests.append((algorithm, checksum.hex()))
    return [size for size in sizes if size is not None], digests


def _count(header):
    """Return the number of bytes that a header states, or None."""
    if header is None or not re.fullmatch("[0-9]+", header):
        return None
    if len(header) > 15:
        raise TransferError(f"the server announces an impossible size, {_plain(header)}")
    return int(header)


def _root(error):
    """Return the root cause of an error of requests in plain words."""
    while inner := error.__cause__ or next(
        (value for value in error.args if isinstance(value, Exception)), None
    ):
        error = inner
    return _plain(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _plain(text):
    """Return text from a server, abbreviated and without commands to the terminal."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= 200 else f"{text[:200]}…"
