"""PostgreSQL itself keeps tenants apart: behind every condition of ours there is its own."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import pytest

from domain.audit.model import Begun
from domain.errors import NotFound, Unavailable
from domain.tasks.listing import TaskFilter
from domain.tenancy.model import Caller
from infra.postgres.tenants import ROLE
from tests.support.schedules import Garden
from tests.support.storage import Storage, a_draft, a_task, due_in, ids

pytestmark = pytest.mark.postgres

WITH_TENANTS = """
select c.relname from pg_class as c join pg_attribute as a on a.attrelid = c.oid
where c.relkind in ('r', 'p') and c.relnamespace = current_schema::regnamespace and not c.relispartition
    and a.attname in ('tenant', 'task_id') and not a.attisdropped
group by 1 order by 1
"""
GRANTED = "select has_table_privilege($1, $2, 'select, insert, update, delete')"


async def fetch(storage: Storage, tenant: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    async with storage.database.work("test", tenant) as connection:
        records: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
    return records


async def names(storage: Storage, statement: str) -> list[str]:
    async with storage.database.work("test") as connection:
        return [record[0] for record in await connection.fetch(statement)]


async def fill(storage: Storage, tenant: str) -> None:
    """Every table that has a tenant's rows has some of this one."""
    worker = await storage.a_worker()
    task = a_task(tenant=tenant, labels=(("of", tenant),), key="one")
    (started,) = await storage.started(worker, task)
    await storage.execute("insert into task_log values ($1, 1, 1, 1, now(), 'It began.')", started.task_id)
    await storage.execute("insert into task_progress values ($1, 1, 0.5, null, now())", started.task_id)
    await storage.execute(
        "insert into attempts select $1, 9, $2, 'FAILED', now(), now(), now(), 'w'", started.task_id, tenant
    )
    await storage.execute("insert into queues (tenant, name) values ($1, 'default')", tenant)
    await storage.notifications.add([a_draft(tenant=tenant, event_id=f"{tenant}:1")])
    await storage.webhook_secrets.add(tenant, ids.next(), None, 9)
    await Garden(storage).add(tenant=tenant)
    await storage.audit_log.begin(
        Begun(id=ids.next(), caller=Caller(tenant=tenant), operation="cancelTask", trace_id="a")
    )


async def test_every_table_with_rows_of_tenants_has_a_policy(storage: Storage) -> None:
    with_policy = await names(
        storage,
        "select relname from pg_class join pg_policy on polrelid = pg_class.oid "
        "where relrowsecurity group by 1 order by 1",
    )
    assert with_policy == await names(storage, WITH_TENANTS)


async def test_days_of_attempts_and_tokens_are_read_by_no_tenant(storage: Storage) -> None:
    days = await names(storage, "select relname from pg_class where relispartition and relkind = 'r'")
    assert len(days) > 1
    for table in [*days, "access_tokens", "alembic_version"]:
        async with storage.database.work("test") as connection:
            assert not await connection.fetchval(GRANTED, ROLE, table), table


async def test_a_statement_without_any_condition_sees_one_tenants_rows_alone(storage: Storage) -> None:
    for tenant in ("one", "two"):
        await fill(storage, tenant)
    for table in await names(storage, WITH_TENANTS):
        if table == "access_tokens":
            continue
        seen = [await fetch(storage, tenant, f"select * from {table}") for tenant in ("one", "two", "three")]
        assert [bool(records) for records in seen] == [True, True, False], table
        assert not set(map(repr, seen[0])) & set(map(repr, seen[1])), table
        for tenant, records in zip(("one", "two"), seen, strict=False):
            assert {record["tenant"] for record in records if "tenant" in record} <= {tenant}, table


async def test_a_connection_that_was_told_of_no_tenant_sees_nothing(storage: Storage) -> None:
    await fill(storage, "one")
    connection = await asyncpg.connect(storage.url, server_settings={"role": ROLE})
    try:
        for table in await names(storage, WITH_TENANTS):
            if table != "access_tokens":
                assert await connection.fetch(f"select * from {table}") == [], table
        assert await connection.fetch("select find_words_v1('one', '''water''', 9)") == []
    finally:
        await connection.close()


async def test_rows_of_another_tenant_are_neither_written_changed_nor_removed(storage: Storage) -> None:
    await fill(storage, "two")
    for insert in (
        "insert into queues (tenant, name) values ('two', 'mine')",
        "insert into lanes (tenant, queue, priority) values ('two', 'mine', 1)",
        "update queues set tenant = 'two'",
    ):
        await fetch(
            storage, "one", "insert into queues (tenant, name) values ('one', 'q') on conflict do nothing"
        )
        with pytest.raises(Unavailable) as refused:
            await fetch(storage, "one", insert)
        assert "row-level security" in str(refused.value.__cause__)
    for change in ("update tasks set title = 'mine'", "delete from tasks", "delete from webhook_secrets"):
        await fetch(storage, "one", change)
    with pytest.raises(Unavailable):
        await storage.tasks.add([a_task(tenant="one"), a_task(tenant="two")])
    assert [task["title"] for task in await fetch(storage, "two", "select title from tasks")] == [
        "Water the plants"
    ]
    assert len(await fetch(storage, "two", "select from webhook_secrets")) == 1


async def test_connections_go_from_tenant_to_tenant_and_show_each_its_own(storage: Storage) -> None:
    for tenant in ("one", "two"):
        await storage.added(*(due_in(60, tenant=tenant, title=f"of {tenant}") for _ in range(3)))
    for tenant in ("one", "two", "one", "three", "two"):
        titles = {record["title"] for record in await fetch(storage, tenant, "select title from tasks")}
        assert titles == ({f"of {tenant}"} if tenant != "three" else set())


async def test_words_are_found_among_ones_own(storage: Storage) -> None:
    (mine,) = await storage.added(due_in(60, tenant="one"))
    await storage.added(due_in(60, tenant="two"))
    assert await storage.tasks.count("one", TaskFilter(search="water"), 9) == 1
    found = await fetch(storage, "one", "select find_words_v1('one', '''water''', 9)")
    assert [record[0] for record in found] == [mine]
    assert await fetch(storage, "one", "select find_words_v1('two', '''water''', 9)") == []


PLANNED = """
select id from tasks where tenant = $1 and {} order by scheduled_at, id limit 10
"""
LABELLED = "select task_id from task_labels where tenant = $1 and name = 'n' and value = 'v'"
DAY = """
select a.* from tasks as t join attempts as a on a.task_id = t.id
    and a.finished_at >= t.created_at - interval '1 hour' and a.finished_at <= t.updated_at + interval '1 hour'
where t.tenant = $1 and t.id = any('{00000000-0000-0000-0000-000000000001}')
"""
LOG = """
select l.* from tasks as t, lateral (
    select * from task_log where task_id = t.id order by fence desc, number desc limit 9
) as l where t.tenant = $1 and t.id = '00000000-0000-0000-0000-000000000001'
"""
PLANS = {
    "tasks_by_due": PLANNED.format("true"),
    "tasks_waiting": PLANNED.format("state in ('SCHEDULED', 'RETRYING')"),
    "tasks_by_queue": PLANNED.format("queue = 'q'"),
    "tasks_by_owner": PLANNED.format("owner = 'alice'"),
    "tasks_by_schedule": PLANNED.format("schedule_id = '00000000-0000-0000-0000-000000000001'"),
    "tasks_key": "select id from tasks where tenant = $1 and key = 'k'",
    "task_labels_pkey": LABELLED,
    "task_log_pkey": LOG,
    "notifications_pkey": "select * from notifications where tenant = $1 and seq > 5 order by seq limit 9",
    "notifications_unread": "select from notifications where tenant = $1 and read_at is null limit 9",
    "attempts_default_pkey": DAY,
}


@pytest.mark.untouched
@pytest.mark.parametrize("index", PLANS)
async def test_policies_keep_no_statement_from_its_index(storage: Storage, index: str) -> None:
    async with storage.database.transaction("test", "one") as connection:
        await connection.execute("set local enable_seqscan = off")
        await connection.execute("set local enable_bitmapscan = off")
        plan = [record[0] for record in await connection.fetch(f"explain {PLANS[index]}", "one")]
    told = "\n".join(plan)
    assert re.search(rf"using {index}\b", told), told
    assert "Index Cond" in told, told


async def test_words_are_found_by_their_index(storage: Storage) -> None:
    scans = "select pg_stat_get_xact_numscans('task_words_words'::regclass)"
    async with storage.database.transaction("test", "one") as connection:
        await connection.execute("set local enable_seqscan = off")
        before = await connection.fetchval(scans)
        await connection.fetch("select find_words_v1('one', $q$'water'$q$, 9)")
        assert await connection.fetchval(scans) == before + 1


async def test_a_foreign_task_is_not_there_to_be_changed(storage: Storage) -> None:
    (theirs,) = await storage.added(due_in(60, tenant="two"))
    with pytest.raises(NotFound):
        await storage.tasks.delete("one", theirs)
