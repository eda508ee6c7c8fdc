"""What a claim takes and what it leaves: order, fairness, and that nothing due is ever lost sight of."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.actions.model import Failed
from domain.attempts.model import Settled, settle
from domain.attempts.retry import Backoff, RetryPolicy
from domain.contracts.tasks import TaskEventKind
from domain.tasks.model import Task
from domain.tasks.states import CLAIMABLE, TaskState
from infra.postgres import due_tasks
from infra.postgres.claiming import BEGIN_LOCKED, CLAIM, NEXT_DUE
from infra.postgres.due_tasks import PostgresDueTasks
from infra.postgres.floors import Floors
from infra.postgres.lanes import ANY_EMPTY, REMOVE, RESTORE, tend_lanes
from infra.postgres.plain_claiming import CLAIM_PLAIN, NEXT_DUE_PLAIN
from infra.telemetry.trace import drawn_traceparent
from tests.support.claiming import at_work, claimable, done, edit, pass_time, schedulers, set_queue
from tests.support.storage import Storage, a_task, due_in
from tests.support.waiting import until

pytestmark = pytest.mark.postgres

UPDATED = TaskEventKind.UPDATED


async def test_a_tenants_tasks_are_claimed_by_priority_then_time_then_id_across_its_queues(
    storage: Storage,
) -> None:
    await storage.a_worker(slots=100)
    tasks = [
        due_in(-seconds, queue=queue, priority=priority)
        for queue in ("a", "b", "c")
        for priority in (0, 5, 9)
        for seconds in (1, 2, 3)
    ]
    await storage.added(*tasks)
    order = [task.id for task in sorted(tasks, key=lambda task: (task.priority, task.scheduled_at, task.id))]
    assert await storage.claimed(4) == order[:4]
    assert await storage.claimed(100) == order[4:]


@pytest.mark.parametrize("limits", [False, True])
async def test_each_task_is_claimed_with_its_trace(storage: Storage, limits: bool) -> None:
    await storage.a_worker(slots=100)
    if limits:
        await set_queue(storage, "other", concurrency=1)
    made = {(task := due_in(-1, traceparent=drawn_traceparent(sampled=True))).id: task for _ in range(5)}
    await storage.added(*made.values())
    claimed = await storage.due_tasks.claim(10)
    assert len(claimed.ids) == 5
    assert claimed.traceparents == [made[id].traceparent for id in claimed.ids]


async def test_one_tenants_flood_does_not_keep_anothers_tasks_waiting(storage: Storage) -> None:
    await storage.a_worker(slots=10)
    await storage.added(*(due_in(-60, tenant="noisy", priority=0) for _ in range(500)))
    first = await storage.claimed(500)
    assert len(first) == 10
    quiet = await storage.added(*(due_in(-1, tenant="quiet", priority=9) for _ in range(3)))
    await storage.a_worker(slots=5)
    claimed = await storage.claimed(500)
    assert claimed[:3] == quiet, "who has nothing in flight goes first"
    assert len(claimed) == 5


@pytest.mark.untouched
async def test_what_is_in_flight_is_not_counted_again_for_each_queue_with_a_limit_nor_for_each_candidate(
    storage: Storage,
) -> None:
    queues = [f"q{number}" for number in range(30)]
    await storage.a_worker(slots=100)
    for queue in queues:
        await set_queue(storage, queue, concurrency=3)
    await storage.added(*(due_in(-60, queue=queue) for queue in queues))
    assert len(await storage.claimed(30)) == 30
    await storage.added(*(due_in(-1, queue=queue) for queue in queues))
    for statement, known, arguments in (
        (CLAIM, 11, [100, 100]),
        (CLAIM_PLAIN, 8, [100, 100]),
        (NEXT_DUE, 11, []),
    ):
        assert await _reads_of_what_is_in_flight(storage, statement, known, arguments) <= 10


async def _reads_of_what_is_in_flight(
    storage: Storage, statement: str, known: int, arguments: Sequence[int]
) -> int:
    async with storage.engine.work("test") as connection:
        await connection.execute("begin")
        floors = Floors().arguments(timedelta(seconds=6))[:known]
        plan = await connection.fetch(f"explain (analyze, timing off) {statement}", *floors, *arguments)
        await connection.execute("rollback")
    scans = re.findall(r"CTE Scan on in_flight.*loops=(\d+)", "\n".join(line[0] for line in plan))
    return sum(map(int, scans))


async def test_a_task_of_a_client_whose_clock_is_behind_keeps_its_place(storage: Storage) -> None:
    worker = await storage.a_worker(slots=1)
    first, last = await storage.added(due_in(-0.2), due_in(-0.1))
    await storage.execute("update lanes set reopened_at = now() - interval '1 hour'")
    assert await storage.claimed(1) == [first]
    (between,) = await storage.added(due_in(-0.5))
    for expected in (between, last):
        await done(storage, worker, await at_work(storage))
        assert await storage.claimed(1) == [expected]


async def test_what_came_below_a_floor_unsaid_is_found_when_lanes_are_tended(storage: Storage) -> None:
    await storage.a_worker(slots=10)
    (one,) = await storage.added(due_in(3_600))
    await storage.execute("update lanes set reopened_at = now() - interval '1 hour'")
    assert await storage.claimed(10) == []
    await storage.execute("update tasks set scheduled_at = now() - interval '1 hour'")
    assert await storage.claimed(10) == [], "this is what a floor is for"
    await storage.due_tasks.tend()
    assert await storage.claimed(10) == [one]


@pytest.mark.untouched
async def test_a_claim_reads_what_it_may_take_and_nothing_else(storage: Storage) -> None:
    """With statistics of a time when all was in one queue, and far more waited than a claim can take."""
    await storage.a_worker(slots=10)
    await storage.added(*(due_in(3_600 + n) for n in range(3_000)))
    await storage.execute("vacuum analyze tasks")
    await storage.added(*(due_in(-600 + n) for n in range(300)), due_in(-5, queue="other"))
    for statement, known, arguments in (
        (CLAIM, 11, [5, 5]),
        (CLAIM_PLAIN, 8, [5, 5]),
        (NEXT_DUE, 11, []),
        (NEXT_DUE_PLAIN, 8, []),
    ):
        async with storage.engine.work("test") as connection:
            await connection.execute("begin")
            floors = Floors().arguments(timedelta(seconds=6))[:known]
            explained = f"explain (analyze, format json) {statement}"
            plan = json.loads(await connection.fetchval(explained, *floors, *arguments))
            await connection.execute("rollback")
        assert 0 < sum(_tasks_read(plan[0]["Plan"])) < 40


async def test_tenants_with_the_same_in_flight_take_turns(storage: Storage) -> None:
    await storage.a_worker(slots=6)
    one = await storage.added(*(due_in(-60 + n, tenant="one") for n in range(10)))
    two = await storage.added(*(due_in(-30 + n, tenant="two") for n in range(10)))
    assert await storage.claimed(6) == [one[0], two[0], one[1], two[1], one[2], two[2]]


async def test_a_claim_of_one_takes_one_whatever_the_statistics_say(storage: Storage) -> None:
    await storage.a_worker(slots=1_000)
    await storage.added(*(due_in(-n, queue=f"q{n % 7}", priority=n % 10) for n in range(300)))
    await storage.execute("analyze tasks")
    await storage.execute("update pg_class set reltuples = 1, relpages = 1 where relname in ('tasks', 'lanes')")
    for _ in range(12):
        assert len(await storage.claimed(1)) == 1


async def test_a_claim_waits_for_the_one_before_it_and_counts_what_that_took(storage: Storage) -> None:
    await storage.a_worker(slots=1)
    (one,) = await storage.added(due_in(-5))
    async with storage.database.work("test") as connection, asyncio.TaskGroup() as group:
        await connection.execute(BEGIN_LOCKED)
        await connection.execute(
            "update tasks set state = 'QUEUED', queued_at = now(), updated_at = now() where id = $1", one
        )
        await storage.added(due_in(-5, priority=0))
        second = group.create_task(storage.claimed(10))

        async def settled() -> bool:
            waits: bool = await connection.fetchval(
                "select exists (select from pg_locks join pg_database as d on d.oid = database "
                "where d.datname = current_database() and locktype = 'advisory' and not granted)"
            )
            return second.done() or waits

        await until(settled)
        await connection.execute("commit")
    assert second.result() == []


async def test_what_another_transaction_holds_is_left_and_what_it_changes_is_looked_at_again(
    storage: Storage,
) -> None:
    await storage.a_worker()
    held, free = await storage.added(due_in(-10), due_in(-5))
    async with storage.database.transaction("test") as connection:
        await connection.execute("update tasks set scheduled_at = now() + interval '1 day' where id = $1", held)
        assert await storage.claimed(10) == [free]
    assert await storage.claimed(10) == []


# Lanes and floors


async def test_what_comes_in_below_what_was_looked_at_is_found(storage: Storage) -> None:
    worker = await storage.a_worker()
    await storage.added(due_in(-5))
    await pass_time(storage, 100, storage.due_tasks)
    (first,) = await storage.claimed(10)
    assert await storage.claimed(10) == []
    (late,) = await storage.added(due_in(-55))
    assert await storage.claimed(10) == [late]
    await pass_time(storage, 100, storage.due_tasks)
    assert await storage.claimed(10) == []
    await storage.due_tasks.take_back([first])
    (started,) = await storage.attempts.start(worker, [late])
    await storage.attempts.hand_back(worker, [(late, started.fence)])
    waits = await storage.due_tasks.next_due_in()
    assert waits is not None
    assert waits <= timedelta(0)
    assert await storage.claimed(10) == [first, late]


@pytest.mark.parametrize("limit", [{"paused": True}, {"concurrency": 1}, {"rate_per_second": 0.001}])
async def test_what_a_limit_held_back_is_found_however_long_it_lasted(
    storage: Storage, limit: dict[str, Any]
) -> None:
    worker = await storage.a_worker()
    (one, two) = await storage.added(due_in(-5), due_in(-4))
    await pass_time(storage, 100, storage.due_tasks)
    assert await storage.claimed(1) == [one]
    await done(storage, worker, [one])
    await set_queue(storage, "default", **limit)
    if "paused" not in limit:
        (first,) = await storage.added(due_in(-1, priority=0))
        assert await storage.claimed(10) == [first]
    for _ in range(3):
        await pass_time(storage, 20, storage.due_tasks)
        assert await storage.claimed(10) == []
    await set_queue(storage, "default", paused=False, concurrency=None, rate_per_second=None)
    assert await storage.claimed(10) == [two]


async def test_a_task_moved_to_another_queue_or_priority_is_claimed_there(storage: Storage) -> None:
    await storage.a_worker()
    (moved, other) = await storage.added(due_in(-50), due_in(-40))
    await edit(storage, moved, queue="never-seen", priority=7)
    assert await storage.claimed(10) == [other, moved]


async def test_lanes_that_are_missing_are_found_and_those_of_nothing_removed(storage: Storage) -> None:
    worker = await storage.a_worker()
    waiting, running, ended = due_in(-5, queue="a"), due_in(-5, queue="b"), due_in(-5, queue="c")
    await storage.added(running, ended)
    await storage.claimed(10)
    await storage.attempts.start(worker, [running.id])
    await done(storage, worker, [ended.id])
    await storage.added(waiting)
    await storage.execute("delete from lanes where queue = 'a'")
    assert await storage.claimed(10) == []
    assert await storage.due_tasks.tend() == 1
    assert await storage.claimed(10) == [waiting.id]
    assert {queue.name for queue in await storage.queues.all("acme", 10)} == {"a", "b"}


async def test_no_lane_is_removed_from_under_a_task_that_is_being_inserted(storage: Storage) -> None:
    await storage.a_worker()
    (old,) = await storage.added(due_in(-5))
    await storage.tasks.delete("acme", old)
    for _ in range(20):
        new = a_task()
        await asyncio.gather(storage.added(new), *(tend_lanes(storage.database) for _ in range(3)))
        assert await storage.claimed(10) == [new.id]
        await storage.tasks.delete("acme", new.id)


@pytest.mark.untouched
async def test_what_it_costs_to_tend_lanes_does_not_depend_on_how_many_tasks_wait(storage: Storage) -> None:
    await storage.added(*(due_in(60, queue=f"q{n % 3}") for n in range(2_000)))
    await storage.execute("analyze tasks")
    await storage.execute("insert into lanes (tenant, queue, priority) values ('acme', 'gone', 5)")
    async with storage.database.transaction("test") as connection:
        for statement in (RESTORE, ANY_EMPTY, REMOVE):
            plan = json.loads(await connection.fetchval(f"explain (analyze, format json) {statement}"))
            assert 0 < sum(_tasks_read(plan[0]["Plan"])) < 20
    assert {queue.name for queue in await storage.queues.all("acme", 10)} == {"q0", "q1", "q2"}


def _tasks_read(node: dict[str, Any]) -> Iterator[float]:
    if node.get("Relation Name") == "tasks" or node.get("Index Name", "").startswith("tasks_"):
        yield (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    for below in node.get("Plans", ()):
        yield from _tasks_read(below)


async def test_a_lane_stays_while_a_task_in_it_waits_or_runs(storage: Storage) -> None:
    await storage.a_worker(slots=2)
    await storage.added(*(due_in(-5, queue=queue, concurrency_key="a") for queue in ("runs", "awaits")))
    (running,) = await storage.claimed(10)
    (later,) = await storage.added(due_in(60, queue="waits"))
    assert await tend_lanes(storage.database) == (0, 0)
    await storage.tasks.delete("acme", later)
    assert await tend_lanes(storage.database) == (0, 1)
    await storage.tasks.delete("acme", running)
    assert await tend_lanes(storage.database) == (0, 1)


async def test_a_first_claim_looks_at_no_more_of_many_lanes_than_later_ones(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_tasks, "MOST_CANDIDATES", 20)
    await storage.a_worker(slots=100)
    await storage.added(*(due_in(-5, queue=f"q{n % 10}") for n in range(50)))
    assert [len(await storage.claimed(100)) for _ in range(3)] == [2, 2, 2]
    await storage.added(*(due_in(-5, tenant=f"t{n % 10}") for n in range(50)))
    assert len(await storage.claimed(100)) == 2 + 20, "two of each tenant"


async def test_long_running_tasks_count_however_long_ago_they_changed(storage: Storage) -> None:
    worker = await storage.a_worker(slots=3)
    ids = await storage.added(*(due_in(-5) for _ in range(4)))
    claimed = await storage.claimed(10)
    await storage.attempts.start(worker, claimed[:2])
    for _ in range(3):
        await storage.claimed(10)
        await pass_time(storage, 60, storage.due_tasks)
        assert await storage.due_tasks.room() == 0
        assert await storage.claimed(10) == []
    (started, *_) = await storage.attempts.start(worker, claimed[:1])
    await storage.attempts.hand_back(worker, [(started.task_id, started.fence)])
    assert await storage.claimed(10) in ([ids[0]], [ids[3]])


Step = tuple[str, int, int]
ENDS = ("done", "retry", "take_back", "hand_back")
CHANGES = ("edit", "cancel", "run_now", "delete")
STEPS = st.tuples(
    st.sampled_from((*["add", "claim", "pass"] * 3, *ENDS, *CHANGES, "pause", "resume")),
    st.integers(0, 7),
    st.integers(0, 7),
)
OFFSETS = (-3_600, -55, -8, -2, 0, 50, 500, 5_000)
QUEUES = ("a", "b")
KEYS = (None, None, None, "k", "l")


async def test_what_another_scheduler_set_aside_since_ones_last_claim_is_due_once_its_key_is_free(
    storage: Storage,
) -> None:
    worker = await storage.a_worker()
    one, other = schedulers(storage, 2)
    await one.claim(10)
    first, second = await storage.added(*(due_in(-5 + n, concurrency_key="k") for n in range(2)))
    assert (await other.claim(10)).ids == [first]
    await done(storage, worker, [first])
    waits = await one.next_due_in()
    assert waits is not None
    assert waits <= timedelta(0)
    assert (await one.claim(10)).ids == [second]


async def test_what_no_limit_concerned_at_the_last_claim_is_held_to_what_is_set_since(storage: Storage) -> None:
    worker = await storage.a_worker()
    one, other = schedulers(storage, 2)
    for scheduler in (one, other):
        await scheduler.claim(10)
    await set_queue(storage, "default", paused=True)
    (due,) = await storage.added(due_in(-5))
    assert (await one.claim(10)).ids == []
    await set_queue(storage, "default", paused=False)
    assert (await other.claim(10)).ids == [due]
    first, second = await storage.added(*(due_in(-5 + n, concurrency_key="k") for n in range(2)))
    assert (await other.claim(10)).ids == [first]
    assert (await other.claim(10)).ids == []
    await done(storage, worker, [first])
    assert (await one.claim(10)).ids == [second]


async def test_a_claim_tells_the_room_that_is_left_and_when_the_next_is_due(storage: Storage) -> None:
    await storage.a_worker(slots=5)
    await storage.due_tasks.claim(10)
    await storage.added(due_in(-5), due_in(-5), due_in(40), due_in(50))
    claimed = await storage.due_tasks.claim(10)
    assert (len(claimed.ids), claimed.room) == (2, 3)
    assert timedelta(seconds=30) < claimed.idle_for <= timedelta(seconds=40)
    await storage.added(*(due_in(-5) for _ in range(4)))
    claimed = await storage.due_tasks.claim(10)
    assert (len(claimed.ids), claimed.room) == (3, 0)
    assert claimed.idle_for <= timedelta(0), "one is due that there was no room for"


async def test_a_task_that_is_due_and_held_by_another_transaction_leaves_no_claim_idle(
    storage: Storage,
) -> None:
    await storage.a_worker()
    await storage.due_tasks.claim(10)
    held, free = await storage.added(due_in(-10), due_in(-5))
    async with storage.database.transaction("test") as connection:
        await connection.execute("select from tasks where id = $1 for update", held)
        claimed = await storage.due_tasks.claim(10)
        assert claimed.ids == [free]
        assert claimed.idle_for <= timedelta(0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.booleans(), st.lists(STEPS, min_size=12, max_size=40))
async def test_whatever_happens_claims_find_what_a_look_at_every_row_finds(
    storage: Storage, keyed: bool, steps: list[Step]
) -> None:
    await storage.execute("truncate tasks, lanes, queues, workers, attempts, outbox cascade")
    worker = await storage.a_worker(slots=1_000)
    engine = Engine(storage, worker, schedulers(storage, 2), KEYS if keyed else (None,))
    for what, one, two in steps:
        await engine.step(what, one, two)
    while await engine.claims(3):
        pass


class Engine:
    """Does what a step says; each claim is held against the rows."""

    def __init__(
        self, storage: Storage, worker: UUID, claiming: Sequence[PostgresDueTasks], keys: Sequence[str | None]
    ) -> None:
        self.storage = storage
        self.worker = worker
        self.claiming = claiming
        self.keys = keys
        self.turn = 0
        self.ids: list[UUID] = []

    async def claims(self, limit: int) -> list[UUID]:
        self.turn += 1
        scheduler = self.claiming[self.turn % len(self.claiming)]
        expected = await claimable(self.storage)
        for each in self.claiming if expected else ():
            next_due = await each.next_due_in()
            assert next_due is not None
            assert next_due <= timedelta(0)
        answer = await scheduler.claim(limit)
        claimed = list(answer.ids)
        assert claimed[:1] == expected[:1]
        assert len(claimed) <= limit
        assert [id for id in expected if id in claimed] == claimed
        assert answer.idle_for <= timedelta(0) or claimed == expected
        return claimed

    async def step(self, what: str, one: int, two: int) -> None:
        match what:
            case "add":
                queue, key = QUEUES[one % 2], self.keys[two % len(self.keys)]
                self.ids += await self.storage.added(
                    due_in(OFFSETS[two], queue=queue, priority=one // 2 % 2, concurrency_key=key)
                )
            case "claim":
                await pass_time(self.storage, (0, 20, 20, 100)[two % 4], *self.claiming)
                await self.claims(one + 1)
            case "done" | "retry" | "hand_back":
                await self._end(what, one)
            case "take_back":
                await self.storage.due_tasks.take_back((await at_work(self.storage, state="QUEUED"))[: one + 1])
            case "pause" | "resume":
                await set_queue(self.storage, QUEUES[one % 2], paused=what == "pause")
            case "pass":
                await pass_time(self.storage, (1, 20, 100, 1_000)[one % 4], *self.claiming)
            case _ if self.ids:
                await self._change(what, self.ids[one % len(self.ids)], two)

    async def _end(self, how: str, count: int) -> None:
        started = await self.storage.attempts.start(self.worker, (await at_work(self.storage))[: count + 1])
        if how == "hand_back":
            await self.storage.attempts.hand_back(self.worker, [(one.task_id, one.fence) for one in started])
        elif how == "done":
            await done(self.storage, self.worker, [one.task_id for one in started])
        elif started:
            await self.storage.attempts.finish(self.worker, [_retried(one) for one in started])

    async def _change(self, what: str, id: UUID, two: int) -> None:
        task = await self.storage.task(id)
        if what == "edit" and task.state in CLAIMABLE | {TaskState.QUEUED}:
            at = due_in(OFFSETS[two]).scheduled_at
            await edit(self.storage, id, queue=QUEUES[two % 2], priority=two // 2 % 2, scheduled_at=at)
        elif what == "cancel":
            await self.storage.tasks.change("acme", id, Task.cancelled, UPDATED)
        elif what == "run_now" and task.state is not TaskState.RUNNING:
            await self.storage.tasks.change("acme", id, Task.run_now, UPDATED)
        elif what == "delete" and task.state is not TaskState.RUNNING:
            await self.storage.tasks.delete("acme", id)
            self.ids.remove(id)


def _retried(started: Any) -> Settled:
    policy = RetryPolicy(backoff=Backoff.FIXED, base=timedelta(0), max_attempts=100)
    return settle(replace(started, retry=policy), Failed(type="Boom", message="no luck"), 0)
