"""What handlers tell is bounded, and stored before their end is; what is dropped is counted and said."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from domain.actions.model import Call, Outcome, Succeeded
from domain.actions.ports import Reporter
from domain.attempts.activity import LINES_AT_ONCE, LINES_PER_SECOND
from domain.attempts.model import Started
from domain.errors import Unavailable
from domain.live.ports import Signal
from jobs.activity import BATCH, WAITING, ActivityBoard
from jobs.metrics import JobMetrics
from tests.support.engine_fakes import FakeEngine, sample, services_of
from tests.support.live_fakes import FakeSignals
from tests.support.runner_work import Work
from tests.support.waiting import until


class Telling:
    """A board under a lease, and attempts that tell it things."""

    def __init__(self) -> None:
        self.engine, self.signals, self.now = FakeEngine(slots=100), FakeSignals(), 100.0
        self.services = services_of(self.engine)
        self.worker = self.services.ids.next()
        self.engine.leases[self.worker] = (100, False)
        self.board = ActivityBoard(
            self.engine, self.signals, JobMetrics(self.services.metrics), clock=lambda: self.now
        )
        self.board.begin(self.worker)

    async def started(self) -> Started:
        (started,) = await self.engine.start(self.worker, [self.engine.add_run("tell")])
        return started

    def stored(self, started: Started) -> list[str]:
        return [each.message for each in self.engine.rows[started.task_id].log]

    def dropped(self, reason: str) -> float:
        return sample(self.services, "carillon_log_lines_dropped_total", reason=reason)


async def test_what_was_told_meanwhile_is_written_together_and_signalled() -> None:
    telling = Telling()
    one, two = await telling.started(), await telling.started()
    first, second = telling.board.open(one), telling.board.open(two)
    first.log("a")
    telling.now += 2
    second.log("x")
    first.log("b")
    second.progress(0.1, None)
    second.progress(0.2, "newest")
    assert await telling.board.write_once()
    assert (telling.stored(one), telling.stored(two)) == (["a", "b"], ["x"])
    assert telling.engine.rows[two.task_id].progress == [(0.2, "newest")]
    assert [each.age.total_seconds() for each in telling.engine.rows[one.task_id].log] == [2, 0]
    assert telling.engine.faults.calls.count("write_log") == 1
    assert set(telling.signals.sent) == {(Signal.ACTIVITY, str(each.task_id)) for each in (one, two)}
    assert sample(telling.services, "carillon_log_lines_total") == 3


async def test_an_attempt_that_writes_too_much_is_cut_and_a_line_says_so() -> None:
    telling = Telling()
    started = await telling.started()
    reporter = telling.board.open(started)
    for number in range(LINES_AT_ONCE + 30):
        reporter.log(f"line {number}")
    telling.now += 1
    for number in range(LINES_PER_SECOND + 5):
        reporter.log(f"later {number}")
    telling.board.close(started)
    await telling.board.write_once()
    lines = telling.stored(started)
    assert lines[LINES_AT_ONCE].startswith("30 lines were dropped")
    assert lines[LINES_AT_ONCE + 1] == "later 0"
    assert lines[-1].startswith("5 lines were dropped")
    assert len(lines) == LINES_AT_ONCE + LINES_PER_SECOND + 2
    assert telling.dropped("rate") == 35
    numbers = [each.place.number for each in telling.engine.rows[started.task_id].log]
    assert numbers == list(range(1, len(lines) + 1))


async def test_an_attempt_that_has_ended_is_not_heard_any_more() -> None:
    telling = Telling()
    started = await telling.started()
    reporter = telling.board.open(started)
    reporter.log("in time")
    telling.board.close(started)
    reporter.log("too late")
    reporter.progress(1, None)
    await telling.board.write_once()
    assert telling.stored(started) == ["in time"]
    assert telling.engine.rows[started.task_id].progress == []
    assert telling.dropped("ended") == 1


async def test_the_end_of_an_older_attempt_does_not_close_the_newer() -> None:
    telling = Telling()
    started = await telling.started()
    telling.board.open(started)
    newer = replace(started, fence=2)
    reporter = telling.board.open(newer)
    telling.board.close(started)
    assert telling.board.hears(reporter)


async def test_lines_outlive_an_outage_up_to_a_bound() -> None:
    telling = Telling()
    telling.engine.faults.down = True
    started = [await _started(telling) for _ in range(WAITING // LINES_AT_ONCE + 1)]
    for each in started:
        reporter = telling.board.open(each)
        for number in range(LINES_AT_ONCE):
            reporter.log(f"line {number}")
    assert not await telling.board.write_once()
    assert telling.dropped("full") == LINES_AT_ONCE
    telling.engine.faults.down = False
    await telling.board.flush()
    assert sum(len(telling.stored(each)) for each in started) == WAITING
    assert telling.engine.faults.calls.count("write_log") == 1 + WAITING // BATCH


async def _started(telling: Telling) -> Started:
    telling.engine.faults.down = False
    try:
        return await telling.started()
    finally:
        telling.engine.faults.down = True


async def test_a_line_whose_storing_was_not_answered_is_given_again_as_the_same() -> None:
    telling = Telling()
    started = await telling.started()
    telling.board.open(started).log("once")
    telling.engine.faults.plan("write_log", Unavailable("PostgreSQL"), done_all_the_same=True)
    assert not await telling.board.write_once()
    assert await telling.board.write_once()
    assert len({each.place for each in telling.engine.rows[started.task_id].log}) == 1


async def test_what_cannot_be_stored_is_dropped_and_holds_up_nothing() -> None:
    telling = Telling()
    started = await telling.started()
    reporter = telling.board.open(started)
    reporter.log("poison")
    telling.engine.faults.plan("write_log", ValueError("a bug"))
    assert not await telling.board.write_once()
    reporter.log("next")
    assert await telling.board.write_once()
    assert telling.stored(started) == ["next"]
    assert telling.dropped("unstorable") == 1


async def test_a_lost_lease_takes_what_waits_with_it() -> None:
    telling = Telling()
    started = await telling.started()
    reporter = telling.board.open(started)
    reporter.log("lost")
    telling.board.drop()
    reporter.log("not heard")
    telling.board.begin(telling.worker)
    await telling.board.write_once()
    assert telling.stored(started) == []
    assert (telling.dropped("fenced"), telling.dropped("ended")) == (1, 1)


@pytest.mark.parametrize("fault", [None, Unavailable("PostgreSQL"), ValueError("a bug")])
async def test_what_a_handler_told_last_is_stored_before_its_end(fault: Exception | None) -> None:
    async def tell(call: Call, reporter: Reporter) -> Outcome:
        reporter.progress(1, "done")
        reporter.log("goodbye")
        return Succeeded()

    work = Work({"tell": tell})
    if fault is not None:
        work.engine.faults.plan("write_log", fault)
    task = work.engine.add_run("tell")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "SUCCEEDED")
    calls = work.engine.faults.calls
    assert calls.index("write_progress") < calls.index("write_log") < calls.index("finish")
    assert work.engine.rows[task].progress == [(1, "done")]
    if fault is None:
        assert [each.message for each in work.engine.rows[task].log] == ["goodbye"]


async def test_what_tells_nothing_writes_nothing() -> None:
    work = Work()
    async with work.runner() as runner:
        await runner.take([work.engine.add_run("echo")])
        await until(lambda: work.engine.states() == ["SUCCEEDED"])
    assert not {"write_log", "write_progress"} & set(work.engine.faults.calls)
    assert work.signals.count(Signal.ACTIVITY) == 0


async def test_what_was_told_before_a_stop_is_stored() -> None:
    gate = asyncio.Event()

    async def tell(call: Call, reporter: Reporter) -> Outcome:
        try:
            await gate.wait()
        finally:
            reporter.log("cut short")
        return Succeeded()

    work = Work({"tell": tell})
    task = work.engine.add_run("tell")
    async with work.runner() as runner:
        await runner.take([task])
        await until(lambda: work.state(task) == "RUNNING")
        await runner.drain(0)
    assert [each.message for each in work.engine.rows[task].log] == ["cut short"]
    assert work.state(task) == "SCHEDULED"
