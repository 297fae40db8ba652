"""The web application of a demo: the page, and the JSON API that it uses.

    GET  /api/models                   the models
    POST /api/models/0/predict         the classes of the image that is the body
    POST /api/models/0/explain         the map of its patches

Both take `shuffle` and `seed`; `explain` also `method` and `class`. An error is an object with
`error`, a sentence for people.
"""

import asyncio
import contextlib
import traceback
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from training.data.decode import FORMATS, DecodeError
from training.demo.shuffle import KINDS, LARGEST_SEED, Shuffle
from training.demo.upload import prepare_upload
from training.demo.worker import Worker
from training.errors import UserError

PAGE = Path(__file__).parent / "page"
UPLOAD_SECONDS = 60  # the longest time for the bytes of one image to arrive
MOST_REQUESTS = 200  # at one time, each with a file in memory
MOST_BYTES = 4 * 10**9  # of all these files
HEADERS = {
    # Nothing but this page's own files; images also from answers and from the disk.
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}


def make_app(models, limits, hosts):
    """Return the application.

    Args:
        models: The `DemoModel`s.
        limits: The `Limits` of uploads.
        hosts: Names of this computer in URLs; see `training.demo.address.allowed_hosts`. Requests
            with other names are refused, and those that a page of another site makes a browser
            send.
    """
    api = _Api(models, limits)
    routes = [
        Route("/models", api.describe),
        Route("/models/{number}/predict", api.predict, methods=["POST"]),
        Route("/models/{number}/explain", api.explain, methods=["POST"]),
    ]
    app = Starlette(
        routes=[
            Mount("/api", routes=routes),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        lifespan=api.lifespan,
        exception_handlers={HTTPException: _explain_error, Exception: _explain_failure},
    )
    return _Guard(app, hosts)


class _Api:
    """Answers the requests about models; one thread computes them in their order."""

    def __init__(self, models, limits):
        self._models, self._limits, self._worker = models, limits, Worker()
        self._waiting = 0
        self._most = max(1, min(MOST_REQUESTS, MOST_BYTES // limits.num_bytes))

    @contextlib.asynccontextmanager
    async def lifespan(self, _):
        yield
        self._worker.close()

    async def describe(self, _):
        return JSONResponse(
            {
                "models": [model.describe() for model in self._models],
                "largest_bytes": self._limits.num_bytes,
                "largest_pixels": self._limits.pixels,
            }
        )

    async def predict(self, request):
        model, shuffle = self._find_model(request), _read_shuffle(request)
        return await self._answer(request, model, model.predict, shuffle)

    async def explain(self, request):
        model, shuffle = self._find_model(request), _read_shuffle(request)
        arguments = shuffle, _read_method(request, model), _read_class(request, model)
        return await self._answer(request, model, model.explain, *arguments)

    def _find_model(self, request):
        text = request.path_params["number"]
        if text not in map(str, range(len(self._models))):
            raise HTTPException(
                404,
                f"The model must be 0 to {len(self._models) - 1}. Received: {text[:20]}. "
                "/api/models lists the models.",
            )
        return self._models[int(text)]

    async def _answer(self, request, model, compute, *arguments):
        """Return what `compute(pixels, *arguments)` returns for the image in a request."""
        if self._waiting >= self._most:
            raise HTTPException(
                503, f"{self._waiting} images are waiting already. Try again later."
            )
        self._waiting += 1
        try:
            contents = await _read_body(request, self._limits.num_bytes)
            call = self._worker.call(self._prepare_and_compute, contents, model, compute, arguments)
            return JSONResponse(await _while_connected(request, call))
        except DecodeError as error:
            raise HTTPException(
                415, f"The file cannot be used: {error}. Choose a {FORMATS} file."
            ) from error
        except UserError as error:  # such as logits that are not finite
            raise HTTPException(500, str(error)) from error
        except asyncio.CancelledError as error:
            raise HTTPException(503, "The demo has ended. Start it again.") from error
        finally:
            self._waiting -= 1

    def _prepare_and_compute(self, contents, model, compute, arguments):
        transform = model.loaded.evaluation_transform
        pixels = prepare_upload(contents, self._limits, transform, model.image_shape)
        return compute(pixels, *arguments)


class _Guard:
    """Refuses requests that other sites make a browser send, and adds the headers of the page."""

    def __init__(self, app, hosts):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *HEADERS.items()]}
            await send(message)

        if refusal := self._refuse(dict(scope["headers"])):
            return await refusal(scope, receive, send_with_headers)
        await self._app(scope, receive, send_with_headers)

    def _refuse(self, headers):
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if self._hosts is not None and name.strip("[]").lower() not in self._hosts:
            received = host or "none"
            text = f"Host must be that of the demo. Received: {received}. Open the URL it printed."
        elif origin and origin.partition("://")[2] != host:
            text = f"Other pages may not use the demo. Received: {origin}. Open the URL it printed."
        else:
            return None
        return JSONResponse({"error": text}, status_code=403)


async def _while_connected(request, call):
    """Return the result of a call; cancel it if the browser closes the connection."""
    task, end = asyncio.ensure_future(call), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(400, "The connection was closed.")
        return task.result()
    finally:
        task.cancel()
        end.cancel()


async def _read_body(request, most):
    """Return the body of a request, of which no more than `most` bytes are read."""
    contents = bytearray()
    too_large = HTTPException(
        413, f"The file must have at most {most:,} bytes. Received: more. Choose a smaller one."
    )
    length = request.headers.get("content-length", "")  # missing if it is not known at first
    if length.isdecimal() and int(length) > most:
        raise too_large
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for chunk in request.stream():
                contents += chunk
                if len(contents) > most:
                    raise too_large
    except TimeoutError as error:
        raise HTTPException(
            408, f"The file must arrive within {UPLOAD_SECONDS} seconds. Send it again."
        ) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The connection was closed.") from error
    return bytes(contents)


def _read_shuffle(request):
    kind, seed = request.query_params.get("shuffle", "none"), _read_integer(request, "seed") or 0
    if kind not in KINDS:
        raise HTTPException(
            400, f"shuffle must be one of {', '.join(KINDS)}. Received: {kind[:20]}. Choose one."
        )
    if seed > LARGEST_SEED:
        raise HTTPException(
            400, f"seed must be at most {LARGEST_SEED}. Received: {seed}. Choose a smaller one."
        )
    return Shuffle(kind, seed)


def _read_method(request, model):
    if not model.methods:
        raise HTTPException(
            400, f"The model must be a Mixer to be explained. Received: {model.title}. Use predict."
        )
    method = request.query_params.get("method") or model.methods[0]
    if method not in model.methods:
        methods = ", ".join(model.methods)
        raise HTTPException(
            400, f"method must be one of {methods}. Received: {method[:20]}. Choose one."
        )
    return method


def _read_class(request, model):
    class_index = _read_integer(request, "class")
    if class_index is not None and class_index >= model.loaded.classes:
        last = model.loaded.classes - 1
        raise HTTPException(
            400, f"class must be 0 to {last}. Received: {class_index}. Leave it out, or choose one."
        )
    return class_index


def _read_integer(request, name):
    """Return a parameter as an integer; None if it is left out."""
    text = request.query_params.get(name, "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise HTTPException(
            400,
            f"{name} must be an integer from 0. Received: {text[:20]}. Leave it out, or pass 1.",
        )
    return int(text) if text else None


async def _explain_error(request, error):
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _explain_failure(request, error):
    traceback.print_exception(error)
    text = f"The demo failed: {type(error).__name__}. Its terminal shows the cause."
    return JSONResponse({"error": text}, status_code=500)
