"""Where a command listens: ``HOST:PORT`` on its command line, a URL in its report."""

import socket

import click


def parse_address(address: str) -> tuple[str, int]:
    """Return the host and the port that a text spells; raise ``UsageError``."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise click.UsageError(f"{address!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def url_of(listener: socket.socket) -> str:
    """Return the URL at which a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
