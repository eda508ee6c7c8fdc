"""The web server, set up for many sockets, and owned by the process that runs it."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from api.bounds.unfinished import Unfinished
from api.bounds.unread import Unread
from api.connections import BoundedConnection, ConnectionsConfig, DrainedWebsocket
from api.draining import Draining
from api.payloads import MAX_BYTES

KEEP_ALIVE = 75
"""Seconds an idle connection is kept, longer than the clients and proxies in front of it keep theirs."""
PING_INTERVAL = 12.0
"""Seconds between pings of a websocket, and how long the peer has to answer one."""
PATIENCE = 0.8
"""The part of the grace period that is given to operations; the rest is for saying goodbye."""


class Server(uvicorn.Server):
    """Leaves the signals to the process, and tells when it serves."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        unread: Unread,
        unfinished: Unfinished,
        stop_grace: float,
        ready: Callable[[], None],
    ) -> None:
        self._draining = Draining(stop_grace * PATIENCE)
        config = ConnectionsConfig(
            self._draining.told_to(app),
            http=BoundedConnection,
            ws=DrainedWebsocket,
            ws_max_size=MAX_BYTES,
            ws_ping_interval=PING_INTERVAL,
            ws_ping_timeout=PING_INTERVAL,
            ws_per_message_deflate=False,  # it costs 250 KB for each socket
            lifespan="off",
            workers=1,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=math.ceil(stop_grace),
        )
        config.unread = unread
        config.unfinished = unfinished
        super().__init__(config)
        self._ready = ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._draining.begin()
        await super().shutdown(sockets)

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
