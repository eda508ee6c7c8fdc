"""PostgreSQL and Redis of the tests' own, killed under load: what was acknowledged is there, and done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import httpx2
import pytest
import redis.asyncio

from infra.postgres.migrate import migrate
from tests.support.asking import create_many, run
from tests.support.experiments import Experiment
from tests.support.graphql_client import GraphQLErrors, HttpClient, http_client
from tests.support.installation import KINDS, SHORT_LEASES, open_behind_proxies, open_installation
from tests.support.own_postgres import own_postgres
from tests.support.processes import free_port
from tests.support.services import database_name, fresh_database
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

LOAD_SECONDS = 4.0
ANSWER_SECONDS = 2.5


@asynccontextmanager
async def load(client: HttpClient, experiment: Experiment) -> AsyncIterator[None]:
    """Tasks are made all the time; those count that were acknowledged."""

    async def make() -> None:
        while True:
            with suppress(GraphQLErrors, httpx2.TransportError):
                task = {"title": "Work", "action": run("work", seconds=0.05)}
                experiment.accept(await create_many(client, [task] * 5))
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        making = group.create_task(make())
        yield
        making.cancel()


@pytest.mark.long
@pytest.mark.fault(6, "PostgreSQL of its own, under load; leases of 3 s")
@pytest.mark.parametrize("how", ["restarted", "killed"])
async def test_what_postgresql_acknowledged_survives_it(
    tmp_path: Path, experiment: Experiment, how: str
) -> None:
    async with (
        own_postgres() as (server, url),
        fresh_database(url, fill=migrate) as template,
        open_behind_proxies(url, database_name(template), tmp_path, *KINDS, **SHORT_LEASES) as (
            installation,
            _,
        ),
        http_client(installation.api) as client,
    ):
        async with load(client, experiment):
            await asyncio.sleep(LOAD_SECONDS / 2)
            before = len(experiment.accepted)
            if how == "killed":
                server.kill()
            experiment.broken()
            await server.stop()
            assert await server.start() == url
            await installation.database.expire_connections()
            await until(lambda: len(experiment.accepted) > before + 20, 30)
            experiment.recovered()
            await asyncio.sleep(LOAD_SECONDS / 2)
        await experiment.check(installation)
        assert all(member.runs for member in installation.members), "none had to be restarted"


@asynccontextmanager
async def own_redis() -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with redis.asyncio.from_url(f"redis://127.0.0.1:{port}") as client:

            async def answers() -> bool:
                with suppress(redis.exceptions.ConnectionError):
                    return bool(await client.ping())
                return False

            await until(answers, 10)
        yield f"redis://127.0.0.1:{port}", server
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


@pytest.mark.long
@pytest.mark.fault(15, "Redis of its own, under load: emptied again and again, then killed")
async def test_what_redis_forgets_is_missed_by_nobody(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    async with (
        own_redis() as (url, server),
        open_installation(
            postgres_server, migrated, tmp_path, *KINDS, **SHORT_LEASES, CARILLON_REDIS_URL=url
        ) as installation,
        http_client(installation.api) as client,
    ):
        async with load(client, experiment):
            await empty_again_and_again(url)
            server.kill()
            experiment.broken()
            before = len(experiment.accepted)
            await until(lambda: len(experiment.accepted) > before + 50, 20)
            experiment.recovered()
            await asyncio.sleep(LOAD_SECONDS / 2)
        await experiment.check(installation)
        assert experiment.row.repeated == 0


async def empty_again_and_again(url: str) -> None:
    async with redis.asyncio.from_url(url) as own:
        for _ in range(10):
            await own.flushall()
            await asyncio.sleep(LOAD_SECONDS / 20)


@pytest.mark.long
@pytest.mark.fault(10, "every connection of PostgreSQL of its own taken for 3 s; leases of 3 s")
async def test_without_a_connection_to_be_had_clients_are_told_and_later_all_goes_on(
    tmp_path: Path, experiment: Experiment
) -> None:
    async with (
        own_postgres() as (_, url),
        fresh_database(url, fill=migrate) as template,
        open_behind_proxies(url, database_name(template), tmp_path, *KINDS, **SHORT_LEASES) as opened,
        http_client(opened[0].api) as client,
    ):
        installation, proxies = opened
        async with load(client, experiment):
            await until(lambda: len(experiment.accepted) > 20, 20)
            async with every_connection_taken(url, proxies.postgres):
                experiment.broken()
                began = time.monotonic()
                answer = await client.post("{ tasks(first: 1) { nodes { id } } }")
                assert time.monotonic() - began < ANSWER_SECONDS
                assert answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE
                await asyncio.sleep(3)
            before = len(experiment.accepted)
            await until(lambda: len(experiment.accepted) > before + 20, 30)
            experiment.recovered()
        await experiment.check(installation)


@asynccontextmanager
async def every_connection_taken(url: str, proxy: TcpProxy) -> AsyncIterator[None]:
    """Those too that others had, and come back for."""
    async with AsyncExitStack() as stack:
        for _ in range(3):
            with suppress(asyncpg.TooManyConnectionsError):
                while True:
                    taken = await asyncpg.connect(url)
                    stack.push_async_callback(taken.close)
            proxy.cut()
        yield
