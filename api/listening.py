"""Takes the address before anything is opened or started, so that a taken port costs nothing."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

BACKLOG = 2048
UNREAD_TIMEOUT = 30_000
"""Milliseconds after which the system cuts a peer that takes nothing of what was sent to it."""


class CannotListen(Exception):  # noqa: N818  says what the caller meets
    """The address cannot be listened at; the message says why and what to do."""


def listens_to_strangers(host: str) -> bool:
    """Whether others than this machine may reach it; of a name other than localhost, that is assumed."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Port 0 takes a free one. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = "it is in use" if in_use else str(error.strerror or error)
        raise CannotListen(f"Cannot listen on {host}, port {port}: {reason}. See --host and --port.") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; every connection inherits it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_TIMEOUT)
    return listener


def where(listener: socket.socket) -> str:
    """As it is listened at: a wildcard is not an address."""
    host, port = listener.getsockname()[:2]
    return f"{host}, port {port}"


def address_of(listener: socket.socket) -> str:
    """As a browser on this machine writes it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
