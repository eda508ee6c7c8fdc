"""How attempts and runners are stopped: time limits, cancellation, draining, lost leases."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from domain.actions.model import Call, Failed, Outcome, Succeeded
from domain.actions.ports import Reporter
from domain.attempts.model import Started
from domain.errors import Unavailable
from domain.live.ports import Signal
from jobs import runner as runner_module
from tests.support.engine_fakes import Handler, ids, logged, sample
from tests.support.runner_work import Work
from tests.support.waiting import settle_down, until

# Being asked to stop


async def test_an_attempt_that_takes_too_long_has_timed_out() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    task = work.engine.add_run("wait", timeout=0.01)
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "RETRYING")
    assert work.engine.rows[task].outcomes == [(1, "TIMED_OUT")]
    assert handler.asked == 1


async def test_an_attempt_that_is_cancelled_is_cancelled() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    task = work.engine.add_run("wait")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: handler.running == 1)
        runner.cancel([task, ids.next()])
        runner.cancel([task])
        await until(lambda: work.state(task) == "CANCELLED")
    assert handler.asked == 1


async def test_a_task_cancelled_before_its_first_step_is_cancelled() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    task = work.engine.add_run("wait")
    async with work.runner() as runner:
        await runner.take([task])
        assert handler.running == 0
        runner.cancel([task])
        await until(lambda: work.state(task) == "CANCELLED")
    assert work.handlers.calls == []


async def test_the_first_reason_to_stop_is_the_one_recorded() -> None:
    handler = Handler(Failed(type="Boom", message="while cleaning up"), deaf=True)
    work = Work({"wait": handler})
    task = work.engine.add_run("wait", timeout=0.01)
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: handler.asked == 1)
        runner.cancel([task])
        handler.gate.set()
        await until(lambda: work.engine.rows[task].outcomes)
    assert work.engine.rows[task].outcomes == [(1, "TIMED_OUT")]


async def test_what_succeeded_all_the_same_has_succeeded() -> None:
    handler = Handler(deaf=True)
    work = Work({"wait": handler})
    task = work.engine.add_run("wait")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: handler.running == 1)
        runner.cancel([task])
        await until(lambda: handler.asked == 1)
        handler.gate.set()
        await until(lambda: work.state(task) == "SUCCEEDED")


async def test_a_handler_that_does_not_stop_loses_its_attempt_but_not_its_slot() -> None:
    handler = Handler(deaf=True)
    work = Work({"deaf": handler}, slots=1, cancel_grace=0.01)
    task, other = work.engine.add_run("deaf", timeout=0.01), work.engine.add_run("echo")
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        await runner.take([task])
        await until(lambda: work.engine.rows[task].outcomes == [(1, "TIMED_OUT")])
        assert sample(work.services, "carillon_handlers_deaf") == 1
        group.create_task(runner.take([other]))
        await settle_down()
        assert work.state(other) == "QUEUED"
        handler.gate.set()
        await until(lambda: work.state(other) == "SUCCEEDED")
    assert sample(work.services, "carillon_handlers_deaf") == 0
    assert work.engine.rows[task].outcomes == [(1, "TIMED_OUT")], "its late success counts for nothing"


# Progress and signals


async def test_of_many_reports_the_newest_is_written() -> None:
    gate = asyncio.Event()

    async def report(call: Call, reporter: Reporter) -> Outcome:
        for n in range(5):
            reporter.progress(n / 10, f"step {n}")
        reporter.log("a line")
        await gate.wait()
        return Succeeded()

    work = Work({"report": report})
    task = work.engine.add_run("report")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.engine.rows[task].progress)
        gate.set()
        await until(lambda: work.state(task) == "SUCCEEDED")
    assert work.engine.rows[task].progress == [(0.4, "step 4")]


@pytest.mark.parametrize("fault", [Unavailable("PostgreSQL"), ValueError("a bug")])
async def test_progress_that_cannot_be_written_harms_nothing(fault: Exception) -> None:
    gate = asyncio.Event()

    async def report(call: Call, reporter: Reporter) -> Outcome:
        reporter.progress(0.5, None)
        await gate.wait()
        return Succeeded()

    work = Work({"report": report})
    task = work.engine.add_run("report")
    work.engine.faults.plan("write_progress", fault)
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.engine.faults.count("write_progress") >= 1)
        gate.set()
        await until(lambda: work.state(task) == "SUCCEEDED")


async def test_schedulers_hear_of_room_each_time_half_of_the_slots_were_turned_over() -> None:
    work = Work(slots=4)
    async with work.runner() as runner:
        assert work.signals.count(Signal.ROOM) == 1, "its own arrival"
        for done, heard in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3)):
            await runner.take([work.engine.add_run("echo")])
            await until(lambda: work.engine.states() == ["SUCCEEDED"] * done)  # noqa: B023  ends in this turn
            await until(lambda: work.signals.count(Signal.ROOM) >= heard)  # noqa: B023  the same
            assert work.signals.count(Signal.ROOM) == heard


async def test_schedulers_hear_of_every_slot_of_a_worker_that_is_mostly_in_use() -> None:
    work = Work({"wait": Handler()}, slots=4)
    async with work.runner() as runner:
        await runner.take([work.engine.add_run("wait") for _ in range(3)])
        for heard in (2, 3, 4):
            await runner.take([work.engine.add_run("echo")])
            await until(lambda: work.signals.count(Signal.ROOM) == heard)  # noqa: B023  ends in this turn


# The end of the worker


async def test_what_ends_within_the_grace_period_is_recorded() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    task = work.engine.add_run("wait")
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        await runner.take([task])
        await until(lambda: handler.running == 1)
        draining = group.create_task(runner.drain(60))
        await settle_down()
        assert not draining.done()
        handler.gate.set()
        assert await draining == 0
        assert work.state(task) == "SUCCEEDED"


async def test_what_does_not_end_is_handed_back_and_does_not_count() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    task = work.engine.add_run("wait")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: handler.running == 1)
        assert await runner.drain(0.01) == 0
    row = work.engine.rows[task]
    assert (row.state, row.attempt, row.outcomes) == ("SCHEDULED", 0, [])
    assert work.signals.count(Signal.DUE) == 1
    assert work.ended("handed_back") == 1


async def test_a_handler_that_does_not_stop_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "LAST_WORD", 0.01)
    handler = Handler(deaf=True)
    work = Work({"deaf": handler})
    task = work.engine.add_run("deaf")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: handler.running == 1)
        assert await runner.drain(0.01) == 1
        assert work.state(task) == "SCHEDULED"
    assert handler.running == 1, "it runs on, and nobody waits for it"
    handler.gate.set()
    await until(lambda: handler.running == 0)


async def test_what_arrives_while_it_stops_goes_back_at_once() -> None:
    work = Work()
    task = work.engine.add_run("echo")
    async with work.runner() as runner:
        runner.close()
        await runner.take([task])
    assert work.state(task) == "SCHEDULED"
    assert work.handlers.calls == []


async def test_who_waits_for_a_slot_while_it_stops_goes_back_at_once() -> None:
    handler = Handler()
    work = Work({"wait": handler}, slots=1)
    first, second = work.engine.add_run("wait"), work.engine.add_run("wait")
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        await runner.take([first])
        taking = group.create_task(runner.take([second]))
        await settle_down()
        runner.close()
        await taking
        assert work.state(second) == "SCHEDULED"


async def test_what_was_started_too_late_to_be_run_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "LAST_WORD", 0.01)
    work = Work()
    task, answered, start = work.engine.add_run("echo"), asyncio.Event(), work.engine.start

    async def start_late(worker: UUID, ids: Sequence[UUID]) -> list[Started]:
        started = await start(worker, ids)
        await answered.wait()
        return started

    monkeypatch.setattr(work.engine, "start", start_late)
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        taking = group.create_task(runner.take([task]))
        await until(lambda: work.state(task) == "RUNNING")
        await runner.drain(0)
        answered.set()
        await taking
        row = work.engine.rows[task]
        assert (row.state, row.attempt) == ("SCHEDULED", 0)
    assert work.handlers.calls == []


async def test_the_end_is_bounded_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner_module, "START_PAUSE", 0.001)
    handler = Handler()
    work = Work({"wait": handler}, database_timeout=0.01)
    tasks = [work.engine.add_run("echo"), work.engine.add_run("wait")]
    async with work.runner() as runner:
        await runner.take(tasks)
        work.engine.faults.down = True
        await runner.drain(0)
    assert logged(caplog.records, "tasks could not be handed back") >= 1
    assert logged(caplog.records, "results could not be recorded") >= 1


# The lease


async def test_without_a_lease_everything_stops_and_nothing_is_recorded() -> None:
    handler = Handler()
    work = Work({"wait": handler})
    running = work.engine.add_run("wait")
    ended = work.engine.add_run("echo")
    async with work.runner() as runner:
        work.engine.faults.plan("finish", *[Unavailable("PostgreSQL")] * 3)
        await runner.take([running, ended])
        await until(lambda: work.engine.faults.count("finish") == 1)
        runner.abandon()
        await until(lambda: handler.running == 0)
        assert work.engine.states() == ["RUNNING", "RUNNING"], "the rescuer's to put back"
        assert work.ended("abandoned") == 1


async def test_under_a_new_lease_it_goes_on() -> None:
    work = Work()
    task = work.engine.add_run("echo")
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        old = work.worker
        runner.abandon()
        group.create_task(runner.take([task]))
        await settle_down()
        assert work.engine.starts == []
        work.begin(runner)
        await until(lambda: work.state(task) == "SUCCEEDED")
    assert work.worker != old


async def test_what_was_started_while_the_lease_was_lost_is_not_run() -> None:
    work = Work()
    task = work.engine.add_run("echo")
    async with work.runner() as runner, asyncio.TaskGroup() as group:
        taking = group.create_task(runner.take([task]))
        await asyncio.sleep(0)  # it is asking for the start
        runner.abandon()
        await taking
        assert work.state(task) == "RUNNING"
        assert work.handlers.calls == []
        work.begin(runner)


async def test_a_deaf_handler_of_a_lost_lease_cannot_record_anything_under_the_next() -> None:
    handler = Handler(deaf=True)
    work = Work({"deaf": handler})
    task = work.engine.add_run("deaf")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: handler.running == 1)
        runner.abandon()
        work.begin(runner)
        handler.gate.set()
        await until(lambda: handler.running == 0)
    assert work.engine.rows[task].outcomes == []
