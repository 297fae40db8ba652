"""The address at which a demo listens."""

import os
import socket

from training.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("0.0.0.0", "::")


def open_port(host, port):
    """Return a socket that listens at an address; before models are loaded, which takes long.

    Args:
        host: Address or name of this computer.
        port: Port; 0 for any free one.

    Raises:
        UserError: If the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
        try:
            # A port that was used a moment ago is free, except on Windows, where this steals it.
            if os.name == "posix":
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen()  # who comes while models are loaded waits
        except OSError:
            opened.close()
            raise
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise UserError(
            "--host and --port must be an address of this computer that is free. Received: "
            f"{host}, port {port}: {cause}. Pass --port 0 for any free port, or --host 127.0.0.1."
        ) from error
    return opened


def url_of(opened, host):
    """Return the URL under which a socket can be reached from this computer."""
    if host in ANY_ADDRESS:
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{opened.getsockname()[1]}"
