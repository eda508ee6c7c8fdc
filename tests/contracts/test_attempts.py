"""What handing over, running and rescuing promise; each test breaks what it guards."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from domain.actions.model import Cancelled, Failed, Snoozed, Succeeded, TimedOut
from domain.attempts.model import AttemptState, settle
from domain.attempts.retry import Backoff, RetryPolicy
from domain.contracts.tasks import TaskEventKind
from domain.tasks.model import Task
from domain.tasks.states import TaskState
from tests.support.storage import LEASE, Storage, a_task, clock, due_in

pytestmark = pytest.mark.postgres

AT_ONCE = RetryPolicy(backoff=Backoff.FIXED, base=timedelta(0))
FAILED = Failed(type="Boom", message="no luck")


async def test_only_due_tasks_are_claimed(storage: Storage) -> None:
    await storage.a_worker()
    (due,) = await storage.added(a_task())
    await storage.added(due_in(60))
    assert await storage.claimed(10) == [due]


async def test_the_most_urgent_is_claimed_first_then_the_longest_due(storage: Storage) -> None:
    await storage.a_worker()
    late, later, urgent = due_in(-5), due_in(-9), due_in(-1, priority=0)
    await storage.added(late, later, urgent)
    assert await storage.claimed(10) == [urgent.id, later.id, late.id]


async def test_an_attempt_knows_when_its_task_was_handed_over(storage: Storage) -> None:
    worker = await storage.a_worker()
    before = clock.now()
    [started] = await storage.started(worker, due_in(-60))
    assert started.queued_at is not None
    assert before - timedelta(seconds=1) < started.queued_at <= started.started_at
    [again] = await storage.attempts.start(worker, [started.task_id])
    assert again.queued_at is None


async def test_no_more_is_claimed_than_live_workers_have_room_for(storage: Storage) -> None:
    worker = await storage.a_worker(slots=3)
    lapsed = await storage.a_worker(slots=100)
    await storage.lapse(lapsed)
    draining = await storage.a_worker(slots=100)
    await storage.workers.beat(draining, LEASE, draining=True)
    await storage.added(*(a_task() for _ in range(10)))
    claimed = await storage.claimed(10)
    assert len(claimed) == 3
    assert await storage.claimed(10) == []
    (first, *_) = await storage.attempts.start(worker, claimed)
    assert await storage.claimed(10) == []
    await storage.attempts.finish(worker, [settle(first, Succeeded(), 0)])
    assert len(await storage.claimed(10)) == 1


async def test_schedulers_that_claim_at_once_share_the_room_and_never_a_task(storage: Storage) -> None:
    await storage.a_worker(slots=50)
    await storage.added(*(a_task() for _ in range(80)))
    claims = await asyncio.gather(*(storage.claimed(30) for _ in range(6)))
    claimed = [id for claim in claims for id in claim]
    assert len(claimed) == len(set(claimed)) == 50


async def test_without_a_live_worker_nothing_is_claimed(storage: Storage) -> None:
    await storage.added(a_task())
    assert await storage.claimed(10) == []


async def test_the_next_due_instant_is_known(storage: Storage) -> None:
    assert await storage.due_tasks.next_due_in() is None
    await storage.added(due_in(300), due_in(60, priority=9))
    wait = await storage.due_tasks.next_due_in()
    assert wait is not None
    assert timedelta(seconds=50) < wait <= timedelta(seconds=60)


async def test_a_hand_over_that_failed_is_taken_back(storage: Storage) -> None:
    await storage.a_worker()
    (id,) = await storage.added(a_task())
    await storage.claimed(1)
    await storage.due_tasks.take_back([id])
    assert (await storage.task(id)).state is TaskState.SCHEDULED
    assert await storage.claimed(1) == [id]


async def test_a_hand_over_delivered_twice_starts_once(storage: Storage) -> None:
    one, two = await storage.a_worker(), await storage.a_worker()
    (id,) = await storage.added(a_task())
    await storage.claimed(1)
    starts = await asyncio.gather(
        storage.attempts.start(one, [id]), storage.attempts.start(two, [id]), storage.attempts.start(one, [id])
    )
    assert {attempt.fence for started in starts for attempt in started} == {1}
    assert not (starts[0] and starts[1]), "one worker alone has it"


async def test_a_start_whose_answer_was_lost_can_be_asked_for_again(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    assert await storage.attempts.start(worker, [started.task_id]) == [started]
    assert (await storage.event_kinds(started.task_id)).count("STARTED") == 1


async def test_a_worker_without_a_live_lease_starts_nothing(storage: Storage) -> None:
    worker = await storage.a_worker()
    await storage.added(a_task())
    claimed = await storage.claimed(1)
    await storage.lapse(worker)
    assert await storage.attempts.start(worker, claimed) == []


@pytest.mark.fault(25, "an action of a newer version")
async def test_an_action_of_a_newer_version_holds_up_no_other(storage: Storage) -> None:
    worker = await storage.a_worker()
    new, known = await storage.added(a_task(), a_task())
    await storage.execute(
        "update tasks set action = jsonb_set(action, '{kind}', '\"FUTURE\"') where id = $1", new
    )
    await storage.claimed(2)
    assert [one.task_id for one in await storage.attempts.start(worker, [new, known])] == [known]


async def test_a_success_is_recorded_with_its_attempt_and_its_event(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    recorded = await storage.attempts.finish(worker, [settle(started, Succeeded({"n": 1}), 0)])
    task = await storage.task(started.task_id)
    assert recorded == {started.task_id}
    assert (task.state, task.result, task.worker) == (TaskState.SUCCEEDED, {"n": 1}, None)
    ((attempt,),) = await storage.attempts.history("acme", [task.id], 10)
    assert attempt.state is AttemptState.SUCCEEDED
    assert attempt.started_at >= attempt.due_at
    assert await storage.event_kinds(task.id) == ["CREATED", "QUEUED", "STARTED", "SUCCEEDED"]


async def test_an_outcome_is_recorded_once(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    done = settle(started, Succeeded(), 0)
    recorded = await asyncio.gather(*(storage.attempts.finish(worker, [done]) for _ in range(5)))
    assert sum(len(ids_) for ids_ in recorded) == 1


async def test_a_failure_is_retried_until_its_attempts_are_used_up(storage: Storage) -> None:
    worker = await storage.a_worker()
    policy = RetryPolicy(max_attempts=3, backoff=Backoff.FIXED, base=timedelta(0))
    (started,) = await storage.started(worker, a_task(retry=policy))
    for number in (1, 2, 3):
        await storage.attempts.finish(worker, [settle(started, FAILED, 0)])
        task = await storage.task(started.task_id)
        assert task.error is not None
        assert task.error.attempt == number
        if number < 3:
            assert task.state is TaskState.RETRYING
            await storage.claimed(1)
            (started,) = await storage.attempts.start(worker, [task.id])
    assert (await storage.task(started.task_id)).state is TaskState.FAILED
    ((*attempts,),) = await storage.attempts.history("acme", [started.task_id], 10)
    assert [attempt.number for attempt in attempts] == [1, 2, 3]


async def test_a_retry_waits_for_its_backoff(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(
        worker, a_task(retry=RetryPolicy(backoff=Backoff.FIXED, base=timedelta(seconds=50)))
    )
    await storage.attempts.finish(worker, [settle(started, FAILED, 0)])
    wait = await storage.due_tasks.next_due_in()
    assert wait is not None
    assert timedelta(seconds=45) < wait <= timedelta(seconds=50)


async def test_a_snooze_uses_no_attempt(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task(retry=RetryPolicy(max_attempts=1)))
    await storage.attempts.finish(worker, [settle(started, Snoozed(clock.now()), 0)])
    await storage.claimed(1)
    (again,) = await storage.attempts.start(worker, [started.task_id])
    assert (again.number, again.counted) == (2, 1)


async def test_no_snooze_puts_a_task_beyond_what_can_be_written(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.attempts.finish(worker, [settle(started, Snoozed(datetime.max.replace(tzinfo=UTC)), 0)])
    assert (await storage.task(started.task_id)).scheduled_at < clock.now() + timedelta(days=401)


async def test_time_outs_and_cancellations_are_told_apart(storage: Storage) -> None:
    worker = await storage.a_worker()
    late, stopped = await storage.started(worker, a_task(retry=AT_ONCE), a_task())
    await storage.attempts.finish(worker, [settle(late, TimedOut(1), 0), settle(stopped, Cancelled(), 0)])
    histories = await storage.attempts.history("acme", [late.task_id, stopped.task_id], 10)
    assert [attempt.state for (attempt,) in histories] == [AttemptState.TIMED_OUT, AttemptState.CANCELLED]
    assert (await storage.task(stopped.task_id)).state is TaskState.CANCELLED


async def test_a_failure_of_a_task_asked_to_stop_is_not_retried(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.tasks.change("acme", started.task_id, Task.cancelled, TaskEventKind.UPDATED)
    await storage.attempts.finish(worker, [settle(started, FAILED, 0)])
    assert (await storage.task(started.task_id)).state is TaskState.CANCELLED


async def test_a_beat_brings_the_cancellations_asked_for(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    assert (await storage.workers.beat(worker, LEASE)).cancel_requested == frozenset()
    await storage.tasks.change("acme", started.task_id, Task.cancelled, TaskEventKind.UPDATED)
    beat = await storage.workers.beat(worker, LEASE)
    assert beat.alive
    assert beat.cancel_requested == {started.task_id}


async def test_a_beat_after_the_lease_lapsed_does_not_revive_it(storage: Storage) -> None:
    worker = await storage.a_worker()
    await storage.lapse(worker)
    assert not (await storage.workers.beat(worker, LEASE)).alive


async def test_tasks_of_a_dead_worker_run_again_and_its_late_result_is_refused(storage: Storage) -> None:
    dead, live = await storage.a_worker(), await storage.a_worker()
    (lost,) = await storage.started(dead, a_task())
    assert await storage.rescue.lost_attempts(10) == 0
    await storage.lapse(dead)
    assert await storage.rescue.lost_attempts(10) == 1
    await storage.claimed(1)
    (again,) = await storage.attempts.start(live, [lost.task_id])
    assert await storage.attempts.finish(dead, [settle(lost, Succeeded("late"), 0)]) == frozenset()
    assert await storage.attempts.finish(live, [settle(again, Succeeded("good"), 0)]) == {lost.task_id}
    assert (await storage.task(lost.task_id)).result == "good"
    ((first, second),) = await storage.attempts.history("acme", [lost.task_id], 10)
    assert (first.state, second.state) == (AttemptState.LOST, AttemptState.SUCCEEDED)


async def test_a_task_that_kills_its_workers_fails_after_three(storage: Storage) -> None:
    (id,) = await storage.added(a_task(retry=RetryPolicy(max_attempts=50)))
    for _ in range(3):
        worker = await storage.a_worker()
        await storage.claimed(1)
        await storage.attempts.start(worker, [id])
        await storage.lapse(worker)
        await storage.rescue.lost_attempts(10)
    task = await storage.task(id)
    assert task.state is TaskState.FAILED
    assert task.error is not None
    assert task.error.type == "WorkerLost"


async def test_a_start_that_straddles_the_rescue_of_its_worker_is_not_orphaned(storage: Storage) -> None:
    """The rescuer waits for the start's lock on the worker, and sees what it started."""
    worker = await storage.a_worker()
    (id,) = await storage.added(a_task())
    await storage.claimed(1)
    async with storage.database.transaction("test") as connection:
        await connection.execute("select id from workers where id = $1 for key share", worker)
        await connection.execute(
            "update tasks set state = 'RUNNING', worker_id = $1, attempt = 1, fence = 1, started_at = now() "
            "where id = $2",
            worker,
            id,
        )
        await storage.lapse(worker)
        assert await storage.rescue.lost_attempts(10) == 0, "the worker's row is held: it is skipped"
    assert await storage.rescue.lost_attempts(10) == 1
    assert (await storage.task(id)).state is TaskState.RETRYING


async def test_a_running_task_whose_worker_has_no_row_is_rescued(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.execute("delete from workers where id = $1", worker)
    assert await storage.rescue.lost_attempts(10) == 1
    assert (await storage.task(started.task_id)).state is TaskState.RETRYING


async def test_a_hand_over_nobody_started_is_put_back(storage: Storage) -> None:
    await storage.a_worker()
    (id,) = await storage.added(a_task())
    await storage.claimed(1)
    assert await storage.rescue.lost_hand_overs(timedelta(seconds=10), 10) == 0
    assert await storage.rescue.lost_hand_overs(timedelta(0), 10) == 1
    assert (await storage.task(id)).state is TaskState.SCHEDULED


async def test_a_handler_deaf_to_its_cancellation_is_cancelled_and_refused(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.tasks.change("acme", started.task_id, Task.cancelled, TaskEventKind.UPDATED)
    assert await storage.rescue.deaf_cancellations(timedelta(seconds=10), 10) == 0
    assert await storage.rescue.deaf_cancellations(timedelta(0), 10) == 1
    assert await storage.attempts.finish(worker, [settle(started, Succeeded(), 0)]) == frozenset()
    assert (await storage.task(started.task_id)).state is TaskState.CANCELLED


async def test_what_a_stopping_worker_hands_back_does_not_count(storage: Storage) -> None:
    worker, other = await storage.a_worker(), await storage.a_worker()
    (started,) = await storage.started(worker, a_task(retry=RetryPolicy(max_attempts=1)))
    await storage.attempts.hand_back(worker, [(started.task_id, started.fence)])
    await storage.workers.leave(worker)
    assert (await storage.task(started.task_id)).attempt == 0
    await storage.claimed(1)
    (again,) = await storage.attempts.start(other, [started.task_id])
    assert (again.number, again.counted) == (1, 1)
    assert again.fence > started.fence


async def test_a_worker_that_still_runs_something_does_not_vanish(storage: Storage) -> None:
    worker = await storage.a_worker()
    await storage.started(worker, a_task())
    await storage.workers.leave(worker)
    assert (await storage.workers.beat(worker, LEASE)).alive


async def test_a_running_attempt_is_part_of_the_history(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    ((attempt,),) = await storage.attempts.history("acme", [started.task_id], 10)
    assert (attempt.state, attempt.number) == (AttemptState.RUNNING, 1)
    assert await storage.attempts.find("acme", [(started.task_id, 1), (started.task_id, 2)]) == [attempt, None]
    assert await storage.attempts.history("other", [started.task_id], 10) == [[]]


async def test_every_write_of_the_engine_tells_the_version_it_made(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.attempts.finish(worker, [settle(started, Succeeded(), 0)])
    assert [one.version for one in storage.changed if one.id == started.task_id] == [2, 3, 4]
