"""Many tasks at once make the moves that one makes, with an event each, whatever happens to them meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from domain.actions.model import Cancelled, Failed, Outcome, Succeeded
from domain.attempts.model import Started, settle
from domain.contracts.tasks import TaskEventKind
from domain.tasks.bulk import Batch, BulkChange
from domain.tasks.listing import TaskFilter
from domain.tasks.model import Task
from domain.tasks.states import FINISHED, TaskState
from tests.support.storage import LEASE, Storage, a_task, due_in
from tests.support.waiting import until

pytestmark = pytest.mark.postgres

CANCELLABLE = tuple(state for state in TaskState if state not in FINISHED)
ENDED = tuple(FINISHED)
ALIKE = ["id", "queue", "worker_id", "created_at", "updated_at"]
INSTANTS = ["scheduled_at", "queued_at", "started_at", "finished_at", "cancel_requested_at"]


async def rows(storage: Storage, *ids: UUID) -> list[dict[str, Any]]:
    """Each row but for what differs in any two; of an instant, whether it is there and that of the change."""
    query = "select to_jsonb(t) from tasks as t where id = $1"
    found = []
    async with storage.database.work("test") as connection:
        for id in ids:
            row = json.loads(await connection.fetchval(query, id))
            instants = {name: (row[name] is None, row[name] == row["updated_at"]) for name in INSTANTS}
            found.append({name: row[name] for name in row.keys() - ALIKE} | instants)
    return found


async def put(storage: Storage, id: UUID, state: TaskState, *, asked: bool, replayed: bool) -> None:
    """As the engine leaves a task in that state after two attempts."""
    await storage.execute(
        """update tasks set state = $2::task_state, attempt = 2, fence = 3, uncounted_attempts = $4, losses = 1,
            queued_at = case when $2::task_state = 'QUEUED' then now() end,
            worker_id = case when $2::task_state = 'RUNNING' then gen_random_uuid() end,
            started_at = case when $5 then null else created_at end,
            finished_at = case when $3 then created_at end,
            cancel_requested_at = case when $6 then created_at end,
            result = case when $2::task_state = 'SUCCEEDED' then '{"n": 1}'::jsonb end,
            error_type = case when $2::task_state = 'FAILED' then 'Error' end,
            error_message = case when $2::task_state = 'FAILED' then 'no' end,
            error_attempt = case when $2::task_state = 'FAILED' then 2 end
        where id = $1""",
        id,
        state.value,
        state in FINISHED,
        2 if replayed else 0,
        state is TaskState.SCHEDULED,
        asked,
    )


@pytest.mark.parametrize("change", BulkChange)
async def test_a_batch_does_to_each_what_is_done_to_one(storage: Storage, change: BulkChange) -> None:
    """In every state: by the pure functions of the domain one, by the statement the other of two alike."""
    move = Task.cancelled if change is BulkChange.CANCEL else Task.run_now
    applies = CANCELLABLE if change is BulkChange.CANCEL else ENDED
    for state, asked, replayed in product(applies, (False, True), (False, True)):
        one, many = await storage.added(due_in(60), due_in(60, queue="many"))
        for id in (one, many):
            await put(storage, id, state, asked=asked and state is TaskState.RUNNING, replayed=replayed)
        before = await storage.task(one)
        after = await storage.tasks.change("acme", one, move, TaskEventKind.UPDATED)
        wanted = TaskFilter(queues=("many",), states=(state,))
        expected = int(after != before)
        assert await storage.bulk_tasks.count("acme", change, wanted, 10) == expected
        assert await storage.bulk_tasks.change("acme", change, wanted, 10) == Batch(
            expected, expected, expected if after.state is TaskState.RUNNING else 0
        )
        first, second = await rows(storage, one, many)
        assert first == second, (state, asked, replayed)
        assert await storage.event_kinds(one) == await storage.event_kinds(many)
        assert [each.id for each in storage.changed] == [many] * expected
        storage.changed.clear()
        await storage.execute("delete from tasks where tenant = 'acme'")


async def test_a_batch_is_bounded_and_the_next_goes_on(storage: Storage) -> None:
    ids = await storage.added(*[due_in(60 + n) for n in range(5)])
    wanted = TaskFilter(owner=None, states=CANCELLABLE)
    assert await storage.bulk_tasks.count("acme", BulkChange.CANCEL, wanted, 3) == 3
    assert await storage.bulk_tasks.change("acme", BulkChange.CANCEL, wanted, 3) == Batch(3, 3)
    states = [(await storage.task(id)).state for id in ids]
    assert states == [TaskState.CANCELLED] * 3 + [TaskState.SCHEDULED] * 2, "those due first"
    assert await storage.bulk_tasks.change("acme", BulkChange.CANCEL, wanted, 3) == Batch(2, 2)
    assert await storage.bulk_tasks.change("acme", BulkChange.CANCEL, wanted, 3) == Batch(0, 0)


async def test_filters_mean_what_they_mean_in_lists(storage: Storage) -> None:
    wanted_task = a_task(
        title="Send the invoice", queue="mail", owner="ann", labels=(("order", "7"), ("lane", "2"))
    )
    others = (
        a_task(),
        a_task(tenant="other", title="Send the invoice", queue="mail", owner="ann", labels=(("order", "7"),)),
        a_task(title="Send the invoice", queue="mail", owner="bob", labels=(("order", "7"),)),
        a_task(title="Send the invoice", queue="mail", owner="ann", labels=(("order", "8"),)),
        a_task(title="Send the bill", queue="mail", owner="ann", labels=(("order", "7"),)),
        due_in(3_600, title="Send the invoice", queue="mail", owner="ann", labels=(("order", "7"),)),
    )
    for each in (wanted_task, *others):
        await storage.added(each)
    wanted = TaskFilter(
        states=CANCELLABLE,
        queues=("mail",),
        owner="ann",
        labels=(("order", "7"),),
        search="invo",
        due_before=wanted_task.scheduled_at + timedelta(seconds=60),
    )
    assert await storage.bulk_tasks.count("acme", BulkChange.CANCEL, wanted, 10) == 1
    assert await storage.bulk_tasks.change("acme", BulkChange.CANCEL, wanted, 10) == Batch(1, 1)
    assert (await storage.task(wanted_task.id)).state is TaskState.CANCELLED


async def test_a_task_that_was_changed_meanwhile_is_looked_at_again(storage: Storage) -> None:
    left, moved = await storage.added(a_task(queue="mail"), a_task(queue="mail"))
    wanted = TaskFilter(queues=("mail",), states=CANCELLABLE)
    async with storage.database.transaction("test") as connection:
        await connection.execute("update tasks set queue = 'other', version = version + 1 where id = $1", moved)
        batch = asyncio.create_task(storage.bulk_tasks.change("acme", BulkChange.CANCEL, wanted, 10))
        waits = """select count(*) from pg_stat_activity
            where wait_event_type = 'Lock' and datname = current_database()"""

        async def it_waits() -> bool:
            async with storage.database.work("test") as other:
                return bool(await other.fetchval(waits))

        await until(it_waits, 4)
    assert await batch == Batch(2, 1)
    assert (await storage.task(moved)).state is TaskState.SCHEDULED
    assert (await storage.task(left)).state is TaskState.CANCELLED


class Storm:
    """Running tasks end by themselves, queued ones start, waiting ones are claimed, while all are cancelled."""

    def __init__(self, storage: Storage, workers: list[UUID]) -> None:
        self.storage = storage
        self.workers = workers
        self.draw = random.Random(35)
        self.running: list[tuple[UUID, Started]] = []
        self.queued: list[UUID] = []
        self.recorded: Counter[UUID] = Counter()

    async def start(self, worker: UUID, ids: list[UUID]) -> None:
        started = await self.storage.attempts.start(worker, ids)
        self.running.extend((worker, one) for one in started)

    async def finish(self, some: list[tuple[UUID, Started]], outcomes: list[Outcome]) -> None:
        for worker in self.workers:
            settled = [settle(one, self.draw.choice(outcomes), 0) for its, one in some if its == worker]
            if settled:
                self.recorded.update(await self.storage.attempts.finish(worker, settled))

    async def end_all(self) -> None:
        while self.running:
            some, self.running = self.running[-7:], self.running[:-7]
            await self.finish(some, [Succeeded(), Failed(type="Error", message="no", retryable=False)])

    async def start_all(self) -> None:
        while self.queued:
            some, self.queued = self.queued[-5:], self.queued[:-5]
            await self.start(self.draw.choice(self.workers), some)

    async def claim(self) -> None:
        for _ in range(10):
            self.queued.extend(await self.storage.claimed(10))

    async def cancel_all(self) -> None:
        wanted = TaskFilter(queues=("default",), states=CANCELLABLE)
        picked = 1
        while picked:
            picked = (await self.storage.bulk_tasks.change("acme", BulkChange.CANCEL, wanted, 40)).picked

    async def stop_asked(self) -> None:
        """The workers hear of what was asked."""
        for worker in self.workers:
            asked = (await self.storage.workers.beat(worker, LEASE)).cancel_requested
            some = [(its, one) for its, one in self.running if its == worker and one.task_id in asked]
            await self.finish(some, [Cancelled()])


@pytest.mark.fault(35, "a storm of cancellations, in storage")
async def test_in_a_storm_of_cancellations_every_task_ends_once_in_one_state(storage: Storage) -> None:
    storm = Storm(storage, [await storage.a_worker(slots=100) for _ in range(3)])
    ids = await storage.added(*[a_task() for _ in range(450)])
    for worker in storm.workers:
        await storm.start(worker, await storage.claimed(50))
    storm.queued = await storage.claimed(150)
    assert (len(storm.running), len(storm.queued)) == (150, 150)
    async with asyncio.timeout(60):
        await asyncio.gather(
            storm.end_all(), storm.start_all(), storm.claim(), storm.cancel_all(), storm.cancel_all()
        )
        await storm.cancel_all()
        await storm.stop_asked()
    for id in ids:
        task = await storage.task(id)
        assert task.state in FINISHED, task
        (attempts,) = await storage.attempts.history("acme", [id], 10)
        assert len(attempts) == storm.recorded[id] == task.attempt <= 1
    query = "select event->>'task_id' from outbox where event->>'kind' in ('SUCCEEDED', 'FAILED', 'CANCELLED')"
    async with storage.database.work("test") as connection:
        told = [UUID(record[0]) for record in await connection.fetch(query)]
    assert sorted(told) == sorted(ids), "each end was told once"
