"""A demo that listens on loopback, in a thread of the tests."""

import contextlib
import threading
import time

import requests

from training.demo.address import allowed_hosts, open_port, url_of
from training.demo.demo_model import DemoModel
from training.demo.server import make_server
from training.demo.upload import Limits
from training.model_argument import LoadedModel

HOST = "127.0.0.1"
PATIENCE_SECONDS = 60
CLASSES = ("ant", "bee", "cat", "dog", "emu")


def demo_model(model, title="small", names=CLASSES, **changes):
    """Return a `DemoModel` around a Keras model of logits."""
    loaded = LoadedModel(model, evaluation_transform="resize", **changes)
    return DemoModel(title, loaded, names)


@contextlib.contextmanager
def serving(*models, limits=None):
    """Yield the URL of a demo of `DemoModel`s."""
    with open_port(HOST, 0) as opened:
        server = make_server(models, limits or Limits(10**6, 10**6), allowed_hosts(opened, HOST))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while not server.started and time.monotonic() < end:
                time.sleep(0.01)
            yield url_of(opened, HOST)
        finally:
            server.should_exit = True
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


def post(url, path, contents, **parameters):
    """Return status and answer to an image that is sent to `/api/models/PATH`."""
    response = requests.post(f"{url}/api/models/{path}", contents, params=parameters, timeout=60)
    return response.status_code, response.json()
