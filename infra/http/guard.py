"""The network as webhooks see it: every address of a name is checked, and what was checked is dialled."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Self

import httpcore2
from typing_extensions import override

from infra.http.addresses import Address
from infra.http.destination import Rules
from infra.threads import Threads

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a name, in the order to try them. Raises OSError."""

RESOLVE_TIMEOUT = 5.0
CONNECT_TIMEOUT = 5.0
"""Seconds, for each address that is tried."""
TRIED = 4
"""Addresses of one name that are tried."""
RESOLVERS = 16


class Blocked(Exception):  # noqa: N818  says what happened to the connection
    """The name leads where webhooks may not go. Says nothing of where that is."""


class Unresolved(Exception):  # noqa: N818  says what happened to the name
    """The name could not be resolved, or not in time."""


class Guard(httpcore2.AsyncNetworkBackend):
    """Opens connections to addresses that the rules admit, and to no others.

    As a context manager it closes what it opened: httpcore forgets a connection whose TLS handshake is
    cancelled.
    """

    def __init__(self, rules: Rules, resolve: Resolve, network: httpcore2.AsyncNetworkBackend) -> None:
        self._rules = rules
        self._resolve = resolve
        self._network = network
        self._opened: list[httpcore2.AsyncNetworkStream] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for stream in self._opened:
            await stream.aclose()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises Blocked, Unresolved, or what the network raises for the last address tried."""
        addresses = await self._addresses(host, port)
        # One inner answer among public ones is an attack, or will be one when the name is next resolved.
        if not all(self._rules.admits(address, port) for address in addresses):
            raise Blocked(host)
        *others, last = addresses[:TRIED]
        for address in others:
            try:
                return await self._dial(address, port)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue  # the next address may answer
        return await self._dial(last, port)

    async def _dial(self, address: Address, port: int) -> httpcore2.AsyncNetworkStream:
        stream = await self._network.connect_tcp(str(address), port, CONNECT_TIMEOUT)
        self._opened.append(stream)
        return stream

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                answers = await self._resolve(host, port)
            addresses = [ipaddress.ip_address(answer) for answer in dict.fromkeys(answers)]
        except (OSError, ValueError) as error:  # TimeoutError is an OSError, UnicodeError a ValueError
            raise Unresolved(host) from error
        if not addresses:
            raise Unresolved(host)
        return addresses


def system_resolver() -> Resolve:
    """The system's resolver, in threads of its own: names that hang must not hold up anyone else's."""
    threads = Threads(RESOLVERS, "resolver")

    def resolved(host: str, port: int) -> list[str]:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        return [str(address[0]) for *_, address in answers]

    async def resolve(host: str, port: int) -> list[str]:
        return await (await threads.start(lambda: resolved(host, port)))

    return resolve
