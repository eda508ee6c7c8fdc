"""A server on this machine that webhooks are sent to, and the client that sends them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from domain.actions.model import Call, Http, Outcome
from domain.resilience.breaker import BreakerPolicy
from infra.encryption.headers import HeaderSeals
from infra.encryption.keys import KeyRing, new_key, read_keys
from infra.http.breaking import HostBreakers
from infra.http.client import build_webhooks
from infra.http.signing import Signer
from infra.settings import Settings
from tests.support.breakers import a_board

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CALL = Call(
    task_id=UUID("0192d3a0-0000-7000-8000-0000000000ff"),
    tenant="default",
    attempt=2,
    fence=7,
    due_at=NOW,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)

KEYS = read_keys(new_key("tests"))


Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Told:
    """The clock of these tests: the signature's own verifier reads the real one."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.at


PLAIN: Any = {
    "signer": Signer(None),
    "seals": HeaderSeals(KeyRing()),
    "breakers": HostBreakers(Told(), lambda: 0.5, CollectorRegistry(), BreakerPolicy(), a_board()),
    "clock": Told(),
}
"""A client that signs nothing and opens nothing."""


@dataclass
class Received:
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return dict(self.headers)[name]


@dataclass
class Receiver:
    """A server on loopback that keeps what it is sent and answers as it is told."""

    write: Write
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
            body = await reader.readexactly(int(dict(headers)["content-length"]))
            self.received.append(Received(first.split()[1], headers, body))
            await self.write(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller has hung up, which is what some of these tests are about
        finally:
            writer.close()


@asynccontextmanager
async def receiving(
    answer: bytes | Write = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
) -> AsyncIterator[Receiver]:
    async def write(writer: asyncio.StreamWriter) -> None:
        assert isinstance(answer, bytes)
        writer.write(answer)
        await writer.drain()

    receiver = Receiver(write if isinstance(answer, bytes) else answer)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


def settings(**changes: Any) -> Settings:
    defaults: dict[str, Any] = {
        "http_allow_insecure": True,
        "http_allowed_networks": (ip_network("127.0.0.1/32"),),
        "http_timeout": 5,
        "webhook_secret": SecretStr(SECRET),
    }
    return Settings(**{**defaults, **changes})


async def send(url: str, *, clock: Told | None = None, call: Call = CALL, **http: Any) -> Outcome:
    webhooks = build_webhooks(settings(), clock or Told(), keys=KEYS)
    return await webhooks.send(Http(url=url, **http), call)


def status(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {line}", "Content-Length: 0", *headers, "", ""]).encode("latin-1")
