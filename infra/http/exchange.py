"""One POST on a connection of its own, through the guard; what is read of the answer is bounded."""

from __future__ import annotations

import ssl
from contextlib import aclosing, suppress
from dataclasses import dataclass

import httpcore2

from infra.http.bounded import Bounded, TooMuch
from infra.http.destination import Destination, Rules
from infra.http.guard import Guard, Resolve, Unresolved

READ = 64 * 1024
"""Bytes of an answer's body that are read; the rest is not waited for."""
HEADS = 64 * 1024
"""Bytes of an answer's head, with all the interim answers (1xx) that come before it."""
FRAMED = 2 * READ
"""Bytes in which a body may come: chunks of a byte each are six times as many."""

Headers = list[tuple[bytes | str, bytes | str]]
FAULTS = (
    TimeoutError,
    Unresolved,
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    ssl.SSLError,
)
"""What keeps a host from answering."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    retry_after: str | None
    body: bytes


class Exchange:
    def __init__(self, rules: Rules, resolve: Resolve, network: httpcore2.AsyncNetworkBackend) -> None:
        self._rules = rules
        self._resolve = resolve
        self._network = network
        self._tls = httpcore2.default_ssl_context()

    async def post(self, destination: Destination, headers: Headers, body: str) -> Answer:
        """Raises Blocked and FAULTS."""
        # A connection for each webhook: one kept open would skip the check of where the name leads now.
        async with Guard(self._rules, self._resolve, self._network) as guard:
            network = Bounded(guard, HEADS)
            async with (
                httpcore2.AsyncHTTPConnection(
                    destination.url.origin, ssl_context=self._tls, network_backend=network
                ) as connection,
                connection.stream("POST", destination.url, headers=headers, content=body.encode()) as response,
            ):
                network.left = FRAMED
                read = await _beginning(response)
        retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), None)
        return Answer(response.status, None if retry_after is None else retry_after.decode("latin-1"), read)


async def _beginning(response: httpcore2.Response) -> bytes:
    read = bytearray()
    with suppress(TooMuch):
        async with aclosing(response.aiter_stream()) as chunks:
            async for chunk in chunks:
                read += chunk
                if len(read) >= READ:
                    break
    return bytes(read)


def fault_message(host: str, fault: Exception) -> str:
    """Which kind of fault it was; never the library's own words, which may quote what was sent."""
    if isinstance(fault, TimeoutError | httpcore2.TimeoutException):
        return f"{host} did not answer in time"
    if isinstance(fault, Unresolved):
        return f"the name {host} could not be resolved"
    if isinstance(fault, ssl.SSLError) or isinstance(fault.__cause__, ssl.SSLError):
        return f"{host} could not be trusted: TLS failed"
    if isinstance(fault, httpcore2.ConnectError):
        return f"{host} could not be reached"
    if isinstance(fault, httpcore2.ProtocolError):
        return f"{host} did not answer in HTTP"
    return f"{host} broke the connection"
