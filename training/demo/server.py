"""The web server of a demo."""

import uvicorn

from training.demo.app import make_app

END_SECONDS = 1  # for answers that are on their way when the demo ends
MOST_CONNECTIONS = 1000


def make_server(models, limits, hosts):
    """Return a server whose `run(sockets=[...])` answers requests until ctrl-C.

    Args:
        models: The `training.demo.demo_model.DemoModel`s.
        limits: The `training.demo.upload.Limits`.
        hosts: See `training.demo.app.make_app`.
    """
    return uvicorn.Server(
        uvicorn.Config(
            make_app(models, limits, hosts),
            log_level="critical",  # `app` prints what fails
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=END_SECONDS,
        )
    )
