"""The address at which a demo listens."""

import os
import socket

from training.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("0.0.0.0", "::")


def open_port(host, port):
    """Return a socket that listens on an address.

    It is opened before models are loaded, so that a port in use is reported at once.

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
            # Reuse a port in TIME_WAIT. On Windows, this would take over a port in use.
            if os.name == "posix":
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen()  # connections wait until the models are loaded
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


def allowed_hosts(opened, host):
    """Return the names of this computer in URLs of a socket; None if there may be any.

    A name that resolves to this computer is not enough: any web site can have such a name.
    """
    bound = opened.getsockname()[0]
    return None if bound in ANY_ADDRESS else {host.lower(), bound, *LOOPBACK}


def url_of(opened, host):
    """Return the URL under which a socket can be reached from this computer."""
    if opened.getsockname()[0] in ANY_ADDRESS:
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{opened.getsockname()[1]}"
