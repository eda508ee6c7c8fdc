"""What a connection may send before its request is served, and the short way out of a websocket."""

from __future__ import annotations

import asyncio
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import cast

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import State

from api.bounds.unfinished import Unfinished
from api.bounds.unread import NOBODY, Unread, tenant_of
from api.parsing import RequestParser

MAX_HEAD_BYTES = 64 * 1024
"""Of a request line with its headers, or of what stands between two parts of a body, within a read or two."""
HEAD_TIMEOUT = 20.0
"""Seconds a connection has for a whole head, the first included."""
GOODBYE_TIMEOUT = 1.0
"""Seconds a peer has to read the rest when its websocket is closed; while the server stops, to answer."""
ANSWER_TIMEOUT = 60.0
"""Seconds a peer has to take what is left of an answer, however little it takes at a time."""

MAX_FRAGMENTS = 4096
"""Of one message: the empty ones, too, take memory and time."""
PIECE = 4096
"""Bytes of what a peer sent that are worked on before others have their turn."""

WriteNow = Callable[[bytes], bool]
"""Sends a text message at once, or does nothing and returns False: it would have to wait."""

_WRITE_NOW = "carillon.write_now"
_MOST_IN_ONE_BYTE = 125
_MOST_IN_TWO_BYTES = 65535
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class ConnectionsConfig(uvicorn.Config):
    """What a server gives to each of its connections."""

    unread: Unread
    unfinished: Unfinished


class BoundedConnection(HttpToolsProtocol):
    """Counts bytes, not headers: the parser keeps one without an end as well, and says nothing of it."""

    _unserved = 0
    _impatience: asyncio.TimerHandle | None = None
    _abandonment: asyncio.TimerHandle | None = None
    _in_head = False
    _upgrade_ignored = False

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._unread = _unread_of(self.config)
        self.app = _counted(self.app, self.flow, transport, self._unread)
        self.parser = RequestParser(self, self._head_without_upgrade)
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
        self._in_head = True
        super().on_message_begin()

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are none of the headers (RFC 9110, 6.5.1)
            super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._progress()
        self._in_head = False
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("two hosts")  # which the parser makes a 400 of (RFC 9112, 3.2)
        asks = self.parser.should_upgrade() and any(name == b"upgrade" for name, _ in self.headers)
        self._upgrade_ignored = asks and not self._should_upgrade()
        if not self._upgrade_ignored:
            super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._progress()
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._progress()
        if not self._upgrade_ignored:
            super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.flow.write_paused and self._abandonment is None:
            self._abandonment = self.loop.call_later(ANSWER_TIMEOUT, self.transport.abort)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.wait(self.transport, self.scope)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._taken()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._progress()
        self._taken()
        super().connection_lost(exc)

    def _taken(self) -> None:
        self._unread.taken(self.transport)
        if self._abandonment is not None:
            self._abandonment.cancel()
            self._abandonment = None

    def _head_without_upgrade(self) -> bytes | None:
        if not self._upgrade_ignored:
            return None
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b: %b\r\n" % each for each in self.headers if each[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(lines))

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


def _counted(app: ASGIApp, flow: FlowControl, transport: asyncio.Transport, unread: Unread) -> ASGIApp:
    """What is to be written counts while it waits. Without the connection, which would hold itself."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if flow.write_paused:
                with unread.held(transport, len(message.get("body", b""))):
                    await flow.drain()
            await send(message)

        await app(scope, receive, send_counted)

    return serve


class DrainedWebsocket(WebSocketsSansIOProtocol):
    """Closed by what serves it when that has ended what runs on it, and not at once when the server stops.

    Messages that are the same for many sockets may be written past what uvicorn does for each. What is read is
    worked on by pieces, and not at all while the peer does not take its pongs.
    """

    _next_piece: asyncio.Handle | None = None
    _abandonment: asyncio.TimerHandle | None = None
    _pongs_wait = False
    _is_connected = False
    """It has a scope, which what is refused has not."""
    _part = 0
    """Bytes that have come of a message, if one has begun."""

    @override
    def connection_made(self, transport: BaseTransport) -> None:
        self._unheard = bytearray()
        self._unread = _unread_of(self.config)
        self._unfinished = cast(ConnectionsConfig, self.config).unfinished
        super().connection_made(transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._unheard += data
        if self._next_piece is None:
            self._read_piece()

    def _read_piece(self) -> None:
        self._next_piece = None
        if self._may_read():
            piece = bytes(self._unheard[:PIECE])
            del self._unheard[:PIECE]
            super().data_received(piece)
            self._count_part(len(piece))
        self._read_on()

    def _count_part(self, more: int) -> None:
        if self._is_connected:
            is_begun = bool(self.frames or self.conn.reader.buffer)
            self._part = self._part + more if is_begun else 0
            self._unfinished.becomes(self.transport, tenant_of(self.scope), self._part)

    def _may_read(self) -> bool:
        return not (self.read_paused or self._pongs_wait or self.transport.is_closing())

    def _read_on(self) -> None:
        """Settles what is read next: a piece that is there, or what the peer sends, or nothing as yet."""
        if self.transport.is_closing():
            self._unheard.clear()
            self._abandon_in(GOODBYE_TIMEOUT)
        elif not self._may_read():
            self.transport.pause_reading()
        elif not self._unheard:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()
            if self._next_piece is None:
                self._next_piece = self.loop.call_soon(self._read_piece)

    @override
    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        self._read_on()
        return message

    @override
    async def send(self, message: ASGISendEvent) -> None:
        if not self.writable.is_set():
            text = message.get("text")
            with self._unread.held(self.transport, len(text) if isinstance(text, str) else 0):
                while not self.writable.is_set():  # of those who waited, the first may have filled it again
                    await self.writable.wait()
        await super().send(message)

    @override
    def handle_ping(self) -> None:
        super().handle_ping()
        # Not whenever writes wait: who is slow to read what it subscribed to is still heard.
        self._pongs_wait = not self.writable.is_set()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.wait(self.transport, self.scope)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread.taken(self.transport)
        if self._pongs_wait:
            self._pongs_wait = False
            self._read_on()

    @override
    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        else:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"over {MAX_FRAGMENTS} fragments")

    @override
    def send_receive_event_to_app(self) -> None:
        self._part = 0
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:  # uvicorn would close as well, and log the peer's fault as ours
                self._fail(CloseCode.INVALID_DATA, "text is UTF-8")
                return
        super().send_receive_event_to_app()

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.frames = []
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    @override
    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abandon_in(GOODBYE_TIMEOUT)

    @override
    async def run_asgi(self) -> None:
        await super().run_asgi()
        self._read_on()
        self._abandon_in(self.close_timeout if self.writable.is_set() else GOODBYE_TIMEOUT)

    def _abandon_in(self, seconds: float) -> None:
        """A transport that is closed would wait without end for its peer to read what was written."""
        if self._abandonment is None and not self.disconnected:
            self._abandonment = self.loop.call_later(seconds, self.transport.abort)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._unread.taken(self.transport)
        self._unfinished.becomes(self.transport, NOBODY, 0)
        for handle in (self._next_piece, self._abandonment):
            if handle is not None:
                handle.cancel()
        super().connection_lost(exc)

    @override
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # for then it was refused
            self._is_connected = True
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


def _unread_of(config: uvicorn.Config) -> Unread:
    return cast(ConnectionsConfig, config).unread


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
