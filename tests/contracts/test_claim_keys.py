"""Tasks of one concurrency key are claimed one at a time, whatever becomes of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.contracts.tasks import TaskEventKind
from domain.tasks.model import Task
from infra.postgres.claiming import MOST_KEYS
from tests.support.claiming import at_work, done, edit, rows, schedulers, set_queue
from tests.support.storage import Storage, a_task, due_in

pytestmark = pytest.mark.postgres

UPDATED = TaskEventKind.UPDATED


async def test_tasks_of_one_key_are_handed_over_one_at_a_time_in_their_order(storage: Storage) -> None:
    worker = await storage.a_worker(slots=100)
    late, later, urgent = due_in(-9), due_in(-5), due_in(-1, priority=0, queue="other")
    tasks = [replace(task, concurrency_key="k") for task in (later, urgent, late)]
    await storage.added(*tasks)
    for expected in (urgent, late, later):
        assert await storage.claimed(10) == [expected.id]
        assert await storage.claimed(10) == []
        await done(storage, worker, [expected.id])
    assert await storage.due_tasks.next_due_in() is None


async def test_a_walk_over_the_keys_of_what_is_set_aside_is_bounded_and_comes_to_all_of_them(
    storage: Storage,
) -> None:
    keys = MOST_KEYS + 100
    worker = await storage.a_worker(slots=keys)
    for seconds in (-60, -30):
        await storage.added(*(due_in(seconds, concurrency_key=f"k{n:04}") for n in range(keys)))
    first = await storage.claimed(keys)
    assert sum(row["awaits_key"] for row in await rows(storage)) == keys
    # Those at the front stay held: what is free lies behind what one claim walks over.
    held, free = first[:MOST_KEYS], first[MOST_KEYS:]
    await done(storage, worker, free)
    waits = await storage.due_tasks.next_due_in()
    assert waits is not None
    assert waits <= timedelta(0)
    assert await storage.claimed(keys) == []
    claimed = await storage.claimed(keys)
    assert len(claimed) == len(free)
    await done(storage, worker, [*held, *claimed])
    rest = [id for _ in range(4) for id in await storage.claimed(keys)]
    assert len(rest) == len(held)
    await done(storage, worker, rest)
    assert await storage.claimed(keys) == []
    assert await storage.due_tasks.next_due_in() is None


async def test_keys_are_held_apart_by_tenant_and_from_tasks_without_one(storage: Storage) -> None:
    await storage.a_worker(slots=100)
    tasks = [a_task(concurrency_key="k"), a_task(concurrency_key="k", tenant="other"), a_task(), a_task()]
    await storage.added(*tasks, a_task(concurrency_key="k"))
    assert set(await storage.claimed(10)) == {task.id for task in tasks}


async def test_many_schedulers_never_hand_over_two_of_one_key(storage: Storage) -> None:
    worker = await storage.a_worker(slots=200)
    tasks = [due_in(-1, concurrency_key=f"k{n % 5}", queue=f"q{n % 3}") for n in range(60)]
    await storage.added(*tasks)
    many = schedulers(storage, 6)
    left = 60
    while left:
        claims = await asyncio.gather(*(one.claim(10) for one in many))
        claimed = [id for claim in claims for id in claim.ids]
        for number in range(5):
            assert len(await at_work(storage, concurrency_key=f"k{number}")) <= 1
        assert claimed, "something is always free"
        await done(storage, worker, claimed)
        left -= len(claimed)


async def test_the_database_itself_refuses_two_holders_of_a_key(storage: Storage) -> None:
    await storage.a_worker()
    (held,) = await storage.added(a_task(concurrency_key="k"))
    assert await storage.claimed(1) == [held]
    (other,) = await storage.added(a_task(concurrency_key="k"))
    with pytest.raises(Exception, match="tasks_holding_key"):
        await storage.execute("update tasks set state = 'QUEUED' where id = $1", other)


async def test_a_backlog_behind_one_key_keeps_no_other_task_of_its_lane_waiting(storage: Storage) -> None:
    await storage.a_worker(slots=5)
    backlog = await storage.added(*(due_in(-60, concurrency_key="k") for _ in range(300)))
    (other,) = await storage.added(due_in(-1))
    claimed = await storage.claimed(5) + await storage.claimed(5)
    assert other in claimed
    assert len(set(claimed) & set(backlog)) == 1


async def test_when_the_holder_of_a_key_is_lost_the_rescued_one_or_the_next_runs(storage: Storage) -> None:
    dead, live = await storage.a_worker(), await storage.a_worker()
    first, second = await storage.added(due_in(-5, concurrency_key="k"), due_in(-4, concurrency_key="k"))
    assert await storage.claimed(10) == [first]
    await storage.attempts.start(dead, [first])
    assert await storage.claimed(10) == []
    await storage.lapse(dead)
    assert await storage.rescue.lost_attempts(10) == 1
    # Its retry is due now, so the one that waits since before comes first.
    assert await storage.claimed(10) == [second]
    await done(storage, live, [second])
    assert await storage.claimed(10) == [first]


@pytest.mark.parametrize("end", ["cancel", "delete", "take back", "hand back", "edit"])
async def test_whatever_ends_the_hold_of_a_key_lets_the_next_go(storage: Storage, end: str) -> None:
    worker = await storage.a_worker()
    first, second = await storage.added(due_in(-50, concurrency_key="k"), due_in(-40, concurrency_key="k"))
    assert await storage.claimed(10) == [first]
    assert await storage.claimed(10) == []
    expected = second
    match end:
        case "cancel":
            await storage.tasks.change("acme", first, Task.cancelled, UPDATED)
        case "delete":
            await storage.tasks.delete("acme", first)
        case "take back":
            await storage.due_tasks.take_back([first])
            expected = first
        case "hand back":
            (started,) = await storage.attempts.start(worker, [first])
            await storage.attempts.hand_back(worker, [(first, started.fence)])
            expected = first
        case "edit":
            await edit(storage, first, queue="elsewhere", priority=9)
    assert await storage.claimed(10) == [expected]


async def test_a_task_set_aside_may_be_edited_cancelled_or_deleted(storage: Storage) -> None:
    worker = await storage.a_worker()
    holder, moved, gone, deleted, last = await storage.added(
        *(due_in(-50 + n, concurrency_key="k") for n in range(5))
    )
    assert await storage.claimed(10) == [holder]
    await edit(storage, moved, queue="other", priority=9)
    await storage.tasks.change("acme", gone, Task.cancelled, UPDATED)
    await storage.tasks.delete("acme", deleted)
    await done(storage, worker, [holder])
    assert await storage.claimed(10) == [last]
    await done(storage, worker, [last])
    assert await storage.claimed(10) == [moved]


async def test_a_key_that_waits_in_a_paused_queue_runs_in_another(storage: Storage) -> None:
    worker = await storage.a_worker()
    holder = due_in(-50, concurrency_key="k")
    paused, free = due_in(-40, concurrency_key="k", queue="paused"), due_in(-30, concurrency_key="k", queue="b")
    await storage.added(holder, paused, free)
    assert await storage.claimed(10) == [holder.id]
    await set_queue(storage, "paused", paused=True)
    await done(storage, worker, [holder.id])
    assert await storage.claimed(10) == [free.id]
    await done(storage, worker, [free.id])
    assert await storage.due_tasks.next_due_in() is None
    await set_queue(storage, "paused", paused=False)
    assert await storage.claimed(10) == [paused.id]
