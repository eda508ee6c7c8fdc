"""The servers tests use: found where the environment or custom says, or told how to start."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import redis.asyncio

from infra.embedded_postgres import open_embedded_postgres

REQUIRED = os.environ.get("CARILLON_REQUIRE_SERVICES") == "1"
"""Whether a test that finds no server fails, instead of being reported as not run."""


@dataclass(frozen=True)
class Service:
    """A kind of server, and the one of it that tests use."""

    name: str
    marker: str
    variable: str
    default: str
    package: str
    """What Debian and Ubuntu call it."""

    @property
    def url(self) -> str:
        return os.environ.get(self.variable) or self.default

    @cached_property
    def missing(self) -> str | None:
        """Why no test can use it, and what to do; None when it answers."""
        place = urlsplit(self.url)
        try:
            socket.create_connection((place.hostname, place.port), timeout=2).close()
        except OSError:
            return (
                f"no {self.name} answers at {place.hostname}:{place.port}: "
                f"start one (on Debian and Ubuntu: apt-get install {self.package}) or set {self.variable}"
            )
        return None


POSTGRES = Service(
    "PostgreSQL",
    "postgres",
    "CARILLON_DATABASE_URL",
    "postgresql://postgres@127.0.0.1:5432/postgres",
    package="postgresql",
)
REDIS = Service("Redis", "redis", "CARILLON_REDIS_URL", "redis://127.0.0.1:6379", package="redis-server")
RABBIT = Service(
    "RabbitMQ",
    "rabbit",
    "CARILLON_AMQP_URL",
    "amqp://guest:guest@127.0.0.1:5672/",
    package="rabbitmq-server",
)


@asynccontextmanager
async def open_postgres() -> AsyncIterator[str]:
    """The URL of a server: the configured one, else the local one if it lets us in, else one of our own."""
    if os.environ.get(POSTGRES.variable) or await _lets_us_in(POSTGRES.url):
        yield POSTGRES.url
        return
    with tempfile.TemporaryDirectory(prefix="carillon-test-") as home:
        async with open_embedded_postgres(Path(home)) as url:
            yield url


@asynccontextmanager
async def fresh_database(
    server: str, template: str | None = None, fill: Callable[[str], Awaitable[None]] | None = None
) -> AsyncIterator[str]:
    """The URL of a database of its own on the server: a copy of `template`, then filled; dropped at the end."""
    url = await make_database(server, template)
    try:
        if fill is not None:
            await fill(url)
        yield url
    finally:
        await drop_database(server, url)


async def make_database(server: str, template: str | None = None) -> str:
    """Its URL."""
    name = f"carillon_test_{secrets.token_hex(6)}"
    await _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template or "template1"}"')
    return urlsplit(server)._replace(path=f"/{name}").geturl()


async def drop_database(server: str, url: str) -> None:
    """Whoever is still connected to it."""
    await _execute(server, f'DROP DATABASE "{database_name(url)}" WITH (FORCE)')


def database_name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


@asynccontextmanager
async def fresh_namespace(*, redis_url: str | None = None, amqp_url: str | None = None) -> AsyncIterator[str]:
    """A namespace nobody else uses; what it leaves in these servers is removed at the end."""
    name = f"test-{secrets.token_hex(6)}"
    try:
        yield name
    finally:
        if redis_url is not None:
            await remove_keys(redis_url, name)
        if amqp_url is not None:
            await remove_queues(amqp_url, name)


async def remove_keys(redis_url: str, namespace: str) -> None:
    """Remove every key that starts with the namespace."""
    async with redis.asyncio.from_url(redis_url) as client:
        async for key in client.scan_iter(match=f"{namespace}*", count=1000):
            await client.delete(key)


async def remove_queues(amqp_url: str, namespace: str) -> None:
    """Remove what the adapters declare. AMQP cannot list names, so these are all there may be."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for queue in ("tasks", "tasks.DQ", "tasks.XQ", "notifier", "notifier.dead"):
            await channel.queue_delete(f"{namespace}.{queue}")
        for exchange in ("events", "signals", "dead"):
            await channel.exchange_delete(f"{namespace}.{exchange}")


async def _lets_us_in(url: str) -> bool:
    try:
        await _execute(url, "SELECT")
    except (OSError, asyncpg.PostgresError):
        return False
    return True


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def report() -> bool:
    """Say of each server whether it answers. True if all do."""
    for service in (POSTGRES, REDIS, RABBIT):
        print(service.missing or f"{service.name} answers")
    return all(service.missing is None for service in (POSTGRES, REDIS, RABBIT))


if __name__ == "__main__":
    raise SystemExit(not report())
