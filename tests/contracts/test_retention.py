"""What removing the old promises: what is young stays, nobody waits for it, and readers are told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.attempts.model import AttemptState, Settled
from domain.contracts.tasks import TaskEventKind
from domain.errors import CursorExpired, NotFound
from domain.paging import PageRequest
from domain.retention.ports import AttemptDays
from domain.tasks.listing import TaskFilter, TaskOrder
from domain.tasks.states import TaskState
from infra.cache.ports import TaskVersion
from infra.cache.task_cache import DELETED
from tests.support.storage import Storage, a_draft, a_task, ids

pytestmark = pytest.mark.postgres

ONE_DAY = timedelta(days=1)
WEEK = 7 * ONE_DAY
FERNS = TaskFilter(labels=(("plant", "fern"),))
ATTEMPT = """
insert into attempts (task_id, number, tenant, state, due_at, started_at, finished_at, worker)
select $1, $2, 'acme', 'SUCCEEDED', at, at, at, 'worker-1' from (select now() - $3::interval as at) as ended
returning finished_at
"""
NOTHING = AttemptDays(made=0, moved=0, removed=0, put_off=0)


def succeeded(task: UUID, fence: int) -> Settled:
    return Settled(
        task_id=task, fence=fence, attempt_state=AttemptState.SUCCEEDED, task_state=TaskState.SUCCEEDED
    )


async def ended(storage: Storage, state: TaskState, *ages: timedelta, **changes: object) -> list[UUID]:
    """Tasks that ended so long ago, in the order given."""
    added = await storage.added(*(a_task(**changes) for _ in ages))
    for id, age in zip(added, ages, strict=True):
        await storage.execute(
            "update tasks set state = $2::task_state, finished_at = now() - $3::interval where id = $1",
            id,
            state.value,
            age,
        )
    return added


async def left(storage: Storage, tasks: Sequence[UUID]) -> list[UUID]:
    return [task.id for task in await storage.tasks.find("acme", tasks) if task is not None]


async def count(storage: Storage, table: str) -> int:
    async with storage.database.work("test") as connection:
        found: int = await connection.fetchval(f"select count(*) from {table}")
    return found


# Tasks


@pytest.mark.parametrize("state", [TaskState.SUCCEEDED, TaskState.CANCELLED, TaskState.FAILED])
async def test_a_task_goes_when_it_ended_longer_ago_than_it_is_kept(storage: Storage, state: TaskState) -> None:
    minute = timedelta(minutes=1)
    old, young = await ended(storage, state, WEEK + minute, WEEK - minute)
    others = [
        (await ended(storage, other, 2 * WEEK))[0]
        for other in (TaskState.SUCCEEDED, TaskState.CANCELLED, TaskState.FAILED)
        if other is not state
    ]
    assert await storage.retention.prune_tasks(state, WEEK, 100) == 1
    assert await left(storage, [old, young, *others]) == [young, *others]


async def test_what_has_not_ended_stays_however_old_it_is(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    waiting = await storage.added(a_task())
    await storage.execute(
        "update tasks set created_at = now() - interval '1 year', updated_at = now() - interval '1 year'"
    )
    for state in TaskState:
        assert await storage.retention.prune_tasks(state, timedelta(seconds=1), 100) == 0
    assert await left(storage, [started.task_id, *waiting]) == [started.task_id, *waiting]


async def test_a_task_goes_with_its_labels_words_progress_and_log(storage: Storage) -> None:
    (task,) = await ended(storage, TaskState.SUCCEEDED, 2 * WEEK, labels=FERNS.labels)
    await storage.execute(
        "insert into task_progress (task_id, fence, fraction, at) values ($1, 1, 1, now())", task
    )
    await storage.execute("insert into task_log values ($1, 1, 1, 1, now(), 'Watered')", task)
    await storage.retention.prune_tasks(TaskState.SUCCEEDED, WEEK, 100)
    for table in ("tasks", "task_labels", "task_words", "task_progress", "task_log"):
        assert await count(storage, table) == 0, table
    found = await storage.tasks.page("acme", FERNS, TaskOrder.SCHEDULED_AT_ASC, PageRequest())
    assert found.items == ()


async def test_the_oldest_go_first_and_no_more_than_asked_for(storage: Storage) -> None:
    ages = [WEEK + timedelta(hours=hours) for hours in (3, 5, 1, 4, 2)]
    tasks = await ended(storage, TaskState.SUCCEEDED, *ages)
    assert await storage.retention.prune_tasks(TaskState.SUCCEEDED, WEEK, 2) == 2
    assert await left(storage, tasks) == [tasks[0], tasks[2], tasks[4]]
    assert await storage.retention.prune_tasks(TaskState.SUCCEEDED, WEEK, 2) == 2
    assert await storage.retention.prune_tasks(TaskState.SUCCEEDED, WEEK, 2) == 1


async def test_no_event_tells_of_it_and_the_cache_forgets_it(storage: Storage) -> None:
    (task,) = await ended(storage, TaskState.SUCCEEDED, 2 * WEEK)
    await storage.retention.prune_tasks(TaskState.SUCCEEDED, WEEK, 100)
    assert await storage.event_kinds(task) == ["CREATED"]
    assert storage.changed == [TaskVersion("acme", task, DELETED)]


async def test_its_key_is_free_again(storage: Storage) -> None:
    (old,) = await ended(storage, TaskState.SUCCEEDED, 2 * WEEK, key="ferns")
    await storage.retention.prune_tasks(TaskState.SUCCEEDED, WEEK, 100)
    (added,) = await storage.tasks.add([a_task(key="ferns", fingerprint=b"another")])
    assert added.created
    assert added.task.id != old


async def test_its_attempts_are_not_found_and_its_notifications_stay(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.attempts.finish(worker, [succeeded(started.task_id, started.fence)])
    await storage.notifications.add([a_draft(task_id=started.task_id)])
    assert [len(each) for each in await storage.attempts.history("acme", [started.task_id], 10)] == [1]
    await storage.execute("update tasks set finished_at = now() - interval '8 days'")
    await storage.retention.prune_tasks(TaskState.SUCCEEDED, WEEK, 100)
    assert await storage.attempts.history("acme", [started.task_id], 10) == [[]]
    assert await storage.attempts.find("acme", [(started.task_id, 1)]) == [None]
    ((notification,),) = await storage.notifications.of_tasks("acme", [started.task_id], 10)
    assert notification.task_id == started.task_id


async def test_one_that_runs_again_just_then_stays(storage: Storage) -> None:
    """The prune has chosen it and waits for, or passes over, the row that the replay has locked."""
    (task,) = await ended(storage, TaskState.FAILED, 2 * WEEK)
    async with storage.database.transaction("test") as connection:
        await connection.execute("update tasks set state = 'SCHEDULED', finished_at = null where id = $1", task)
        pruning = asyncio.ensure_future(storage.retention.prune_tasks(TaskState.FAILED, WEEK, 100))
        assert await pruning == 0
    assert await left(storage, [task]) == [task]


async def test_one_that_is_pruned_just_then_cannot_run_again(storage: Storage) -> None:
    tasks = await ended(storage, TaskState.FAILED, *[2 * WEEK] * 20)
    runs = [
        storage.tasks.change("acme", id, lambda task, now: task.run_now(now), TaskEventKind.UPDATED)
        for id in tasks
    ]
    pruned, *replayed = await asyncio.gather(
        storage.retention.prune_tasks(TaskState.FAILED, WEEK, 100), *runs, return_exceptions=True
    )
    gone = [outcome for outcome in replayed if isinstance(outcome, NotFound)]
    assert pruned == len(gone)
    assert len(await left(storage, tasks)) == len(tasks) - len(gone)


async def test_janitors_at_the_same_time_remove_each_task_once(storage: Storage) -> None:
    tasks = await ended(storage, TaskState.SUCCEEDED, *[2 * WEEK] * 60, timedelta())
    counts = await asyncio.gather(
        *(storage.retention.prune_tasks(TaskState.SUCCEEDED, WEEK, 20) for _ in range(8))
    )
    total = sum(counts)
    while removed := await storage.retention.prune_tasks(TaskState.SUCCEEDED, WEEK, 20):
        total += removed
    assert total == 60
    assert await left(storage, tasks) == tasks[-1:]


# Notifications


async def told(storage: Storage, *ages: timedelta, tenant: str = "acme") -> None:
    """Notifications made so long ago, in the order of the stream."""
    drafts = [a_draft(tenant=tenant) for _ in ages]
    await storage.notifications.add(drafts)
    for draft, age in zip(drafts, ages, strict=True):
        await storage.execute(
            "update notifications set created_at = now() - $2::interval where id = $1", draft.id, age
        )


async def seqs(storage: Storage, after: int, tenant: str = "acme") -> list[int]:
    return [one.seq for one in await storage.notifications.after(tenant, after, 1000)]


async def test_the_beginning_of_a_stream_is_removed_and_never_a_part_behind_it(storage: Storage) -> None:
    old, young = 2 * WEEK, timedelta(days=1)
    await told(storage, old, old, young, old, young)
    await told(storage, young, old, tenant="other")
    assert await storage.retention.prune_notifications(WEEK, 100) == 2
    assert await seqs(storage, 2) == [3, 4, 5]
    assert await seqs(storage, 0, "other") == [1, 2]
    assert await storage.retention.prune_notifications(WEEK, 100) == 0


async def test_who_asks_for_what_was_removed_is_told_so(storage: Storage) -> None:
    await told(storage, 2 * WEEK, 2 * WEEK, timedelta())
    await storage.retention.prune_notifications(WEEK, 100)
    for seen in (0, 1):
        with pytest.raises(CursorExpired):
            await storage.notifications.after("acme", seen, 10)
    assert await seqs(storage, 2) == [3]
    page = await storage.notifications.page("acme", PageRequest(after=1))
    assert [one.seq for one in page.items] == [3]


async def test_a_stream_removed_to_its_end_goes_on_counting(storage: Storage) -> None:
    await told(storage, 2 * WEEK, 2 * WEEK)
    assert await storage.retention.prune_notifications(WEEK, 100) == 2
    assert await seqs(storage, 2) == []
    assert await storage.notifications.last_seq("acme") == 2
    await told(storage, timedelta())
    assert await seqs(storage, 2) == [3]


async def test_a_part_at_a_time_is_removed_over_all_tenants(storage: Storage) -> None:
    for tenant in ("acme", "other", "third"):
        await told(storage, *[2 * WEEK] * 4, timedelta(), tenant=tenant)
    assert await storage.retention.prune_notifications(WEEK, 6) == 6
    assert await storage.retention.prune_notifications(WEEK, 6) == 6
    assert await storage.retention.prune_notifications(WEEK, 6) == 0
    assert [await seqs(storage, 4, tenant) for tenant in ("acme", "other", "third")] == [[5]] * 3


async def test_the_unread_are_counted_rightly_afterwards(storage: Storage) -> None:
    await told(storage, 2 * WEEK, 2 * WEEK, timedelta(), timedelta())
    await storage.notifications.mark_read("acme", up_to=1)
    await storage.retention.prune_notifications(WEEK, 100)
    assert await storage.notifications.unread_count("acme") == 2


async def test_readers_janitors_and_writers_at_once_see_no_gap(storage: Storage) -> None:
    """A reader that is overtaken is told; one that is not told has missed nothing."""
    await told(storage, *[2 * WEEK] * 300)

    async def write() -> None:
        for _ in range(30):
            await storage.notifications.add([a_draft()])
            await storage.notifications.mark_read("acme", up_to=10_000)

    async def prune() -> None:
        for _ in range(40):
            await storage.retention.prune_notifications(WEEK, 10)

    async def read() -> None:
        last = 0
        while last < 330:
            try:
                page = await storage.notifications.after("acme", last, 7)
            except CursorExpired:
                last += 1
                continue
            assert [one.seq for one in page] == list(range(last + 1, last + 1 + len(page)))
            last += len(page)

    async with asyncio.timeout(60):
        await asyncio.gather(write(), prune(), prune(), read())
    assert await seqs(storage, 300) == list(range(301, 331))


# Attempts


def day_of(instant: datetime) -> str:
    return f"attempts_{instant.astimezone(UTC):%Y%m%d}"


async def days(storage: Storage) -> set[str]:
    async with storage.database.work("test") as connection:
        records = await connection.fetch("""
            select inhrelid::regclass::text as name from pg_inherits where inhparent = 'attempts'::regclass
        """)
    return {record["name"] for record in records} - {"attempts_default"}


async def attempted(storage: Storage, ago: timedelta, number: int = 1) -> datetime:
    """An attempt that ended so long ago."""
    async with storage.database.work("test") as connection:
        at: datetime = await connection.fetchval(ATTEMPT, ids.next(), number, ago)
    return at


async def test_days_are_made_ahead_in_utc(storage: Storage) -> None:
    today = datetime.now(UTC)
    ahead = {day_of(today + timedelta(days=days)) for days in range(4)}
    assert await days(storage) == ahead
    for name in ahead:
        await storage.execute(f"drop table {name}")
    await storage.execute("set timezone = 'Pacific/Auckland'")
    assert await storage.retention.prune_attempts(WEEK) == replace(NOTHING, made=4)
    assert await days(storage) == ahead
    assert await storage.retention.prune_attempts(WEEK) == NOTHING


async def test_attempts_that_ended_before_their_day_was_made_are_moved_to_it(storage: Storage) -> None:
    at = await attempted(storage, timedelta(days=2))
    assert await count(storage, "attempts_default") == 1
    assert await storage.retention.prune_attempts(WEEK) == replace(NOTHING, made=1, moved=1)
    assert (await count(storage, "attempts_default"), await count(storage, day_of(at))) == (0, 1)


async def test_a_day_is_removed_once_all_of_it_is_old(storage: Storage) -> None:
    older, younger = await attempted(storage, 9 * ONE_DAY), await attempted(storage, WEEK - ONE_DAY)
    await storage.retention.prune_attempts(10 * ONE_DAY)
    assert {day_of(older), day_of(younger)} <= await days(storage)
    assert await storage.retention.prune_attempts(WEEK) == replace(NOTHING, removed=1)
    assert day_of(older) not in await days(storage)
    assert await count(storage, "attempts") == 1


async def test_old_attempts_without_a_day_are_removed(storage: Storage) -> None:
    await attempted(storage, 9 * ONE_DAY)
    assert await storage.retention.prune_attempts(WEEK) == NOTHING
    assert await count(storage, "attempts") == 0


async def test_who_reads_attempts_is_neither_waited_for_nor_kept_waiting(storage: Storage) -> None:
    at = await attempted(storage, 9 * ONE_DAY)
    await storage.retention.prune_attempts(10 * ONE_DAY)
    async with storage.database.transaction("test") as connection:
        await connection.fetch("select * from attempts")
        async with asyncio.timeout(3):
            assert await storage.retention.prune_attempts(WEEK) == replace(NOTHING, put_off=1)
        assert await count(storage, "attempts") == 1  # others read on
    assert await storage.retention.prune_attempts(WEEK) == replace(NOTHING, removed=1)
    assert day_of(at) not in await days(storage)


async def test_janitors_at_the_same_time_make_and_remove_each_day_once(storage: Storage) -> None:
    await attempted(storage, 9 * ONE_DAY)
    await storage.retention.prune_attempts(10 * ONE_DAY)
    await attempted(storage, 3 * ONE_DAY)
    done = await asyncio.gather(*(storage.retention.prune_attempts(WEEK) for _ in range(4)))
    done.append(await storage.retention.prune_attempts(WEEK))
    assert [sum(one.made for one in done), sum(one.removed for one in done)] == [1, 1]
    assert len(await days(storage)) == 5
    assert await count(storage, "attempts") == 1


async def test_tables_of_others_are_left_alone(storage: Storage) -> None:
    await storage.execute("""
        create table archive partition of attempts for values from ('2001-01-01') to ('2001-02-01')
    """)
    assert await storage.retention.prune_attempts(WEEK) == NOTHING
    assert "archive" in await days(storage)


async def test_a_task_that_lived_for_days_has_all_its_history(storage: Storage) -> None:
    (task,) = await ended(storage, TaskState.SUCCEEDED, timedelta())
    await storage.execute("update tasks set created_at = now() - interval '5 days', updated_at = now()")
    for number in range(1, 6):
        await storage.execute(ATTEMPT, task, number, (5 - number) * ONE_DAY)
    (history,) = await storage.attempts.history("acme", [task], 10)
    assert [one.number for one in history] == [1, 2, 3, 4, 5]
    await storage.retention.prune_attempts(WEEK)
    assert await storage.attempts.history("acme", [task], 10) == [history]
    await storage.tasks.delete("acme", task)
    assert await count(storage, "attempts") == 0
