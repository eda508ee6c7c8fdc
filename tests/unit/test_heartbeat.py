"""A worker holds its lease for as long as it can say so, and stops everything before it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from domain.attempts.ports import Workers
from domain.errors import Unavailable
from infra.system import TimeOrderedIds
from jobs.heartbeat import Heartbeat, beating
from jobs.metrics import JobMetrics
from tests.support.engine_fakes import FakeEngine, logged, sample, services_of, settings_of
from tests.support.waiting import until

HOUR = 3600.0


def block_until(condition: Callable[[], bool]) -> None:
    """As a handler would that never gives the loop a turn."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Holder:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.begun: list[UUID] = []
        self.cancelled: list[UUID] = []
        self.abandoned = 0

    def begin(self, worker: UUID) -> None:
        self.begun.append(worker)

    def cancel(self, ids: frozenset[UUID]) -> None:
        self.cancelled.extend(ids)

    def abandon(self) -> None:
        self.abandoned += 1


class Pulse:
    """A heartbeat, what it is told by storage, and a clock the test may move."""

    def __init__(self, **settings: float) -> None:
        self.engine, self.holder = FakeEngine(), Holder()
        self.services = services_of(
            self.engine, settings_of(**{"heartbeat": HOUR, "lease": 3 * HOUR, "lease_margin": 1, **settings})
        )
        self.opened = 0
        self.ahead = 0.0
        self.heartbeat = Heartbeat(
            self.open_workers,
            self.holder,
            self.services.settings,
            JobMetrics(self.services.metrics),
            name="a-worker",
            ids=TimeOrderedIds(),
            draw=lambda: 0.5,
            clock=lambda: time.monotonic() + self.ahead,
        )

    @asynccontextmanager
    async def open_workers(self) -> AsyncIterator[Workers]:
        self.opened += 1
        yield self.engine

    @asynccontextmanager
    async def beats(self) -> AsyncIterator[None]:
        """On the loop of the test."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.heartbeat.run())
            try:
                yield
            finally:
                self.heartbeat.leave()

    async def begun(self, leases: int = 1) -> None:
        await until(lambda: len(self.holder.begun) == leases)


async def test_a_lease_is_entered_before_the_worker_hears_of_it_and_given_back_at_the_end() -> None:
    pulse = Pulse()
    async with pulse.beats():
        async with asyncio.timeout(5):
            await pulse.heartbeat.entered.wait()
        assert pulse.engine.entered == pulse.holder.begun
        [slots_and_draining] = pulse.engine.leases.values()
        assert slots_and_draining == (100, False)
    assert pulse.engine.left == pulse.holder.begun
    assert pulse.holder.abandoned == 0


async def test_it_beats_in_time() -> None:
    pulse = Pulse(heartbeat=0.002)
    async with pulse.beats():
        await until(lambda: pulse.engine.faults.count("beat") >= 5)
    assert pulse.engine.faults.count("enter") == 1


async def test_asked_to_it_beats_at_once_and_brings_what_is_to_be_cancelled() -> None:
    pulse = Pulse()
    task = pulse.engine.add(state="RUNNING")
    async with pulse.beats():
        await pulse.begun()
        row = pulse.engine.rows[task]
        row.worker, row.cancel_requested = pulse.holder.begun[0], True
        pulse.heartbeat.beat_now()
        await until(lambda: pulse.holder.cancelled == [task])


async def test_a_lapsed_lease_is_given_up_and_a_new_one_begun_under_a_new_id() -> None:
    pulse = Pulse()
    async with pulse.beats():
        await pulse.begun()
        pulse.engine.lapse()
        pulse.heartbeat.beat_now()
        await pulse.begun(2)
    assert pulse.holder.abandoned == 1
    assert len(set(pulse.holder.begun)) == 2
    assert pulse.engine.left == pulse.holder.begun[1:]
    assert sample(pulse.services, "carillon_leases_lost_total") == 1


async def test_an_outage_shorter_than_the_lease_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pulse = Pulse(heartbeat=0.002, lease=60)
    async with pulse.beats():
        await pulse.begun()
        pulse.engine.faults.down = True
        failed = pulse.engine.faults.count("beat")
        await until(lambda: pulse.engine.faults.count("beat") >= failed + 4)
        pulse.engine.faults.down = False
        beaten = pulse.engine.faults.count("beat")
        await until(lambda: pulse.engine.faults.count("beat") >= beaten + 2)
    assert pulse.holder.abandoned == 0
    assert logged(caplog.records, "the heartbeat is not answered") == 1
    assert logged(caplog.records, "the heartbeat is answered again") == 1


async def test_without_an_answer_everything_stops_a_margin_before_the_lease_ends() -> None:
    pulse = Pulse(heartbeat=0.002, lease=60, lease_margin=10)
    async with pulse.beats():
        await pulse.begun()
        pulse.engine.faults.down = True
        pulse.ahead = 45
        failed = pulse.engine.faults.count("beat")
        await until(lambda: pulse.engine.faults.count("beat") >= failed + 3)
        assert pulse.holder.abandoned == 0
        pulse.ahead = 51
        await until(lambda: pulse.holder.abandoned == 1)
        pulse.engine.faults.down = False
        await pulse.begun(2)


async def test_a_beat_without_an_answer_does_not_outlast_the_lease() -> None:
    pulse = Pulse(heartbeat=0.002, lease=0.03, lease_margin=0.01)
    async with pulse.beats():
        await pulse.begun()
        pulse.engine.hang = asyncio.Event()
        await until(lambda: pulse.holder.abandoned >= 1)
        pulse.engine.hang.set()
        pulse.engine.hang = None


async def test_a_storage_that_is_away_at_first_is_waited_for() -> None:
    pulse = Pulse(heartbeat=0.002)
    pulse.engine.faults.plan("enter", Unavailable("PostgreSQL"), ValueError("a bug"))
    async with pulse.beats():
        await pulse.begun()
    assert pulse.engine.faults.count("enter") == 3
    assert pulse.opened == 1


async def test_a_worker_that_drains_says_so_and_begins_no_new_lease() -> None:
    pulse = Pulse()
    async with pulse.beats():
        await pulse.begun()
        await pulse.heartbeat.say_draining(5)
        assert list(pulse.engine.leases.values()) == [(100, True)]
        pulse.engine.lapse()
        pulse.heartbeat.beat_now()
        await until(lambda: pulse.holder.abandoned == 1)
    assert len(pulse.holder.begun) == 1


async def test_draining_does_not_wait_for_a_storage_that_is_away() -> None:
    pulse = Pulse()
    async with pulse.beats():
        await pulse.begun()
        pulse.engine.faults.down = True
        await pulse.heartbeat.say_draining(0.01)
        pulse.engine.faults.down = False


async def test_a_lease_that_cannot_be_given_back_lapses() -> None:
    pulse = Pulse()
    async with pulse.beats():
        await pulse.begun()
        pulse.engine.faults.down = True
    assert pulse.engine.left == []


async def test_it_beats_from_a_thread_while_the_loop_is_blocked() -> None:
    pulse = Pulse(heartbeat=0.002)
    async with beating(pulse.heartbeat):
        await pulse.begun()
        beats = pulse.engine.faults.count("beat")
        block_until(lambda: pulse.engine.faults.count("beat") > beats + 5)
    assert pulse.engine.left == pulse.holder.begun


async def test_a_loop_blocked_for_a_whole_lease_loses_it_so_that_its_tasks_are_rescued() -> None:
    pulse = Pulse(heartbeat=0.01, lease=0.15, lease_margin=0.01)
    async with beating(pulse.heartbeat):
        await pulse.begun()
        block_until(lambda: sample(pulse.services, "carillon_leases_lost_total") == 1)
        assert pulse.engine.faults.count("enter") == 1, "not again while nobody could run anything"
        await pulse.begun(2)
    assert pulse.holder.abandoned == 1
