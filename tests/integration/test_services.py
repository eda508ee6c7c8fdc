"""Tests get servers and places of their own, leave nothing behind, and say which of them were not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import aio_pika
import asyncpg
import pytest
import redis.asyncio
from aio_pika.exceptions import ChannelNotFoundEntity

from tests.support.databases import Databases
from tests.support.services import database_name, fresh_database, fresh_namespace
from tests.support.storage import a_task, open_storage

ROOT = Path(__file__).parents[2]


async def test_a_test_has_a_database_of_its_own_with_our_tables(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("select count(*) from tasks") == 0
    finally:
        await connection.close()


async def test_one_in_which_no_test_was_is_new(databases: Databases) -> None:
    async with databases.lend() as used:
        pass
    async with databases.lend(untouched=True) as new:
        assert new != used


async def test_a_database_that_is_lent_again_is_as_if_nobody_had_used_it(databases: Databases) -> None:
    async with databases.lend() as first, open_storage(first) as storage:
        await storage.started(await storage.a_worker(), *[a_task() for _ in range(3)])
        left_behind = await asyncpg.connect(first)
        await left_behind.execute("begin; lock table tasks")
    async with databases.lend() as second:
        assert second == first
        connection = await asyncpg.connect(second)
        try:
            for table in ("tasks", "task_words", "attempts", "workers", "outbox", "lanes"):
                assert await connection.fetchval(f"select count(*) from {table}") == 0
            assert await connection.fetchval("select nextval('outbox_seq_seq')") == 1
            others = "select count(*) from pg_stat_activity where datname = current_database()"
            assert await connection.fetchval(others) == 1
        finally:
            await connection.close()
    left_behind.terminate()


@pytest.mark.parametrize(
    "statement",
    [
        "alter table tasks rename to gone",
        "alter table lanes add column later integer",
        "drop table access_tokens",
        "drop index task_words_words",
        "grant select on tasks to public",
        "create function later() returns integer language sql as 'select 1'",
        "analyze tasks",
        "update alembic_version set version_num = '0001'",
        "do $$ begin execute format('alter database %I set work_mem = 64', current_database()); end $$",
        "insert into lanes select 'acme', 'q' || n, 5 from generate_series(1, 20000) as n",
    ],
)
async def test_a_database_in_which_more_was_altered_than_rows_is_not_lent_again(
    databases: Databases, statement: str
) -> None:
    async with databases.lend() as first:
        connection = await asyncpg.connect(first)
        await connection.execute(statement)
        await connection.close()
    async with databases.lend() as second:
        assert second != first


async def test_a_fresh_database_is_dropped_though_a_client_is_still_there(postgres_server: str) -> None:
    async with fresh_database(postgres_server) as url:
        client = await asyncpg.connect(url)
    client.terminate()
    server = await asyncpg.connect(postgres_server)
    try:
        assert not await server.fetch("select from pg_database where datname = $1", database_name(url))
    finally:
        await server.close()


@pytest.mark.redis
async def test_a_namespace_takes_its_keys_with_it(redis_url: str) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        async with fresh_namespace(redis_url=redis_url) as name:
            await client.set(f"{name}:key", "value")
        assert not await client.exists(f"{name}:key")


@pytest.mark.rabbit
async def test_a_namespace_takes_its_queues_and_exchanges_with_it(amqp_url: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        async with fresh_namespace(amqp_url=amqp_url) as name:
            channel = await connection.channel()
            await channel.declare_queue(f"{name}.tasks")
            await channel.declare_exchange(f"{name}.events", "topic")
        with pytest.raises(ChannelNotFoundEntity):
            await (await connection.channel()).declare_queue(f"{name}.tasks", passive=True)
        with pytest.raises(ChannelNotFoundEntity):
            await (await connection.channel()).declare_exchange(f"{name}.events", passive=True)


@pytest.mark.parametrize(
    ("variable", "service"), [("CARILLON_REDIS_URL", "Redis"), ("CARILLON_AMQP_URL", "RabbitMQ")]
)
def test_without_a_server_its_tests_are_reported_as_not_run(variable: str, service: str) -> None:
    done = run_namespace_tests({variable: "any://127.0.0.1:1", "CARILLON_REQUIRE_SERVICES": ""})
    assert done.returncode == 0
    assert (
        f"1 not run: no {service} answers at 127.0.0.1:1: start one (on Debian and Ubuntu: apt-get install"
        in done.stdout
    )
    assert f"or set {variable}" in done.stdout


def test_without_a_server_the_run_fails_if_services_are_required() -> None:
    done = run_namespace_tests({"CARILLON_REDIS_URL": "any://127.0.0.1:1", "CARILLON_REQUIRE_SERVICES": "1"})
    assert done.returncode == 1
    assert "no Redis answers at 127.0.0.1:1" in done.stdout


def run_namespace_tests(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-k", "namespace", Path(__file__)),
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
