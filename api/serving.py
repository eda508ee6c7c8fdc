"""Runs the API as a process: opens what it needs, serves until it is told to stop, and drains."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from socket import socket

from api.bounds.unfinished import Unfinished
from api.bounds.unread import Unread
from api.main import create_app
from api.server import Server
from infra.bootstrap import ApiServices, open_api_services
from infra.garbage import spare_what_stands
from infra.settings import Settings
from infra.telemetry.tracing import open_tracing
from infra.telemetry.watchdog import watched_loop

log = logging.getLogger(__name__)

Companion = Callable[[ApiServices], AbstractAsyncContextManager[None]]
"""What runs beside the API in the same process, on the same services."""


async def serve(
    settings: Settings,
    listener: socket,
    ready: Callable[[], None],
    companion: Companion = lambda _: nullcontext(),
    part: str = "api",
) -> None:
    """Until SIGTERM or SIGINT; then sockets close with 1012, for clients to reconnect, and requests end.

    Raises infra.bootstrap.CannotStart.
    """
    stop = _Stop(part)
    try:
        async with (
            open_api_services(settings) as services,
            open_tracing(settings, services.metrics, part),
            companion(services),
        ):
            with watched_loop(services.metrics):
                server = Server(
                    create_app(services),
                    unread=Unread(settings.max_unread_bytes, services.metrics),
                    unfinished=Unfinished(services.metrics),
                    stop_grace=settings.stop_grace,
                    ready=ready,
                )
                spare_what_stands()
                stop.server = server
                await server.serve([listener])
    except asyncio.CancelledError:
        if not stop.asked:
            raise


class _Stop:
    """What a signal does: while things are being opened it undoes that; later it lets the server drain."""

    def __init__(self, part: str) -> None:
        self._part = part
        self.asked = False
        self.server: Server | None = None
        self._task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        if not self.asked:
            log.info("%s is stopping: what runs may end first", self._part)
        if self.server is not None:
            self.server.should_exit = True
        elif self._task is not None and not self.asked:
            self._task.cancel()
        self.asked = True
