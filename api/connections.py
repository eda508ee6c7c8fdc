"""Bounds what a connection may send before its request can be served: the server itself keeps all of it."""

from __future__ import annotations

import asyncio

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Of a request line with its headers, or of what stands between two parts of a body, within a read or two."""
HEAD_TIMEOUT = 20.0
"""Seconds a connection has for a whole head, the first included."""
GOODBYE_TIMEOUT = 1.0
"""Seconds a peer has to answer that its websocket is closed, while the server stops."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedConnection(HttpToolsProtocol):
    """Counts bytes, not headers: the parser keeps one without an end as well, and says nothing of it."""

    _unserved = 0
    _impatience: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._wait()

    @override
    def data_received(self, data: bytes) -> None:
        self._unserved += len(data)
        super().data_received(data)
        if self._unserved > MAX_HEAD_BYTES and not self.transport.is_closing():
            if not self._is_serving():
                self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._unserved and self._impatience is None:
            self._wait()

    @override
    def on_message_begin(self) -> None:
        self._unserved += 1  # it may have begun in the read that ended the one before
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._progress()
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._progress()
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._progress()
        super().on_message_complete()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._progress()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._impatience = self.loop.call_later(HEAD_TIMEOUT, self._give_up)

    def _progress(self) -> None:
        self._unserved = 0
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _give_up(self) -> None:
        self._impatience = None
        if not self._is_serving():  # an answer under way has a limit of its own
            self.transport.close()

    def _is_serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


class DrainedWebsocket(WebSocketsSansIOProtocol):
    """Closed by what serves it when that has ended what runs on it, and not at once when the server stops."""

    @override
    def shutdown(self) -> None:
        self.close_timeout = GOODBYE_TIMEOUT
        if not self.handshake_complete or self.close_sent:
            super().shutdown()
