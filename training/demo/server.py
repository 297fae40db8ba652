"""The web server of a demo."""

import uvicorn

from training.demo.app import make_app

END_SECONDS = 3  # for answers that are on their way when the demo ends


def make_server(models, limits, host):
    """Return a server whose `run(sockets=[...])` answers requests until ctrl-C.

    Args:
        models: The `training.demo.demo_model.DemoModel`s.
        limits: The `training.demo.upload.Limits`.
        host: The address at which it listens, as the user passed it.
    """
    return uvicorn.Server(
        uvicorn.Config(
            make_app(models, limits, host),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=END_SECONDS,
        )
    )
