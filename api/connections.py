"""What a connection may send before its request is served, and the short way out of a websocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from starlette.types import Scope
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

MAX_HEAD_BYTES = 64 * 1024
"""Of a request line with its headers, or of what stands between two parts of a body, within a read or two."""
HEAD_TIMEOUT = 20.0
"""Seconds a connection has for a whole head, the first included."""
GOODBYE_TIMEOUT = 1.0
"""Seconds a peer has to answer that its websocket is closed, while the server stops."""

WriteNow = Callable[[bytes], bool]
"""Sends a text message at once, or does nothing and returns False: it would have to wait."""

_WRITE_NOW = "carillon.write_now"
_MOST_IN_ONE_BYTE = 125
_MOST_IN_TWO_BYTES = 65535
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
    """Closed by what serves it when that has ended what runs on it, and not at once when the server stops.

    Messages that are the same for many sockets may be written past what uvicorn does for each.
    """

    @override
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # for then it was refused
            extensions = cast(dict[str, object], self.scope["extensions"])
            extensions[_WRITE_NOW] = self.write_now

    def write_now(self, text: bytes) -> bool:
        """A WriteNow. What the transport holds back is bounded by its own mark, as for any other message."""
        if not self.writable.is_set() or self.conn.state is not State.OPEN or self.transport.is_closing():
            return False
        self.transport.write(text_frame_head(len(text)) + text)
        return True

    @override
    def shutdown(self) -> None:
        self.close_timeout = GOODBYE_TIMEOUT
        if not self.handshake_complete or self.close_sent:
            super().shutdown()


def text_frame_head(size: int) -> bytes:
    """What a server sends before the `size` bytes of a whole text message (RFC 6455, 5.2)."""
    if size <= _MOST_IN_ONE_BYTE:
        return bytes((0x81, size))
    if size <= _MOST_IN_TWO_BYTES:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


def taken_write_now(scope: Scope) -> WriteNow:
    """What this server offers to a websocket; taken out, as the connection would hold itself otherwise."""
    write_now: WriteNow = scope.get("extensions", {}).pop(_WRITE_NOW, _cannot)
    return write_now


def _cannot(_text: bytes) -> bool:
    """Of other servers."""
    return False
