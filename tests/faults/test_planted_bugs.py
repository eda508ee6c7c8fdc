"""Bugs put into the engine on purpose: the tests that guard its promises have to find every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType

import pytest

from domain.tasks.states import TaskState
from infra.postgres import attempts, claiming, due_tasks, firing, outbox, rescue, tasks, workers
from tests.contracts import test_attempts as contract
from tests.contracts import test_claim_keys as key_contract
from tests.contracts import test_claims as claims
from tests.contracts import test_firing as firing_contract
from tests.support.claiming import done, schedulers
from tests.support.engine import Engine
from tests.support.engine_machine import drive
from tests.support.schedules import Garden
from tests.support.storage import Storage, a_task
from tests.support.waiting import until

pytestmark = pytest.mark.postgres

ROOM_LOCK = "; select pg_advisory_xact_lock(hashtext('carillon.room'))"
SHORT = {
    "a created task tells nobody",
    "a result with an old fence counts",
    "a start keeps the fence",
    "an end tells nobody",
    "tasks are claimed early",
    "the room is not counted",
}
"""Those of a plain `bin/test`; all of them take a minute or more."""
HISTORIES = 200
"""At most; nearly all are found within a few."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A part of a statement, and what it says by mistake."""

    what: str
    module: ModuleType
    statement: str
    right: str
    wrong: str = ""
    also: tuple[str, str] | None = None
    """Another part and what it says, where one alone would be made good for by the other."""

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        statement: str = getattr(self.module, self.statement)
        for right, wrong in filter(None, [(self.right, self.wrong), self.also]):
            assert statement.count(right) == 1, f"{self.statement} no longer says this once: {right}"
            statement = statement.replace(right, wrong)
        monkeypatch.setattr(self.module, self.statement, statement)


FOUND_BY_THE_MACHINE = [
    Bug(
        "a created task tells nobody",
        tasks,
        "ADD",
        "outbox_partition(id), event from added",
        "outbox_partition(id), event from added where false",
    ),
    Bug("a key is not kept", tasks, "ADD", "n.priority, n.key, n.owner", "n.priority, null, n.owner"),
    Bug("an edit keeps the version", tasks, "CHANGE", "version = t.version + 1,"),
    Bug("a deleted task tells nobody", tasks, "DELETE", "from gone\n)", "from gone where false\n)"),
    Bug("run again keeps the losses", tasks, "CHANGE", "then 0 else t.losses", "then t.losses else t.losses"),
    Bug(
        "tasks are claimed early",
        due_tasks,
        "CLAIM_PLAIN",
        "<= (p.tenant, p.queue, p.priority, now())",
        "<= (p.tenant, p.queue, p.priority, 'infinity')",
        also=("and t.scheduled_at <= now()", ""),
    ),
    Bug(
        "ended tasks are claimed",
        due_tasks,
        "CLAIM_PLAIN",
        "state in ('SCHEDULED', 'RETRYING') and not awaits_key and (tenant, queue, priority, scheduled_at) <=",
        "state <> 'QUEUED' and not awaits_key and (tenant, queue, priority, scheduled_at) <=",
        also=("t.state::text in ('SCHEDULED', 'RETRYING') and t.scheduled_at", "t.scheduled_at"),
    ),
    Bug("the room is not counted", due_tasks, "CLAIM_PLAIN", "least($9::int,", "greatest($9::int,"),
    Bug("a paused queue is claimed", due_tasks, "CLAIM", "least(case when paused then 0 end,", "least("),
    Bug("two of a key are claimed", due_tasks, "CLAIM", "from apart where in_key = 1", "from apart"),
    Bug("what runs is taken back", due_tasks, "TAKE_BACK", "= any($1) and state = 'QUEUED'", "= any($1)"),
    Bug(
        "a hand-over nobody made is started",
        attempts,
        "START",
        "t.state = 'QUEUED' and",
        "t.state <> 'RUNNING' and",
    ),
    Bug("a start without a lease", attempts, "START", "and lease_until > now() for key share", "for key share"),
    Bug("a start keeps the fence", attempts, "START", "fence = t.fence + 1, "),
    Bug("a result with an old fence counts", attempts, "FINISH", "t.fence = s.fence and "),
    Bug("a result of another worker counts", attempts, "FINISH", " and t.worker_id = $1"),
    Bug("an end tells nobody", attempts, "FINISH", "event from finished", "event from finished where false"),
    Bug("a snooze counts", attempts, "FINISH", " + f.uncounted"),
    Bug("an old fence hands back", attempts, "HAND_BACK", " and t.fence = g.fence"),
    Bug("what is handed back counts", attempts, "HAND_BACK", "attempt = t.attempt - 1, "),
    Bug("a lapsed lease is renewed", workers, "BEAT", "where id = $1 and lease_until > now()", "where id = $1"),
    Bug("a worker leaves what it runs", workers, "LEAVE", "not exists", "true or not exists"),
    Bug("a rescue keeps the fence", rescue, "LOST_ATTEMPTS", "fence = t.fence + 1, "),
    Bug("a task may kill workers for ever", rescue, "LOST_ATTEMPTS", "t.losses + 1 >= $2 or "),
    Bug(
        "a rescued attempt leaves no trace",
        rescue,
        "LOST_ATTEMPTS",
        "    from moved\n), told",
        "from moved where false\n), told",
    ),
    Bug("a forced cancellation keeps the fence", rescue, "DEAF_CANCELLATIONS", "fence = t.fence + 1, "),
    Bug("events are told in no order", outbox, "OLDEST", "order by seq", "order by partition desc, seq desc"),
    Bug("what was not published is removed", outbox, "REMOVE", "seq = any($1)", "seq <= ($1::bigint[])[1] + 3"),
    Bug("a look removes too much", outbox, "OLDEST", "seq = any($4)", "seq >= any($4)"),
]


@pytest.mark.fault(0, "planted")
@pytest.mark.usefixtures("anyio_backend")
@pytest.mark.parametrize(
    "bug",
    [
        pytest.param(bug, id=bug.what, marks=() if bug.what in SHORT else pytest.mark.long)
        for bug in FOUND_BY_THE_MACHINE
    ],
)
def test_random_histories_find(bug: Bug, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017, PT011  an assertion of the machine, or storage refuses the row
        drive(engine, examples=HISTORIES, shrink=False)
    monkeypatch.undo()


async def a_start_holds_its_workers_row(storage: Storage) -> None:
    """While a start is under way, its worker cannot be taken for gone and forgotten."""
    worker = await storage.a_worker()
    (id,) = await storage.added(a_task())
    await storage.claimed(1)
    async with asyncio.TaskGroup() as group, storage.database.transaction("test") as connection:
        await connection.execute("select from tasks where id = $1 for update", id)
        starting = group.create_task(storage.attempts.start(worker, [id]))
        waiting = "select count(*) > 0 from pg_locks where not granted"
        await until(lambda: connection.fetchval(waiting))
        await storage.lapse(worker)
        assert await storage.rescue.lost_attempts(10) == 0
        assert await connection.fetchval("select count(*) from workers where id = $1", worker) == 1
    assert [one.task_id for one in starting.result()] == [id]
    assert await storage.rescue.lost_attempts(10) == 1


async def a_first_claim_leaves_alone_what_has_ended(storage: Storage) -> None:
    worker = await storage.a_worker()
    ended = await storage.added(a_task())
    await storage.claimed(1)
    await done(storage, worker, ended)
    (scheduler,) = schedulers(storage, 1)
    assert (await scheduler.claim(1)).ids == []


async def a_claim_leaves_alone_what_is_being_changed(storage: Storage) -> None:
    """A task that is being cancelled is not handed over once that is committed."""
    await storage.a_worker()
    (id,) = await storage.added(a_task())
    async with storage.database.transaction("test") as connection:
        await connection.execute("update tasks set state = 'CANCELLED' where id = $1", id)
        assert await storage.claimed(1) == []
    assert (await storage.task(id)).state is TaskState.CANCELLED


async def a_later_claim_leaves_alone_what_is_being_changed(storage: Storage) -> None:
    """The same, where the one before saw no limits."""
    await storage.a_worker()
    await storage.claimed(1)
    await a_claim_leaves_alone_what_is_being_changed(storage)


async def a_claim_waits_for_the_one_under_way(storage: Storage) -> None:
    """Who counts the room must see what the last one took of it."""
    await storage.a_worker()
    added = await storage.added(a_task())
    async with asyncio.TaskGroup() as group, storage.database.work("test") as connection:
        await connection.execute(claiming.BEGIN_LOCKED)
        claim = group.create_task(storage.claimed(1))
        waiting = "select count(*) > 0 from pg_locks where not granted and locktype = 'advisory'"
        await until(lambda: connection.fetchval(waiting), 2)
        assert not claim.done()
        await connection.execute("commit")
    assert claim.result() == added


async def nothing_fires_early_or_twice(storage: Storage) -> None:
    await firing_contract.test_nothing_fires_early_or_twice(storage, Garden(storage))


async def nothing_fires_once_a_pause_is_committed(storage: Storage) -> None:
    garden = Garden(storage)
    await firing_contract.test_nothing_of_before_fires_once_a_change_is_committed(storage, garden, "pause")


Guard = Callable[[Storage], Awaitable[None]]
FOUND_BY_A_TEST: list[tuple[Bug, Guard]] = [
    (
        Bug(
            "a first claim takes tasks early",
            due_tasks,
            "CLAIM",
            "<= (p.tenant, p.queue, p.priority, now())",
            "<= (p.tenant, p.queue, p.priority, 'infinity')",
            also=("and t.scheduled_at <= now()", ""),
        ),
        contract.test_only_due_tasks_are_claimed,
    ),
    (
        Bug(
            "a first claim takes ended tasks",
            due_tasks,
            "CLAIM",
            "state in ('SCHEDULED', 'RETRYING') and not awaits_key and (tenant, queue, priority, scheduled_at) "
            "<=",
            "state <> 'QUEUED' and not awaits_key and (tenant, queue, priority, scheduled_at) <=",
            also=("t.state::text in ('SCHEDULED', 'RETRYING') and t.scheduled_at", "t.scheduled_at"),
        ),
        a_first_claim_leaves_alone_what_has_ended,
    ),
    (
        Bug("a first claim counts no room", due_tasks, "CLAIM", "least($12::int,", "greatest($12::int,"),
        contract.test_no_more_is_claimed_than_live_workers_have_room_for,
    ),
    (
        Bug("a start holds no worker", attempts, "START", "for key share"),
        a_start_holds_its_workers_row,
    ),
    (
        Bug("a rescue does not wait for a start", rescue, "DEAD_WORKERS", "for update skip locked"),
        contract.test_a_start_that_straddles_the_rescue_of_its_worker_is_not_orphaned,
    ),
    (
        Bug("an orphan is not seen", rescue, "LOST_ATTEMPTS", "or not exists", "or false and not exists"),
        contract.test_a_running_task_whose_worker_has_no_row_is_rescued,
    ),
    (
        Bug("a cancelled task is tried again", attempts, "FINISH", "then 'CANCELLED'", "then 'RETRYING'"),
        contract.test_a_failure_of_a_task_asked_to_stop_is_not_retried,
    ),
    (
        Bug("schedulers do not wait for each other", due_tasks, "BEGIN_LOCKED", ROOM_LOCK),
        a_claim_waits_for_the_one_under_way,
    ),
    (
        Bug("a claim overrules a cancellation", due_tasks, "CLAIM", "for update of t skip locked"),
        a_claim_leaves_alone_what_is_being_changed,
    ),
    (
        Bug("a plain claim overrules a cancellation", due_tasks, "CLAIM_PLAIN", "for update of t skip locked"),
        a_later_claim_leaves_alone_what_is_being_changed,
    ),
    (
        Bug(
            "a plain claim minds no pause", due_tasks, "CLAIM_PLAIN", "not exists (select from queues)", "true"
        ),
        claims.test_what_no_limit_concerned_at_the_last_claim_is_held_to_what_is_set_since,
    ),
    (
        Bug(
            "a plain claim sees no keys",
            due_tasks,
            "CLAIM_PLAIN",
            "not exists (select from due where concurrency_key is not null)",
            "true",
        ),
        claims.test_what_no_limit_concerned_at_the_last_claim_is_held_to_what_is_set_since,
    ),
    (
        Bug(
            "what waited for a key is forgotten",
            due_tasks,
            "CLAIM",
            "from keys as k\n    cross join",
            "from (select * from keys where false) as k\n    cross join",
        ),
        key_contract.test_tasks_of_one_key_are_handed_over_one_at_a_time_in_their_order,
    ),
    (
        Bug("schedules fire early", firing, "DUE", "next_fire_time <= now() and "),
        nothing_fires_early_or_twice,
    ),
    (
        Bug("a fire does not lock its schedule", firing, "DUE", "for update skip locked"),
        nothing_fires_once_a_pause_is_committed,
    ),
    (
        Bug("a fire settles nothing", firing, "SETTLE", "where s.id = n.id", "where false and s.id = n.id"),
        nothing_fires_early_or_twice,
    ),
]


async def test_a_claim_waits_for_the_one_under_way(storage: Storage) -> None:
    await a_claim_waits_for_the_one_under_way(storage)


async def test_a_first_claim_leaves_alone_what_has_ended(storage: Storage) -> None:
    await a_first_claim_leaves_alone_what_has_ended(storage)


async def test_a_claim_leaves_alone_what_is_being_changed(storage: Storage) -> None:
    await a_claim_leaves_alone_what_is_being_changed(storage)


async def test_a_later_claim_leaves_alone_what_is_being_changed(storage: Storage) -> None:
    await a_later_claim_leaves_alone_what_is_being_changed(storage)


async def test_a_start_holds_its_workers_row(storage: Storage) -> None:
    await a_start_holds_its_workers_row(storage)


@pytest.mark.fault(0, "planted")
@pytest.mark.parametrize(("bug", "guard"), FOUND_BY_A_TEST, ids=[bug.what for bug, _ in FOUND_BY_A_TEST])
async def test_its_guard_finds(
    bug: Bug, guard: Guard, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug.plant(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017, PT011  an assertion, or what comes of waiting for ever
        await guard(storage)
