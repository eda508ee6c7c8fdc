"""A whole Carillon on the real servers: as many of each process as a test wants, shared with nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import asyncpg

from tests.support.ledger import VARIABLE, Ledger
from tests.support.processes import ROOT, Process, free_port, process, until_ready
from tests.support.services import RABBIT, REDIS, fresh_database, fresh_namespace
from tests.support.tcp_proxy import TcpProxy, open_proxy
from tests.support.waiting import until

KINDS = ("api", "worker", "scheduler", "relay", "notifier")
START_SECONDS = 60.0
PASSWORD = "hunter2-of-the-tests"
HANDLERS = "examples.handlers,tests.support.ledger_handlers"
SHORT_LEASES = {
    "CARILLON_LEASE": "3",
    "CARILLON_HEARTBEAT": "1",
    "CARILLON_LEASE_MARGIN": "0.5",
    "CARILLON_RESCUE_INTERVAL": "0.5",
    "CARILLON_HANDOVER_TIMEOUT": "3",
    "CARILLON_BREAKER_RESET": "3",
}
"""So that what takes up to forty seconds in production takes four."""


@dataclass(frozen=True, slots=True)
class Member:
    """One running process of an installation."""

    kind: str
    process: Process
    address: str
    """Of an API; else empty."""

    @property
    def pid(self) -> int:
        return self.process.running.pid

    @property
    def runs(self) -> bool:
        return self.process.running.returncode is None


class Installation:
    def __init__(
        self, environment: dict[str, str], folder: Path, database: asyncpg.Pool, stack: AsyncExitStack
    ) -> None:
        self.environment = environment
        self._folder = folder
        self._stack = stack
        self._started = 0
        self.namespace = environment["CARILLON_NAMESPACE"]
        self.database = database
        """To look at what is stored, past every proxy."""
        self.ledger = Ledger(folder / "ledger")
        self.members: list[Member] = []
        """Everything that was ever started, in that order."""

    async def start(self, *kinds: str) -> list[Member]:
        """Returns once each of them does its part."""
        return list(await asyncio.gather(*(self.start_one(kind) for kind in kinds)))

    def of(self, kind: str) -> list[Member]:
        """Those that run."""
        return [member for member in self.members if member.kind == kind and member.runs]

    @property
    def api(self) -> str:
        """The address of the API that has run longest."""
        return self.of("api")[0].address

    async def kill(self, member: Member) -> None:
        member.process.kill()
        await member.process.ended()

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self.database.fetchval(query, *arguments)

    async def worker_of(self, task: str, seconds: float = 15) -> Member:
        """The member that runs this task (an id as the database has it), as soon as one does."""
        query = "select w.name from workers w join tasks t on t.worker_id = w.id where t.id = $1"

        async def runs() -> bool:
            return await self.value(query, task) is not None

        await until(runs, seconds)
        name: str = await self.value(query, task)
        return next(one for one in self.of("worker") if name.endswith(f":{one.pid}"))

    async def token(self, *arguments: str) -> str:
        """A new one, as `carillon tokens create` says it."""
        said = await self.command("tokens", "create", "--name", "a test", *arguments)
        return next(line for line in reversed(said.splitlines()) if line.startswith("crl_"))

    async def command(self, *words: str) -> str:
        """What `carillon <words>` says; it must succeed."""
        log = self._folder / "command.log"
        log.unlink(missing_ok=True)
        async with process(*words, log=log, environment=self.environment) as running:
            assert await running.ended() == 0, running.said()
            return running.said()

    async def quiet(self, seconds: float = 30) -> None:
        """Until nothing is due, handed over, running, or still to be told."""

        async def is_quiet() -> bool:
            busy = "select count(*) from tasks where state in ('QUEUED', 'RUNNING') or (state in "
            busy += "('SCHEDULED', 'RETRYING') and scheduled_at <= now())"
            return not await self.value(busy) and not await self.value("select count(*) from outbox")

        await until(is_quiet, seconds)

    def said(self) -> str:
        """The logs of all of them."""
        return "\n".join(member.process.said() for member in self.members)

    async def start_one(
        self, kind: str, *, module: str = "api.cli", root: str = str(ROOT), **settings: str
    ) -> Member:
        """With settings of its own, from another entry than the command line's, or of another version."""
        self._started += 1
        log = self._folder / f"{self._started:02}-{kind}.log"
        port = free_port() if kind == "api" else 0
        running = await self._stack.enter_async_context(
            process(
                kind,
                log=log,
                environment=self.environment | settings,
                module=module,
                root=root,
                arguments=("--port", str(port)) if port else (),
            )
        )
        member = Member(kind, running, f"http://127.0.0.1:{port}" if port else "")
        self.members.append(member)
        if port:
            await until_ready(member.address, running)
        else:
            await until(lambda: self._has_begun(member), START_SECONDS)
        return member

    async def _has_begun(self, member: Member) -> bool:
        if not member.runs:
            raise AssertionError(f"{member.kind} ended: {member.process.said()}")
        if member.kind == "worker":
            live = "select count(*) from workers where name like $1 and lease_until > now()"
            return bool(await self.value(live, f"%:{member.pid}"))
        return f"{member.kind} runs" in member.process.said()


@dataclass(frozen=True, slots=True)
class Proxies:
    """The servers as the processes of an installation reach them."""

    postgres: TcpProxy
    redis: TcpProxy
    rabbit: TcpProxy

    async def accept(self) -> None:
        for proxy in (self.postgres, self.redis, self.rabbit):
            await proxy.accept()


@asynccontextmanager
async def open_installation(
    server: str, template: str, folder: Path, *members: str, **settings: str
) -> AsyncIterator[Installation]:
    """On a copy of `template`, with these members started. Afterwards all are gone, and told no secret."""
    async with _places(server, template) as (database_url, namespace), by_tcp(database_url) as reachable:
        urls = Urls(reachable, REDIS.url, RABBIT.url)
        async with _installed(urls, database_url, namespace, folder, settings) as installation:
            await installation.start(*members)
            yield installation


@asynccontextmanager
async def open_behind_proxies(
    server: str, template: str, folder: Path, *members: str, **settings: str
) -> AsyncIterator[tuple[Installation, Proxies]]:
    """The same, with every connection of every member through proxies."""
    async with (
        _places(server, template) as (database_url, namespace),
        open_proxy(database_url) as postgres,
        open_proxy(REDIS.url) as redis,
        open_proxy(RABBIT.url) as rabbit,
    ):
        urls = Urls(postgres.url, redis.url, rabbit.url)
        proxies = Proxies(postgres, redis, rabbit)
        async with _installed(urls, database_url, namespace, folder, settings) as installation:
            await installation.start(*members)
            try:
                yield installation, proxies
            finally:
                await proxies.accept()


@dataclass(frozen=True, slots=True)
class Urls:
    database: str
    redis: str
    amqp: str


@asynccontextmanager
async def _places(server: str, template: str) -> AsyncIterator[tuple[str, str]]:
    async with (
        fresh_database(server, template) as database_url,
        fresh_namespace(redis_url=REDIS.url, amqp_url=RABBIT.url) as namespace,
    ):
        yield database_url, namespace


@asynccontextmanager
async def by_tcp(database_url: str) -> AsyncIterator[str]:
    """A server of our own has a socket file alone, which processes on services do not take."""
    if urlsplit(database_url).hostname:
        yield database_url
        return
    async with open_proxy(database_url) as proxy:
        yield proxy.url


@asynccontextmanager
async def _installed(
    urls: Urls, direct: str, namespace: str, folder: Path, settings: dict[str, str]
) -> AsyncIterator[Installation]:
    environment = {
        "CARILLON_DATABASE_URL": _with_password(urls.database, "postgres"),
        "CARILLON_REDIS_URL": _with_password(urls.redis, "default"),
        "CARILLON_AMQP_URL": urls.amqp,
        "CARILLON_NAMESPACE": namespace,
        "CARILLON_HANDLERS": HANDLERS,
        "CARILLON_DATABASE_POOL": "4",  # the server has a hundred connections for all of them
        "CARILLON_API_UNNOTICED_LATENCY": "10",  # how busy this machine is shall turn nobody away
        VARIABLE: str(folder / "ledger"),
    } | settings
    async with asyncpg.create_pool(direct, min_size=1, max_size=4) as database, AsyncExitStack() as stack:
        installation = Installation(environment, folder, database, stack)
        try:
            yield installation
        finally:
            await _stop_all(installation)
    said = installation.said()
    told = [secret for secret in _secrets(environment) if secret in said]
    assert not told, f"secrets in the logs: {told}"


async def _stop_all(installation: Installation) -> None:
    await asyncio.gather(*(member.process.stop() for member in installation.members if member.runs))


def _secrets(environment: dict[str, str]) -> set[str]:
    found = {value for name, value in environment.items() if "SECRET" in name or "KEYS" in name}
    for name in ("CARILLON_DATABASE_URL", "CARILLON_REDIS_URL", "CARILLON_AMQP_URL"):
        url = urlsplit(environment[name])
        found.add(f"{url.username}:{url.password}@")
        if url.password == PASSWORD:
            found.add(PASSWORD)
    return found


def _with_password(url: str, user: str) -> str:
    """A server that trusts us takes any: something to look for in the logs."""
    parts: SplitResult = urlsplit(url)
    if parts.password:
        return url
    _, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{parts.username or user}:{PASSWORD}@{place}").geturl()
