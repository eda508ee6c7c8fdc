"""What was lost is put back, in bounded parts, and one kind of loss does not hold up another."""

from __future__ import annotations

import asyncio

import pytest

from domain.errors import Unavailable
from domain.live.ports import Signal
from jobs.metrics import JobMetrics
from jobs.rescuer import BATCH, MOST_BATCHES, Lost, rescue_once, run_rescuer
from jobs.stop import Stop
from tests.support.engine_fakes import FakeEngine, sample, services_of, settings_of
from tests.support.live_fakes import FakeSignals
from tests.support.waiting import until

CALLS = {
    Lost.ATTEMPT: "lost_attempts",
    Lost.HAND_OVER: "lost_hand_overs",
    Lost.CANCELLATION: "deaf_cancellations",
}


@pytest.mark.parametrize("lost", list(Lost))
async def test_it_goes_on_while_there_is_more_than_one_part(lost: Lost) -> None:
    engine, signals = FakeEngine(), FakeSignals()
    services = services_of(engine, signals=signals)
    engine.lost = {CALLS[lost]: [BATCH, BATCH, 7]}
    assert await rescue_once(services, lost, JobMetrics(services.metrics)) == 2 * BATCH + 7
    assert sample(services, "carillon_rescued_total", reason=lost.value) == 2 * BATCH + 7
    assert signals.count(Signal.DUE) == signals.count(Signal.OUTBOX) == 3


async def test_one_round_is_bounded() -> None:
    engine = FakeEngine()
    services = services_of(engine)
    engine.lost = {"lost_attempts": [BATCH] * 100}
    moved = await rescue_once(services, Lost.ATTEMPT, JobMetrics(services.metrics))
    assert moved == MOST_BATCHES * BATCH


async def test_where_nothing_was_lost_nobody_is_woken() -> None:
    signals = FakeSignals()
    services = services_of(signals=signals)
    assert await rescue_once(services, Lost.ATTEMPT, JobMetrics(services.metrics)) == 0
    assert signals.sent == []


async def test_it_comes_again_and_again_and_outlives_faults() -> None:
    engine, stop = FakeEngine(), Stop()
    services = services_of(engine, settings_of(rescue_interval=0.001))
    metrics = JobMetrics(services.metrics)
    engine.faults.plan("lost_attempts", Unavailable("PostgreSQL"), ValueError("a bug"))
    async with asyncio.TaskGroup() as group:
        for lost in Lost:
            group.create_task(run_rescuer(services, lost, stop, metrics))
        await until(lambda: all(engine.faults.count(call) >= 5 for call in CALLS.values()))
        stop.ask()
    assert sample(services, "carillon_loop_errors_total", loop="rescuer of lost_attempt") == 2
