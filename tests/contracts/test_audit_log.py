"""The audit log: what is begun is there at once, and stays without an end when nobody comes to say it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from domain.audit.model import Begun, Ended, Outcome
from domain.errors import Unavailable, Unprepared
from domain.paging import PageRequest
from domain.tenancy.model import Caller, Role
from infra.background import background
from infra.postgres import audit_log as module
from infra.postgres.audit_log import PostgresAuditLog, open_audit_log
from tests.support.storage import Storage, ids
from tests.support.waiting import until

pytestmark = pytest.mark.postgres

ALICE = Caller(tenant="acme", role=Role.EDITOR, owner="alice", credential="crl_abcdefgh")


def a_begin(caller: Caller = ALICE, operation: str = "cancelTask") -> Begun:
    return Begun(id=ids.next(), caller=caller, operation=operation, trace_id="a" * 32)


async def operations(storage: Storage, tenant: str = "acme", **request: Any) -> list[str]:
    page = await storage.audit_log.page(tenant, PageRequest(**request))
    return [entry.operation for entry in page.items]


async def test_what_is_begun_is_there_with_who_and_in_which_trace(storage: Storage) -> None:
    begun = a_begin()
    await storage.audit_log.begin(begun)
    [entry] = (await storage.audit_log.page("acme", PageRequest())).items
    assert (entry.id, entry.operation, entry.trace_id) == (begun.id, "cancelTask", "a" * 32)
    assert (entry.credential, entry.role, entry.owner) == ("crl_abcdefgh", Role.EDITOR, "alice")
    assert entry.ended is None


@pytest.mark.parametrize(
    "ended",
    [
        Ended(outcome=Outcome.DONE, ids=("T1", "T2"), count=2),
        Ended(outcome=Outcome.REFUSED, code="NOT_FOUND", ids=("a\x00b\ud800",)),
    ],
)
async def test_how_it_ended_is_told_whatever_was_asked_for(storage: Storage, ended: Ended) -> None:
    begun = a_begin()
    await storage.audit_log.begin(begun)
    storage.audit_log.end(begun, ended)
    assert await storage.audit_log.end_once() == 1
    [entry] = (await storage.audit_log.page("acme", PageRequest())).items
    assert entry.ended == ended


async def test_pages_are_the_latest_first_and_one_tenants(storage: Storage) -> None:
    for number in range(5):
        await storage.audit_log.begin(a_begin(operation=f"n{number}"))
    await storage.audit_log.begin(a_begin(Caller(tenant="other"), "theirs"))
    first = await storage.audit_log.page("acme", PageRequest(size=2))
    assert [entry.operation for entry in first.items] == ["n4", "n3"]
    assert first.has_next
    assert await operations(storage, after=first.items[-1].id) == ["n2", "n1", "n0"]
    assert await operations(storage, "other") == ["theirs"]


async def test_of_many_at_once_each_is_written_in_few_statements(storage: Storage) -> None:
    begun = [a_begin(operation=f"n{number}") for number in range(50)]
    async with storage.database.work("test") as connection:
        async with asyncio.TaskGroup() as group:
            for each in begun:
                group.create_task(storage.audit_log.begin(each))
        statements = await connection.fetchval("select count(distinct xmin::text) from audit_log")
    assert sorted(await operations(storage, size=60)) == sorted(each.operation for each in begun)
    assert statements <= 2


async def test_one_that_cannot_be_written_is_told_to_all_who_were_in_its_statement(storage: Storage) -> None:
    await storage.execute("alter table audit_log rename to gone")
    told = await asyncio.gather(*(storage.audit_log.begin(a_begin()) for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in told] == [Unprepared] * 5
    await storage.execute("alter table gone rename to audit_log")
    await storage.audit_log.begin(a_begin())
    assert await operations(storage) == ["cancelTask"]


WAITING = "select count(*) from pg_locks where relation = 'audit_log'::regclass and not granted"


async def test_who_leaves_takes_nobody_elses_entry_along(storage: Storage) -> None:
    async with asyncio.TaskGroup() as group, storage.database.transaction("test") as connection:
        await connection.execute("lock table audit_log in exclusive mode")
        leaving = [group.create_task(storage.audit_log.begin(a_begin())) for _ in range(2)]
        for _ in range(5):
            group.create_task(storage.audit_log.begin(a_begin(Caller(tenant="other"), "theirs")))
        for one in leaving:
            await until(lambda: connection.fetchval(WAITING))
            one.cancel()
            await asyncio.wait([one])
    assert await operations(storage, "other") == ["theirs"] * 5


async def test_ends_are_written_after_an_outage_and_when_it_is_closed(storage: Storage) -> None:
    done = Ended(outcome=Outcome.DONE, count=1)
    async with open_audit_log(storage.database, CollectorRegistry()) as audit_log:
        first, second = a_begin(), a_begin()
        await audit_log.begin(first)
        await audit_log.begin(second)
        await storage.execute("alter table audit_log rename to gone")
        audit_log.end(first, done)
        with pytest.raises(Unavailable):
            await audit_log.end_once()
        await storage.execute("alter table gone rename to audit_log")
        audit_log.end(second, done)
    assert [entry.ended for entry in (await storage.audit_log.page("acme", PageRequest())).items] == [done] * 2


NOT_NOTED = "carillon_audit_ends_not_noted_total"
DONE = Ended(outcome=Outcome.DONE)


async def test_ends_beyond_those_that_may_wait_are_counted_and_said_once_for_each_outage(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    registry = CollectorRegistry()
    async with background() as writers:
        audit_log = PostgresAuditLog(storage.database, registry, writers)
        for outage in (1, 2):
            for _ in range(5):
                await audit_log.begin(begun := a_begin())
                audit_log.end(begun, DONE)
            assert registry.get_sample_value(NOT_NOTED) == 3 * outage
            assert caplog.text.count("ends of mutations are not noted") == outage
            assert await audit_log.end_once() == 2
        entries = (await audit_log.page("acme", PageRequest())).items
        assert [entry.ended for entry in entries].count(DONE) == 4, "the others are told without their end"


async def test_ends_that_cannot_be_written_when_it_is_closed_are_counted(storage: Storage) -> None:
    registry = CollectorRegistry()
    async with open_audit_log(storage.database, registry) as audit_log:
        await audit_log.begin(begun := a_begin())
        await storage.execute("alter table audit_log rename to gone")
        audit_log.end(begun, DONE)
    assert registry.get_sample_value(NOT_NOTED) == 1


async def test_entries_go_when_they_are_old(storage: Storage) -> None:
    for operation in ("old", "young"):
        await storage.audit_log.begin(a_begin(operation=operation))
    await storage.execute("update audit_log set at = at - interval '2 days' where operation = 'old'")
    assert await storage.retention.prune_audit_log(timedelta(days=1), 10) == 1
    assert await operations(storage) == ["young"]


async def test_a_tenant_reads_its_entries_and_writes_none(storage: Storage) -> None:
    await storage.audit_log.begin(a_begin())
    with pytest.raises(Unavailable) as refused:
        async with storage.database.work("test", "acme") as connection:
            await connection.execute("delete from audit_log")
    assert isinstance(refused.value.__cause__, asyncpg.InsufficientPrivilegeError)
