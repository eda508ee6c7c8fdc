"""The whole of Carillon in one process, on a PostgreSQL of its own: for trying it, and for developing."""

from __future__ import annotations

from collections.abc import Callable
from socket import socket

from api.serving import serve
from infra.settings import Settings
from jobs.embedded import run_embedded


async def serve_everything(settings: Settings, listener: socket, ready: Callable[[], None]) -> None:
    """Until SIGTERM or SIGINT. Raises CannotStart, for instance when another process uses this home."""
    await serve(settings, listener, ready, run_embedded, part="dev")
