"""Connections whose peers may send so much and no more, whatever it is that they send."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2
from typing_extensions import override


class TooMuch(httpcore2.RemoteProtocolError):
    """The peer went on sending."""


class Bounded(httpcore2.AsyncNetworkBackend):
    """`left` is how many bytes may still be read over all that is opened; TLS itself is not counted."""

    def __init__(self, network: httpcore2.AsyncNetworkBackend, left: int) -> None:
        self._network = network
        self.left = left

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, stream: httpcore2.AsyncNetworkStream, bound: Bounded) -> None:
        self._stream = stream
        self._bound = bound

    @override
    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Raises TooMuch."""
        if self._bound.left <= 0:
            raise TooMuch
        data = await self._stream.read(min(max_bytes, self._bound.left), timeout)
        self._bound.left -= len(data)
        return data

    @override
    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    @override
    async def aclose(self) -> None:
        await self._stream.aclose()

    @override
    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._bound)

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
