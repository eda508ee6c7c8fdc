"""What the outbox promises its relays."""

from __future__ import annotations

import pytest

from domain.contracts.tasks import TaskChangedV1
from domain.errors import Unavailable
from tests.support.storage import TRACEPARENT, Storage, a_task, due_in

pytestmark = pytest.mark.postgres


async def test_an_event_is_what_the_contract_says(storage: Storage) -> None:
    task = due_in(60, owner="ann", labels=(("a", "1"),))
    await storage.added(task)
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        (pending,) = await lead.oldest(10)
    event = pending.event
    assert TaskChangedV1.from_wire(event.to_wire()) == event
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
        "update outbox set event = jsonb_set(event, '{scheduled_at}', '\"infinity\"') "
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
