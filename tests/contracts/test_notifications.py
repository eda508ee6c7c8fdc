"""What a tenant's stream of notifications promises."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from domain.paging import PageRequest
from infra.postgres.database import DatabaseMetrics, open_database
from infra.postgres.notifications import PostgresNotifications
from tests.support.storage import Storage, a_draft, ids
from tests.support.waiting import until

pytestmark = pytest.mark.postgres

TOLD = """
insert into notifications (tenant, seq, id, event_id, kind, title, traceparent)
values ('acme', 1, $1, $2, 'TASK_DUE', 'Water the plants', '')
"""


async def seqs(storage: Storage, tenant: str = "acme") -> list[int]:
    return [one.seq for one in await storage.notifications.after(tenant, 0, 10_000)]


WAITING = """
select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')
"""


async def waits(storage: Storage) -> bool:
    """Whether someone waits for a lock."""
    async with storage.database.work("test") as connection:
        return bool(await connection.fetchval(WAITING))


async def test_places_have_no_gaps_whoever_writes_at_once(storage: Storage) -> None:
    batches = [[a_draft() for _ in range(7)] + [a_draft(tenant="other")] for _ in range(12)]
    told = await asyncio.gather(*(storage.notifications.add(batch) for batch in batches))
    assert all(tenants == {"acme", "other"} for tenants in told)
    assert await seqs(storage) == list(range(1, 85))
    assert await seqs(storage, "other") == list(range(1, 13))
    assert await storage.notifications.last_seq("acme") == 84


async def test_an_event_delivered_again_is_told_once(storage: Storage) -> None:
    batch = [a_draft(), a_draft()]
    await asyncio.gather(*(storage.notifications.add([*batch, *batch]) for _ in range(6)))
    assert await storage.notifications.add(batch) == frozenset()
    assert await seqs(storage) == [1, 2]


async def test_whoever_waits_for_another_sees_what_that_one_told(storage: Storage) -> None:
    draft = a_draft()
    other = await asyncpg.connect(storage.url)
    await other.execute("begin; insert into notification_streams (tenant, last_seq) values ('acme', 1)")
    await other.execute(TOLD, draft.id, draft.event_id)
    async with asyncio.TaskGroup() as group:
        adding = group.create_task(storage.notifications.add([draft, a_draft()]))
        await until(lambda: waits(storage))
        await other.execute("commit")
    await other.close()
    assert await adding == {"acme"}
    assert await seqs(storage) == [1, 2]


async def test_what_cannot_be_added_leaves_nothing_behind(storage: Storage) -> None:
    with pytest.raises(asyncpg.NotNullViolationError):
        await storage.notifications.add([a_draft(), a_draft(tenant="new", title=None)])
    async with storage.database.work("test") as connection:
        assert await connection.fetch("select from notification_streams") == []
    await storage.notifications.add([a_draft()])
    assert await seqs(storage) == [1]


async def test_adding_takes_one_round_trip(storage: Storage) -> None:
    queries: list[str] = []
    metrics = DatabaseMetrics(CollectorRegistry())
    async with open_database(storage.url, size=1, limit=5, metrics=metrics) as database:
        notifications = PostgresNotifications(database)
        await notifications.add([a_draft()])  # the first time the client asks about types as well
        async with database.work("test") as connection:
            connection.add_query_logger(lambda query: queries.append(query.query))
        await notifications.add([a_draft(), a_draft(tenant="other")])
    assert len(queries) == 1


async def test_a_reader_never_sees_a_place_before_the_one_below_it(storage: Storage) -> None:
    """Commit order is cursor order: what a reader has passed never fills up later."""
    writing = asyncio.gather(*(storage.notifications.add([a_draft()]) for _ in range(60)))
    last = 0
    while not writing.done() or last < 60:
        for one in await storage.notifications.after("acme", last, 1000):
            assert one.seq == last + 1
            last = one.seq
    await writing


async def test_one_owners_stream_is_the_same_stream_filtered(storage: Storage) -> None:
    await storage.notifications.add([a_draft(owner="ann"), a_draft(owner="bob"), a_draft(owner="ann")])
    page = await storage.notifications.page("acme", PageRequest(), owner="ann")
    assert [one.seq for one in page.items] == [1, 3]
    assert await storage.notifications.unread_count("acme", "ann") == 2


async def test_pages_go_both_ways(storage: Storage) -> None:
    await storage.notifications.add([a_draft() for _ in range(5)])
    first = await storage.notifications.page("acme", PageRequest(size=2))
    assert ([one.seq for one in first.items], first.has_next, first.has_previous) == ([1, 2], True, False)
    after = await storage.notifications.page("acme", PageRequest(size=3, after=2))
    assert ([one.seq for one in after.items], after.has_next, after.has_previous) == ([3, 4, 5], False, True)
    last = await storage.notifications.page("acme", PageRequest(size=2, backwards=True))
    assert ([one.seq for one in last.items], last.has_next, last.has_previous) == ([4, 5], False, True)


async def test_notifications_are_marked_read_once(storage: Storage) -> None:
    drafts = [a_draft(owner="ann"), a_draft(owner="bob"), a_draft()]
    await storage.notifications.add(drafts)
    store = storage.notifications
    assert await store.mark_read("other", up_to=3) == 0
    assert await store.mark_read("acme", ids=[drafts[0].id, drafts[1].id], owner="ann") == 1
    assert await store.mark_read("acme", up_to=2) == 1
    assert await store.mark_read("acme", up_to=2) == 0
    assert await store.unread_count("acme") == 1
    page = await store.page("acme", PageRequest(), unread_only=True)
    assert [one.seq for one in page.items] == [3]


async def test_a_backlog_larger_than_a_batch_is_marked_whole(storage: Storage) -> None:
    await storage.notifications.add([a_draft() for _ in range(4_500)])
    assert await storage.notifications.mark_read("acme", up_to=4_400) == 4_400
    assert await storage.notifications.unread_count("acme") == 100


async def test_notifications_are_found_by_id_and_by_task_for_their_tenant_alone(storage: Storage) -> None:
    draft = a_draft(task_id=ids.next())
    await storage.notifications.add([draft, a_draft(task_id=draft.task_id), a_draft()])
    assert draft.task_id is not None
    ((first, second), none) = await storage.notifications.of_tasks("acme", [draft.task_id, ids.next()], 10)
    assert (first.seq, second.seq, none) == (1, 2, [])
    assert [one.seq for one in (await storage.notifications.of_tasks("acme", [draft.task_id], 10, 1))[0]] == [2]
    assert await storage.notifications.of_tasks("other", [draft.task_id], 10) == [[]]
    assert await storage.notifications.find("acme", [ids.next(), draft.id]) == [None, first]
    assert await storage.notifications.find("other", [draft.id]) == [None]
