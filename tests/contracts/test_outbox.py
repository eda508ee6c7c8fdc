"""What the outbox promises its relays."""

from __future__ import annotations

import json

import pytest

from domain.contracts.tasks import TaskChangedV1
from domain.errors import Unavailable
from infra.live.event_reading import read_task_changed
from infra.postgres.outbox import LOCK_SPACE, PostgresOutboxLead
from tests.support.storage import TRACEPARENT, Storage, a_task, due_in
from tests.support.waiting import until

pytestmark = pytest.mark.postgres

AN_UPDATE = """
with changed as (update tasks as t set version = version + 1 returning t as task)
insert into outbox (partition, event)
select outbox_partition((task).id), task_changed_v1(task, 'UPDATED') from changed
"""


async def test_an_event_is_what_the_contract_says(storage: Storage) -> None:
    task = due_in(60, owner="ann", labels=(("a", "1"),))
    await storage.added(task)
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        (pending,) = await lead.oldest(10)
    event = pending.event
    assert isinstance(event, TaskChangedV1)
    assert read_task_changed(json.dumps(event.to_wire())) == read_task_changed(pending.text) == event
    assert (event.task_id, event.version, event.tenant, event.owner) == (task.id, 1, "acme", "ann")
    assert (event.title, event.body, event.labels) == (task.title, "The ferns too", task.labels)
    assert (event.scheduled_at, event.traceparent) == (task.scheduled_at, TRACEPARENT)


async def test_a_partition_has_one_lead_and_passes_on_when_it_ends(storage: Storage) -> None:
    await storage.added(*(a_task() for _ in range(20)))
    async with storage.outbox.lead() as standby:
        async with storage.outbox.lead() as first:
            assert await first.acquire() == 8
            assert await standby.acquire() == 0
            assert len(await first.oldest(100)) == 20
            assert await standby.oldest(100) == []
        assert await standby.acquire() == 8
        assert len(await standby.oldest(100)) == 20


async def test_a_lead_whose_connection_is_cut_says_so_and_is_free_again(storage: Storage) -> None:
    async with storage.outbox.lead() as cut:
        await cut.acquire()
        await storage.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and "
            "database = (select oid from pg_database where datname = current_database())"
        )
        with pytest.raises(Unavailable):
            await cut.oldest(10)
    async with storage.outbox.lead() as next_:
        assert await next_.acquire() == 8


async def test_what_cannot_be_read_is_set_aside_and_holds_up_nothing(storage: Storage) -> None:
    bad, good = await storage.added(a_task(), a_task())
    await storage.execute(
        "update outbox set event = jsonb_set(event::jsonb, '{scheduled_at}', '\"infinity\"')::json "
        "where event->>'task_id' = $1",
        str(bad),
    )
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        for _ in range(2):
            [one] = await lead.oldest(10)
            assert one.event.event_id == f"{good}:1"
    assert (await storage.outbox.depth())[0] == 1


async def test_only_what_is_removed_is_gone(storage: Storage) -> None:
    await storage.added(*(a_task() for _ in range(5)))
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        pending = await lead.oldest(3)
        await lead.remove([one.seq for one in pending])
        assert len(await lead.oldest(100)) == 2
    depth, age = await storage.outbox.depth()
    assert depth == 2
    assert age >= 0


async def test_what_was_confirmed_is_removed_by_the_next_look(storage: Storage) -> None:
    await storage.added(*(a_task() for _ in range(5)))
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        assert [one.seq for one in await lead.oldest(2)] == [1, 2]
        assert [one.seq for one in await lead.oldest(2, [1, 2])] == [3, 4]
        assert [one.seq for one in await lead.oldest(10, [4])] == [3, 5]
        assert [one.seq for one in await lead.oldest(10)] == [3, 5]


async def left(lead: PostgresOutboxLead) -> list[int]:
    return [one.seq for one in await lead.oldest(100)]


async def published(lead: PostgresOutboxLead, floor: int) -> None:
    """Everything, and the floor has risen to that place. Whoever writes on the server holds it back."""
    lead.floor.look_seconds = 0

    async def has_risen() -> bool:
        await lead.remove(await left(lead))
        return lead.floor.at == floor

    await until(has_risen, seconds=30)
    await left(lead)  # what it has risen to is kept


async def test_an_event_that_is_committed_late_is_not_passed_over(storage: Storage) -> None:
    """Its place was taken before those of events that are published, and it appears after they are."""
    await storage.added(a_task())
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        await published(lead, 1)
        async with storage.database.transaction("test") as late:
            await late.execute(AN_UPDATE)
            await storage.added(*(a_task() for _ in range(5)))
            assert await left(lead) == [3, 4, 5, 6, 7]
            await lead.remove([3, 4, 5, 6, 7])
            for _ in range(5):
                assert await left(lead) == []
            assert lead.floor.at == 1
        assert await left(lead) == [2]
        await published(lead, 7)


async def test_the_first_event_ever_is_not_passed_over(storage: Storage) -> None:
    """A sequence that is not used yet names the place it will give out first."""
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        lead.floor.look_seconds = 0
        for _ in range(5):
            assert await left(lead) == []
        await storage.added(a_task())
        assert await left(lead) == [1]


async def test_the_floor_stays_below_what_is_not_published(storage: Storage) -> None:
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        await storage.added(*(a_task() for _ in range(5)))
        await lead.remove([1, 2, 4])
        lead.floor.look_seconds = 0

        async def has_risen() -> bool:
            assert await left(lead) == [3, 5]
            return lead.floor.at == 2

        await until(has_risen, seconds=30)
        assert (await storage.outbox.depth())[0] == 2


async def test_who_takes_over_begins_where_the_last_one_left(storage: Storage) -> None:
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        await storage.added(*(a_task() for _ in range(5)))
        await published(lead, 5)
        await storage.added(a_task())
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        assert lead.floor.at == 5
        assert await left(lead) == [6]
        assert (await storage.outbox.depth())[0] == 1


async def test_a_floor_of_another_database_holds_back_nothing(storage: Storage) -> None:
    await storage.added(a_task())
    await storage.execute("insert into outbox_floors select p, 1000 from generate_series(0, 7) as p")
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        assert await left(lead) == [1]


async def test_partitions_taken_later_are_read_from_their_own_floor(storage: Storage) -> None:
    await storage.added(*(a_task() for _ in range(40)))
    async with storage.outbox.lead() as lead:
        async with storage.database.work("test") as other:
            await other.execute(
                "select pg_advisory_lock($1::int, p) from generate_series(0, 3) as p", LOCK_SPACE
            )
            await lead.acquire()
            mine = await left(lead)
            assert 0 < len(mine) < 40
            await published(lead, 40)
            await other.execute("select pg_advisory_unlock_all()")
        await lead.acquire()
        assert len(await left(lead)) == 40 - len(mine)
