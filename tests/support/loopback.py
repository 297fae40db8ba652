"""A local web server for tests: real HTTP with scripted answers."""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import threading
from collections.abc import Callable

import google_crc32c

PATIENCE_SECONDS = 10  # the longest wait of an answer


@dataclasses.dataclass
class Answer:
    """What the server sends for one request.

    Args:
        body: The bytes that `Content-Length` counts, or a function that returns them when they are
            requested.
        status: The HTTP status.
        headers: Further headers; a list of values repeats a header, None omits a default one.
        send_bytes: Number of bytes of the body to send; None for all.
        stall: Then keep the connection open and silent instead of closing it.
        together: Send the body only after this number of requests for the path.
        pause_seconds: Wait before each byte, of the headers too.
    """

    body: bytes | Callable[[], bytes] = b""
    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    send_bytes: int | None = None
    stall: bool = False
    together: int = 1
    pause_seconds: float = 0


class Trickle:
    """A file to which bytes are written one by one, until an event."""

    def __init__(self, file, pause_seconds, end):
        self._file = file
        self._pause_seconds = pause_seconds
        self._end = end

    def write(self, content):
        for i in range(len(content)):
            if self._end.wait(self._pause_seconds):
                raise ConnectionError
            self._file.write(content[i : i + 1])
            self._file.flush()

    def __getattr__(self, name):
        return getattr(self._file, name)


class LoopbackServer:
    """A server on loopback that runs inside a `with` statement; `_handler` returns its class.

    Attributes:
        url: Address of the server, without a trailing slash.
    """

    def __enter__(self):
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def _handler(self):
        raise NotImplementedError


class Loopback(LoopbackServer):
    """A server with scripted answers.

    Attributes:
        answers: `{path: [Answer, ...]}`, one per request in turn; the last one repeats.
            Any other path is a 404.
        requests: The requests so far, `[(path, headers), ...]`.
    """

    def __init__(self):
        self.answers = {}
        self.requests = []
        self._arrival = threading.Condition()
        self._closing = threading.Event()

    def __exit__(self, *error):
        self._closing.set()
        super().__exit__(*error)

    def serve(self, path, *answers):
        """Set the answers for `path`; bytes stand for a plain `Answer` with this body."""
        self.answers[path] = [
            Answer(answer) if isinstance(answer, bytes) else answer for answer in answers
        ]

    def count(self, path):
        """Return the number of requests for `path` so far."""
        return sum(asked == path for asked, _ in self.requests)

    def _take(self, path, headers):
        with self._arrival:
            self.requests.append((path, headers))
            self._arrival.notify_all()
            answers = self.answers.get(path, [Answer(status=404)])
            return answers[min(self.count(path), len(answers)) - 1]

    def _send(self, handler):
        answer = self._take(handler.path, handler.headers)
        body = answer.body() if callable(answer.body) else answer.body
        if answer.pause_seconds:
            handler.wfile = Trickle(handler.wfile, answer.pause_seconds, self._closing)
        handler.send_response(answer.status)
        for name, value in {"Content-Length": len(body), **answer.headers}.items():
            values = value if isinstance(value, list) else [value]
            for one in values if value is not None else []:
                handler.send_header(name, str(one))
        handler.end_headers()
        with self._arrival:
            self._arrival.wait_for(
                lambda: self.count(handler.path) >= answer.together, PATIENCE_SECONDS
            )
        handler.wfile.write(body[: answer.send_bytes])
        if answer.stall:
            self._closing.wait(PATIENCE_SECONDS)

    def _handler(self):
        loopback = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = PATIENCE_SECONDS

            def do_GET(self):
                with contextlib.suppress(ConnectionError):  # the client may hang up
                    loopback._send(self)

            def log_message(self, *_):
                pass

        return Handler


def google_hash(content, algorithms=("crc32c", "md5")):
    """Return the digests of `content` in the form of the header `x-goog-hash`."""
    digests = {
        "crc32c": google_crc32c.Checksum(content).digest(),
        "md5": hashlib.md5(content).digest(),
    }
    return ",".join(f"{name}={base64.b64encode(digests[name]).decode()}" for name in algorithms)
