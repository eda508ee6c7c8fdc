"""What attempts tell is stored under their fence, once, and in its order; of lines, the last are kept."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from domain.actions.model import Failed, Succeeded
from domain.attempts.activity import LINES_KEPT, LINES_READ, LogPlace, NewLine, ProgressReport
from domain.attempts.model import Started, settle
from domain.attempts.retry import Backoff, RetryPolicy
from domain.tasks.states import TaskState
from tests.support.storage import Storage, a_task, clock, ids

pytestmark = pytest.mark.postgres

FAILED = Failed(type="Error", message="no")
AT_ONCE = RetryPolicy(backoff=Backoff.FIXED, base=timedelta(0))
START = LogPlace(0, 0)


def line(started: Started, number: int, message: str = "", age: float = 0) -> NewLine:
    return NewLine(
        task_id=started.task_id,
        place=LogPlace(started.fence, number),
        attempt=started.number,
        age=timedelta(seconds=age),
        message=message or f"line {number}",
    )


def report(started: Started, fraction: float, message: str | None = None) -> ProgressReport:
    return ProgressReport(task_id=started.task_id, fence=started.fence, fraction=fraction, message=message)


async def messages(storage: Storage, started: Started, last: int = LINES_KEPT) -> list[str]:
    (lines,) = await storage.activity.log("acme", [started.task_id], last)
    return [each.message for each in lines]


async def test_progress_is_that_of_the_latest_attempt(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task(retry=AT_ONCE))
    unknown = ProgressReport(task_id=ids.next(), fence=1, fraction=0.1, message=None)
    await storage.activity.write_progress(worker, [report(started, 0.5, "half"), unknown])
    (progress,) = await storage.activity.progress("acme", [started.task_id])
    assert progress is not None
    assert (progress.fraction, progress.message) == (0.5, "half")
    await storage.attempts.finish(worker, [settle(started, FAILED, 0)])
    await storage.claimed(1)
    await storage.attempts.start(worker, [started.task_id])
    assert await storage.activity.progress("acme", [started.task_id]) == [None]
    await storage.activity.write_progress(worker, [report(started, 0.9, "stale")])
    assert await storage.activity.progress("acme", [started.task_id]) == [None]


async def test_lines_of_many_tasks_are_written_together_and_read_in_their_order(storage: Storage) -> None:
    worker = await storage.a_worker()
    one, two = await storage.started(worker, a_task(), a_task())
    before = clock.now()
    written = [line(one, 1, "a", age=2), line(two, 1, "x"), line(one, 2, "b", age=1)]
    assert await storage.activity.write_log(written) == 3
    logs = await storage.activity.log("acme", [two.task_id, ids.next(), one.task_id], 10)
    assert [[each.message for each in lines] for lines in logs] == [["x"], [], ["a", "b"]]
    first, second = logs[2]
    assert timedelta(seconds=0.9) < second.at - first.at < timedelta(seconds=1.1)
    assert first.at < before
    assert (first.attempt, first.place) == (1, LogPlace(1, 1))


async def test_another_tenant_reads_no_line(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.activity.write_log([line(started, 1)])
    assert await storage.activity.log("other", [started.task_id], 10) == [[]]
    assert await storage.activity.recent("other", started.task_id, START) is None


async def test_a_line_given_again_is_stored_once(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    given = [line(started, 1), line(started, 2)]
    await storage.activity.write_log(given[:1])
    counts = await asyncio.gather(*(storage.activity.write_log(given) for _ in range(4)))
    assert sum(counts) == 1
    assert await messages(storage, started) == ["line 1", "line 2"]


async def test_a_worker_that_lost_its_lease_writes_nothing(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.activity.write_log([line(started, 1, "in time")])
    await storage.lapse(worker)
    await storage.rescue.lost_attempts(10)
    assert await storage.activity.write_log([line(started, 2, "too late")]) == 0
    await storage.claimed(1)
    other = await storage.a_worker()
    await storage.claimed(1)
    (again,) = await storage.attempts.start(other, [started.task_id])
    assert await storage.activity.write_log([line(started, 3, "too late"), line(again, 1, "again")]) == 1
    assert await messages(storage, started) == ["in time", "again"]


async def test_last_lines_may_come_when_the_end_is_recorded(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.attempts.finish(worker, [settle(started, Succeeded(), 0)])
    assert await storage.activity.write_log([line(started, 1)]) == 1


async def test_of_a_task_the_last_lines_are_kept(storage: Storage) -> None:
    worker = await storage.a_worker()
    started, other = await storage.started(worker, a_task(), a_task())
    await storage.activity.write_log([line(other, 1)])
    total = 3 * LINES_KEPT
    for first in range(1, total, 10):
        await storage.activity.write_log([line(started, number) for number in range(first, first + 10)])
    kept = await messages(storage, started)
    assert kept == [f"line {number}" for number in range(total - LINES_KEPT + 1, total + 1)]
    stored = await messages(storage, started, 10 * LINES_KEPT)
    assert len(stored) < LINES_KEPT + 50, "the table does not grow with what was ever written"
    assert await messages(storage, other) == ["line 1"]


async def test_a_task_with_many_attempts_does_not_keep_the_lines_of_all(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    for fence in range(2, 302):
        await storage.execute("update tasks set fence = $2 where id = $1", started.task_id, fence)
        row = NewLine(
            task_id=started.task_id,
            place=LogPlace(fence, 1),
            attempt=fence,
            age=timedelta(0),
            message=f"attempt {fence}",
        )
        await storage.activity.write_log([row])
    stored = await messages(storage, started, 10_000)
    assert LINES_KEPT <= len(stored) <= LINES_KEPT + 2
    assert stored[-1] == "attempt 301"


async def test_a_log_goes_with_its_task(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.activity.write_log([line(started, 1)])
    await storage.attempts.finish(worker, [settle(started, Succeeded(), 0)])
    await storage.tasks.delete("acme", started.task_id)
    assert await messages(storage, started) == []
    assert await storage.activity.write_log([line(started, 2)]) == 0
    async with storage.database.work("test") as connection:
        assert await connection.fetchval("select count(*) from task_log") == 0


async def test_what_is_new_is_read_a_part_at_a_time(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    now = await storage.activity.recent("acme", started.task_id, None)
    assert now is not None
    assert (now.lines, now.last, now.progress) == ((), START, None)
    assert (now.task.state, now.task.attempt) == ("RUNNING", 1)
    await storage.activity.write_log([line(started, number + 1) for number in range(LINES_READ + 5)])
    await storage.activity.write_progress(worker, [report(started, 0.5)])
    first = await storage.activity.recent("acme", started.task_id, START)
    assert first is not None
    assert len(first.lines) == LINES_READ
    assert first.progress is not None
    second = await storage.activity.recent("acme", started.task_id, first.last)
    assert second is not None
    assert [each.message for each in second.lines] == [f"line {LINES_READ + n}" for n in range(1, 6)]
    third = await storage.activity.recent("acme", started.task_id, second.last)
    assert third is not None
    assert (third.lines, third.last) == ((), second.last)
    now = await storage.activity.recent("acme", started.task_id, None)
    assert now is not None
    assert now.last == second.last


async def test_a_task_that_ended_is_read_as_its_last_event(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task())
    await storage.attempts.finish(worker, [settle(started, Succeeded(), 0)])
    recent = await storage.activity.recent("acme", started.task_id, None)
    assert recent is not None
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        told = [each.event for each in await lead.oldest(10)]
    assert told[-1] == recent.task
    assert recent.task.state == TaskState.SUCCEEDED


async def test_no_line_is_committed_behind_one_of_a_later_start(storage: Storage) -> None:
    """A reader goes on from the last place it saw: what came in before that later would be missed."""
    worker = await storage.a_worker(lease=timedelta(seconds=30))
    (started,) = await storage.started(worker, a_task())
    async with storage.database.transaction("test") as connection:
        await connection.execute("select from tasks where id = $1 for share", started.task_id)
        await storage.lapse(worker)
        rescue = asyncio.create_task(storage.rescue.lost_attempts(10))
        assert await storage.activity.write_log([line(started, 1, "in time")]) == 1
        assert not rescue.done(), "it waits for the line that is being written"
    assert await rescue == 1
    assert await storage.activity.write_log([line(started, 2, "too late")]) == 0
